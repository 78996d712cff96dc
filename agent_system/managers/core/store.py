"""`RowStore`: what can be done to the rows of one table inside a unit of work.

A manager's verbs are made of these pieces; a manager that writes several tables at once puts the pieces of several
stores into one unit of work, so that they are one transaction.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from sqlalchemy import select
from sqlmodel import SQLModel

from agent_system.database.half_statements import require_all
from agent_system.database.plans import shared_plans
from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.managers.core.audit import AuditTrail
from agent_system.managers.core.cascade import Cascade
from agent_system.managers.core.differences import differing, shown
from agent_system.managers.core.encoding import RowEncoder
from agent_system.managers.core.images import ChangeImages, generate_image
from agent_system.managers.core.insertion import Insertion
from agent_system.managers.core.keys import RowKeys
from agent_system.managers.core.normalising import Normaliser
from agent_system.managers.core.rules import TableRules
from agent_system.managers.core.validation import RowValidator
from agent_system.models.triggers import written_by_triggers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan

__all__ = ["Check", "Revision", "RowStore", "differing"]

PLAIN = TableRules()

Row = TypeVar("Row", bound=SQLModel)
Check: TypeAlias = "Callable[[Executor, dict[str, Any], dict[str, Any]], str | None]"
Revision: TypeAlias = "Callable[[Mapping[str, Any]], Mapping[str, Any]]"


class RowStore(Generic[Row]):
    """Writes rows of one table, with their version, their `updated_at` and their audit event."""

    def __init__(
        self,
        entity: type[Row],
        dialect: Dialect,
        clock: Callable[[], datetime],
        rules: TableRules = PLAIN,
    ) -> None:
        self.entity = entity
        self.name = entity.__name__
        self.plans = shared_plans(entity, dialect, is_hot=rules.hot, hot_name=rules.hot_name)
        self.validator = RowValidator(self.plans, kept=rules.kept, fixed=rules.fixed, clock=clock)
        self.keys = RowKeys(self.plans, self.validator)
        self.cascade = Cascade(self.plans.table, dialect, clock)
        self.trail = AuditTrail(rules.audited, dialect, clock) if rules.audited else None
        self.is_versioned = "version" in self.plans.columns
        """Whether a change can expect a version."""
        triggered = written_by_triggers(self.plans.table)
        self.counts_changes = self.is_versioned and "version" not in triggered
        """Whether every change raises the version; where a trigger does, only a change of the content is one."""
        self.is_triggered = bool(triggered - {"updated_at"})
        """Whether triggers write columns of a changed row, which has to be read again."""
        self.is_dated = "updated_at" in triggered
        """Whether a trigger dates a change whose moment is not later than the one before."""
        self.only_tells = self.trail is not None and type(self).change is RowStore.change
        """Whether all that a change brings with it is its event."""
        self._clock = clock
        self._touches = "updated_at" in self.plans.columns
        columns = self.plans.columns
        self._normalise = Normaliser(columns)
        # What only the database knows after an insert: a counted key, computed columns.
        self._made_by_database: tuple[str, ...] = (*self.plans.counted, *self.plans.computed)
        self._images: dict[str, Callable[[Mapping[str, Any], Sequence[Any]], str]] = {}
        self._change_images = ChangeImages(columns)
        self._encoders: dict[tuple[tuple[str, ...], tuple[str, ...]], RowEncoder] = {}

    # Preparing, outside of the unit of work.

    def prepare_insert(
        self, values: dict[str, Any], *, audit: bool = True, late: tuple[str, ...] = ()
    ) -> Callable[[Executor], None]:
        """Encode a new row; returns what writes it with its event and adds what the database makes to `values`.

        Args:
            late: Columns whose values only the unit of work knows; they are taken from `values` when it is written.
        """
        made = self._made_by_database
        if made and made[0] in values:
            made = made[1:]  # The key that the database would count is given; computed columns never are.
        encoder = self._encoders.get((made, late)) or self._encoder(made, late)
        try:
            plan, parameters = encoder.encode(values)
        except (ValueError, TypeError, RecursionError):
            raise self._refusal(encoder.name_bad_value(values)) from None
        self._normalise(values, plan, parameters)
        trail = self.trail
        event: Sequence[Any] | None = None
        if audit and trail is not None:
            write = self._images.get(plan.sql) or self._image(plan, values)
            after = write(values, parameters)
            event = trail.creation(values[self.plans.primary_key[0]], after, values.get("tree_id"))
        return Insertion(self, plan, parameters, values, made, late, event)

    def _image(self, plan: Plan, values: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Sequence[Any]], str]:
        columns = self.plans.columns
        shown_ones = {key: columns[key] for key in columns if key not in self._made_by_database}
        return self._images.setdefault(plan.sql, generate_image(shown_ones, plan.positions, values))

    def _encoder(self, made: tuple[str, ...], late: tuple[str, ...]) -> RowEncoder:
        return self._encoders.setdefault((made, late), RowEncoder(self.plans, self.validator.constants, made, late))

    def encode(self, plan: Plan, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Encode values for a plan.

        Raises:
            ValidationError: A value cannot be stored; the error names the field.
        """
        try:
            return plan.encode(values)
        except (ValueError, TypeError, RecursionError):
            raise self._refusal(plan.name_bad_value(values)) from None

    def decode(self, keys: tuple[str, ...], row: Any) -> dict[str, Any]:
        """Decode some columns of a driver's row."""
        decoded = {}
        for key, value in zip(keys, row, strict=True):
            process = self.plans.hydrate.processor(key)
            decoded[key] = value if process is None or value is None else process(value)
        return decoded

    # Inside the unit of work.

    def get(self, executor: Executor, key: Mapping[str, Any], *, lock: bool = False) -> dict[str, Any] | None:
        """Read one row as attribute values; locked, no other transaction changes it before this one ends."""
        plan = self.plans.get_for_update() if lock else self.plans.get()
        rows = executor.fetch(plan, plan.encode(key))
        return self.plans.hydrate.decode(rows[0]) if rows else None

    def find_key(self, executor: Executor, matching: Mapping[str, Any]) -> dict[str, Any] | None:
        """The primary key of the row that has these values, locked; None when there is no such row."""
        columns = self.plans.columns
        statement = select(*(columns[key] for key in self.plans.primary_key)).with_for_update()
        for key, value in matching.items():
            statement = statement.where(columns[key].is_(None) if value is None else columns[key] == value)
        row = executor.execute(statement.limit(1)).first()
        return None if row is None else dict(zip(self.plans.primary_key, row, strict=True))

    def change(
        self,
        executor: Executor,
        key: Mapping[str, Any],
        changes: Mapping[str, Any],
        *,
        expected_version: int | None = None,
        check: Check | None = None,
        event_type: str = "updated",
    ) -> dict[str, Any]:
        """Change one row and return it as attribute values.

        Args:
            check: Called with the row as it is and the changes, which it may complete or refuse by raising; it may
                return the type of the event.

        Raises:
            NotFoundError: There is no such row; nothing was changed.
            ConflictError: It is at another version; nothing was changed.
        """
        after, event = self.change_untold(executor, key, changes, expected_version, check, event_type)
        if event is not None and self.trail is not None:
            self.trail.write(executor, event)
        return after

    def change_untold(
        self,
        executor: Executor,
        key: Mapping[str, Any],
        changes: Mapping[str, Any],
        expected_version: int | None,
        check: Check | None = None,
        event_type: str = "updated",
    ) -> tuple[dict[str, Any], Sequence[Any] | None]:
        """Change one row as `change` does; returns it with its event, which the caller has to write."""
        changes = dict(changes)
        before: dict[str, Any] | None = None
        if check is not None or self.trail is not None or self.is_dated:
            before = self.require(self.get(executor, key, lock=True), key, expected_version)
            if check is not None:
                event_type = check(executor, before, changes) or event_type
            if self.is_dated:
                changes.setdefault("updated_at", self.moment_after(before))
        if before is None or self.plans.computed:
            after = self._update(executor, key, changes, expected_version)
        else:
            plan, parameters, after = self.prepare_change(key, changes, before)
            require_all(plan, executor.change(plan, parameters), 1)
        # A caller may have dated it as it was dated before, so that a trigger has dated it anew.
        if self.is_triggered or (self.is_dated and before is not None and before["updated_at"] == after["updated_at"]):
            after = self.get(executor, key) or after
        event = None if before is None else self.event(event_type, key, before, after, changes)
        return after, event

    def moment_after(self, before: Mapping[str, Any]) -> datetime:
        """When a row is changed: now, and later than it was changed last.

        A trigger takes a statement that leaves the moment as it is for one that does not know of it.
        """
        last: datetime = before["updated_at"]
        return max(self._clock(), last + timedelta(microseconds=1))

    def write_event(
        self,
        executor: Executor,
        event_type: str,
        key: Mapping[str, Any],
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        changes: Iterable[str],
    ) -> None:
        """Write down, where the table is audited, what became of these columns of a row."""
        event = self.event(event_type, key, before, after, changes)
        if event is not None and self.trail is not None:
            self.trail.write(executor, event)

    def event(
        self,
        event_type: str,
        key: Mapping[str, Any],
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        changes: Iterable[str],
    ) -> Sequence[Any] | None:
        """The event of a change of these columns; None where the table is not audited."""
        if self.trail is None:
            return None
        write = self._change_images.writer(tuple([name for name in changes if before[name] != after[name]]))
        return self.trail.change(event_type, shown(key), write(before), write(after), after.get("tree_id"))

    def revise(
        self,
        executor: Executor,
        key: Mapping[str, Any],
        compute: Revision,
        *,
        check: Check | None = None,
        event_type: str = "updated",
    ) -> dict[str, Any]:
        """Change one row by a function of what it is, so that no change of somebody else is lost.

        Args:
            compute: Gets the row as it is and returns the changes; without any, nothing is written.
            check: As for `change`.

        Raises:
            NotFoundError: There is no such row.
            ValidationError: The changes were refused.
        """
        before = self.require(self.get(executor, key, lock=True), key)
        changes = compute(before)
        if not changes:
            return before
        values = self.validator.change_values(changes)
        return self.change(executor, key, values, check=check, event_type=event_type)

    def prepare_change(
        self, key: Mapping[str, Any], changes: dict[str, Any], before: Mapping[str, Any]
    ) -> tuple[Plan, Sequence[Any], dict[str, Any]]:
        """What changes a row that was just read and locked: what it is afterwards follows from what it was.

        Args:
            changes: They are completed, and become what a read would give.
        """
        if self._touches:
            changes.setdefault("updated_at", self._clock())
        plan = self.plans.update(tuple(changes), raises_version=self.counts_changes, returning=False)
        parameters = self.encode(plan, {f"set_{name}": value for name, value in changes.items()} | dict(key))
        self._normalise(changes, plan, parameters, prefix="set_")
        after = {**before, **changes}
        if self.counts_changes:
            after["version"] += 1
        return plan, parameters, after

    def _update(
        self, executor: Executor, key: Mapping[str, Any], changes: dict[str, Any], expected_version: int | None
    ) -> dict[str, Any]:
        if self._touches:
            changes.setdefault("updated_at", self._clock())
        plan = self.plans.update(
            tuple(changes), raises_version=self.counts_changes, expects_version=expected_version is not None
        )
        values = {f"set_{name}": value for name, value in changes.items()} | dict(key)
        if expected_version is not None:
            values["version"] = expected_version
        rows = executor.fetch(plan, self.encode(plan, values))
        if rows:
            return self.plans.hydrate.decode(rows[0])
        self.require(self.get(executor, key), key, expected_version)
        raise ConflictError(entity=self.name, entity_id=shown(key))

    def remove(self, executor: Executor, key: Mapping[str, Any]) -> bool:
        """Delete one row with what falls with it; False when there is none."""
        before: dict[str, Any] | None = None
        if self.trail is not None or self.cascade.is_needed:
            before = self.get(executor, key, lock=True)
            if before is None:
                return False
        fallen = self.cascade.find(executor.trusted, key)
        plan = self.plans.delete()
        removed = executor.change(plan, plan.encode(key)) > 0
        if removed and self.trail is not None and before is not None:
            tree_id = before.get("tree_id")
            self.trail.write(executor, self.trail.parameters("deleted", shown(key), before=before, tree_id=tree_id))
        if removed:
            self.cascade.finish(executor.trusted, key, fallen)
        return removed

    def require(
        self, found: dict[str, Any] | None, key: Mapping[str, Any], expected: int | None = None
    ) -> dict[str, Any]:
        """A row that was looked for; NotFoundError without one, ConflictError at another version than expected."""
        if found is None:
            raise NotFoundError(self.name, shown(key))
        if expected is None or found["version"] == expected:
            return found
        message = f"{self.name} {shown(key)!s} is at version {found['version']}, not {expected}: read it again"
        raise ConflictError(
            message,
            entity=self.name,
            entity_id=shown(key),
            expected_version=expected,
            actual_version=found["version"],
        )

    def _refusal(self, bad: tuple[str, Exception] | None) -> ValidationError:
        if bad is None:
            return ValidationError(entity=self.name)
        field, reason = bad
        return ValidationError(f"{self.name}.{field}: {reason}", field=field, entity=self.name)
