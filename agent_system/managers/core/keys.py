"""What a caller's id, or the values of a row, say about which row is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.validation import KEY_SUFFIX
from agent_system.managers.core.where import attribute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.validation import RowValidator

__all__ = ["RowKeys"]

INT64 = 2**63
REMEMBERED_IDS = 1_024


class RowKeys:
    """Reads the keys of one table."""

    def __init__(self, plans: TablePlans[Any], validator: RowValidator[Any]) -> None:
        self._plans = plans
        self._name = plans.entity.__name__
        self._validator = validator
        self.get_plan = plans.get()
        self.hydrate = plans.hydrate
        self._encode = self.get_plan.processors[0]
        key_type = plans.columns[plans.primary_key[0]].type.python_type
        # A lookup by an id of exactly the key's type needs no validation.
        self._is_counted = key_type is int
        self._plain_key = key_type if len(plans.primary_key) == 1 and key_type in {int, UUID} else None
        # Ids of rows that are read again and again, by their numbers: 0.1 µs instead of 0.6 for one that is remembered.
        remembers = plans.is_hot and self._plain_key is UUID
        self._remembered: dict[int, Any] | None = {} if remembers else None

    def lookup(self, id_: Any) -> tuple[Any, ...] | None:
        """The encoded parameters of a lookup by primary key; None when no row can have this id."""
        remembered = self._remembered
        if remembered is not None and id_.__class__ is UUID:
            # A number is found faster than the UUID itself, whose hash is made anew each time.
            return (remembered.get(id_.int) or self._remember(id_, remembered),)
        if type(id_) is self._plain_key and (self._plain_key is UUID or -INT64 <= id_ < INT64):
            process = self._encode
            return (id_,) if process is None else (process(id_),)
        key = self.possible(id_)
        return None if key is None else self.get_plan.encode(key)

    def _remember(self, id_: UUID, remembered: dict[int, Any]) -> Any:
        process = self._encode
        encoded = remembered[id_.int] = id_ if process is None else process(id_)
        if len(remembered) > REMEMBERED_IDS:
            # Those that are read again are soon there again.
            remembered.clear()
        return encoded

    def possible(self, id_: Any) -> dict[str, Any] | None:
        """The primary key that an id means; None when no row can have it."""
        try:
            return self.values(id_)
        except ValidationError:
            return None

    def existing(self, id_: Any) -> dict[str, Any]:
        """The primary key that the id of a row means.

        Raises:
            NotFoundError: No row can have it.
        """
        key = self.possible(id_)
        if key is None:
            raise NotFoundError(self._name, id_)
        return key

    def distinct(self, ids: Iterable[Any]) -> list[Any]:
        """The values of a key of one column that ids mean, each once and in order; what can be no id is left out."""
        keys = (self.possible(one) for one in ids)
        return list(dict.fromkeys(key[self._plans.primary_key[0]] for key in keys if key is not None))

    def from_text(self, text: str) -> Any:
        """The id that was written as text, where ids of any table are kept together."""
        return int(text) if self._is_counted and text.lstrip("-").isdecimal() else text

    def values(self, id_: Any) -> dict[str, Any]:
        """The primary key that an id means: one value, or a tuple or mapping for a key of several columns.

        Raises:
            ValidationError: It cannot be an id of this table.
        """
        keys = self._plans.primary_key
        if isinstance(id_, dict):
            values = {key: id_.get(key) for key in keys}
        elif len(keys) == 1:
            values = {keys[0]: id_}
        elif isinstance(id_, tuple) and len(id_) == len(keys):
            values = dict(zip(keys, id_, strict=True))
        else:
            message = f"{self._name}: the id has {len(keys)} parts: {', '.join(keys)}"
            raise ValidationError(message, field=keys[0], entity=self._name)
        return self._validator.check_key(values)

    def matching(self, values: Mapping[str, Any], on: Sequence[str]) -> dict[str, Any]:
        """Those of the values by which a row is looked for; names by their keys, so without regard to case.

        Raises:
            ValidationError: A column does not exist, or there is no value for it.
        """
        matching: dict[str, Any] = {}
        for key in on:
            name = attribute(self._plans, key)
            if name not in values:
                message = f"{self._name}.{key}: upsert needs a value for it"
                raise ValidationError(message, field=key, entity=self._name)
            derived = f"{name}{KEY_SUFFIX}"
            matching |= {derived: values[derived]} if derived in self._validator.derived else {name: values[name]}
        return matching
