"""Checking of data before anything is written, by the annotations of the table classes.

A SQLModel class with `table=True` does not validate and ignores unknown keys, so each table class gets a validator of
its own: pydantic's core run over a dictionary, strict (no "5" for 5), with unknown keys forbidden. Text is checked by
type only, because pydantic refuses lone surrogates, which a model may emit and our codec can store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import pydantic
from pydantic_core import PydanticUndefined

from agent_system.clock import utc_now
from agent_system.errors import ValidationError
from agent_system.managers.core.shapes import is_automatic, is_required, make_column_adapter, make_row_adapter
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from pydantic import TypeAdapter
    from sqlmodel import SQLModel

    from agent_system.database.plans import TablePlans

__all__ = ["KEY_SUFFIX", "RowValidator"]

Row = TypeVar("Row", bound="SQLModel")

KEY_SUFFIX = "_key"

# Kept by the layer itself; a change of one by hand would break what it stands for.
UNCHANGEABLE = frozenset({"created_at", "version"})


class RowValidator(Generic[Row]):
    """Turns the data of a caller into complete, typed attribute values of one table class."""

    def __init__(
        self,
        plans: TablePlans[Row],
        *,
        kept: frozenset[str] = frozenset(),
        fixed: frozenset[str] = frozenset(),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Prepare the checks.

        Args:
            plans: The table.
            kept: Columns that only the layer writes.
            fixed: Columns that are given with a new row and cannot be changed.
            clock: Tells the moments that are now by default.
        """
        self._clock = clock
        self._entity = plans.entity
        self._name = plans.table.name
        self._columns = plans.columns
        self._aliases = {column.name: key for key, column in plans.columns.items() if column.name != key}
        self.derived = {
            key: key.removesuffix(KEY_SUFFIX)
            for key in plans.columns
            if key.endswith(KEY_SUFFIX) and key.removesuffix(KEY_SUFFIX) in plans.columns
        }
        stored = [key for key in plans.columns if key not in plans.computed and key not in self.derived]
        writable = [key for key in stored if key not in kept]
        self._hidden = frozenset(plans.columns.keys() - set(writable))
        fixed |= UNCHANGEABLE | set(plans.primary_key)
        self.constants: dict[str, Any] = {}
        self.factories: list[tuple[str, Callable[[], Any]]] = []
        """The attributes whose default is another object in each row, and what makes it."""
        self._moments: list[str] = []
        self._collect_defaults(stored)
        self._required = frozenset(key for key in writable if is_required(self._entity, key, plans.columns[key]))
        self._create = self._adapter("Create", writable, partial=False)
        self.changeable = frozenset(key for key in writable if key not in fixed)
        self._change = self._adapter("Change", [key for key in writable if key not in fixed], partial=True)
        self._key = self._adapter("Key", list(plans.primary_key), partial=False, key=True)

    def checker(self, keys: Iterable[str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """What checks data of a new row that are of these attributes, in half the time of what checks any.

        It returns the data by attribute, and raises pydantic's error, which quotes the values.
        """
        adapter = self._adapter("Create", sorted(keys), partial=False)
        return adapter.validator.validate_python

    def create_values(self, data: Mapping[str, Any] | Row) -> dict[str, Any]:
        """Check the data of a new row and fill in the defaults.

        Raises:
            ValidationError: A key is unknown or missing, or a value has a wrong type or is out of range.
        """
        values = self.constants | self._check(self._create, self._as_dict(data))
        now: datetime | None = None
        for key in self._moments:
            if key not in values:
                # One moment for all of a row's.
                now = values[key] = now or self._clock()
        for key, make in self.factories:
            if key not in values:
                values[key] = make()
        self.derive(values)
        return values

    def create_columns(
        self, data: Mapping[str, Sequence[Any]], count: int, *, without: Collection[str] = ()
    ) -> dict[str, Sequence[Any]]:
        """Check the data of many new rows column by column, a tenth of the work, and fill in the defaults.

        Args:
            data: The values of all rows by attribute.
            count: How many rows there are.
            without: Columns whose default is left to the database.

        Raises:
            ValidationError: As for `create_values`; `field` names the column, and `create_values` tells of which row.
        """
        values: dict[str, Sequence[Any]] = {key: [value] * count for key, value in self.constants.items()}
        for key, column in data.items():
            values[key] = self._check_column(key, column)
        moments = [key for key in self._moments if key not in values and key not in without]
        if moments:
            values.update(dict.fromkeys(moments, [self._clock()] * count))
        for key, make in self.factories:
            if key not in values and key not in without:
                values[key] = [make() for _ in range(count)]
        missing = self._required - values.keys()
        if missing:
            message = f"{self._name}.{min(missing)}: is required"
            raise ValidationError(message, field=min(missing), entity=self._name)
        for key, source in self.derived.items():
            if source in values:
                values[key] = [None if text is None else name_key(text) for text in values[source]]
        return values

    def _check_column(self, key: str, column: Sequence[Any]) -> list[Any]:
        if key in self._hidden or key not in self._columns:
            message = f"{self._name}.{key}: cannot be set"
            raise ValidationError(message, field=key, entity=self._name)
        try:
            checked: list[Any] = make_column_adapter(self._entity, key).validator.validate_python(list(column))
        except pydantic.ValidationError:
            message = f"{self._name}.{key}: a value is refused"
        else:
            return checked
        raise ValidationError(message, field=key, entity=self._name)

    def change_values(self, changes: Mapping[str, Any] | Row) -> dict[str, Any]:
        """Check the changes to a row.

        Raises:
            ValidationError: As for `create_values`; also when a key may not be changed, or there is no change.
        """
        values = self._check(self._change, self._as_dict(changes))
        if not values:
            message = f"{self._name}: there is nothing to change"
            raise ValidationError(message, entity=self._name)
        self.derive(values)
        return values

    def upsert_changes(self, data: Mapping[str, Any] | Row, on: tuple[str, ...]) -> dict[str, Any]:
        """What of the data an upsert changes in a row that is there: what was given, but for the key and `on`."""
        given = {key: value for key, value in self._as_dict(data).items() if key in self.changeable and key not in on}
        return self.change_values(given) if given else {}

    def check_key(self, values: dict[str, Any]) -> dict[str, Any]:
        """Check the values of a primary key.

        Raises:
            ValidationError: No row can have them.
        """
        return self._check(self._key, values)

    def derive(self, values: dict[str, Any]) -> None:
        """Fill the `<name>_key` columns, by which names are unique without regard to case."""
        for key, source in self.derived.items():
            if source in values:
                text = values[source]
                values[key] = text if text is None else name_key(text)

    def _as_dict(self, data: Mapping[str, Any] | Row) -> dict[str, Any]:
        if data.__class__ is dict or isinstance(data, Mapping):
            aliases = self._aliases
            if aliases.keys().isdisjoint(data):
                # It is only read, so that any mapping does.
                return cast("dict[str, Any]", data)
            return {aliases.get(key, key): value for key, value in data.items()}
        if isinstance(data, self._entity):
            # What the caller set; the rest gets its default here, not a second one from the class.
            state = {key: getattr(data, key) for key in self._columns if key in data.__dict__}
            return {key: value for key, value in state.items() if value is not None and key not in self._hidden}
        message = (
            f"{self._name}: expected a mapping or an instance of {self._entity.__name__}, got {type(data).__name__}"
        )
        raise ValidationError(message, entity=self._name)

    def _check(self, adapter: TypeAdapter[dict[str, Any]], data: dict[str, Any]) -> dict[str, Any]:
        try:
            checked: dict[str, Any] = adapter.validator.validate_python(data)
        except pydantic.ValidationError as exc:
            refusal = self._explain(exc)
        else:
            return checked
        # Outside of the handler: pydantic's error quotes the values, and as a context of ours a logger would find it.
        raise refusal

    def _explain(self, exc: pydantic.ValidationError) -> ValidationError:
        problems = []
        first: str | None = None
        for error in exc.errors(include_url=False, include_context=False, include_input=False):
            field = str(error["loc"][0]) if error["loc"] else None
            first = first or field
            path = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
            problems.append(f"{self._name}.{path}: {self._rule(error, field)}")
        return ValidationError("; ".join(problems), field=first, entity=self._name)

    def _rule(self, error: Any, field: str | None) -> str:
        if error["type"] == "extra_forbidden":
            if field not in self._columns:
                return "unknown field"
            kept = field in self._hidden | UNCHANGEABLE
            return "is kept by the layer and cannot be set" if kept else "cannot be changed once the row is there"
        if error["type"] == "missing":
            return "is required"
        if error["type"] == "timezone_aware":
            return "the datetime has no time zone; use an aware one, such as datetime.now(UTC)"
        text: str = error["msg"]
        return text[:1].lower() + text[1:]

    def _collect_defaults(self, keys: list[str]) -> None:
        for key in keys:
            field = self._entity.model_fields[key]
            if is_automatic(self._columns[key]):
                continue
            if field.default_factory is not None:
                make: Any = field.default_factory
                if make is utc_now:
                    self._moments.append(key)
                else:
                    self.factories.append((key, make))
            elif field.default is not PydanticUndefined:
                self.constants[key] = field.default

    def _adapter(
        self, purpose: str, keys: list[str], *, partial: bool, key: bool = False
    ) -> TypeAdapter[dict[str, Any]]:
        automatic = frozenset(name for name in keys if is_automatic(self._columns[name]))
        return make_row_adapter(self._entity, purpose, tuple(keys), automatic, partial=partial, key=key)
