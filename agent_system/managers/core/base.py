"""`Manager`: the verbs that every table has, typed by the table class."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from sqlalchemy import func, select
from sqlmodel import SQLModel

from agent_system.clock import utc_now
from agent_system.database.recall import look_up
from agent_system.errors import DuplicateKeyError, IntegrityError, NotFoundError, ValidationError
from agent_system.managers.core.audit import in_audit_context
from agent_system.managers.core.failures import explained
from agent_system.managers.core.insertion import write_all
from agent_system.managers.core.loading import load_relations
from agent_system.managers.core.pagination import PageRequest
from agent_system.managers.core.patches import PatchWork, patched_column
from agent_system.managers.core.rules import TableRules
from agent_system.managers.core.selecting import Selection
from agent_system.managers.core.steps import in_chunks, in_steps
from agent_system.managers.core.store import Check, Revision, RowStore
from agent_system.managers.core.updating import Update
from agent_system.managers.core.where import equals

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from agent_system.database.executor import Executor, Work
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.where import Where

__all__ = ["Manager"]

Row = TypeVar("Row", bound=SQLModel)
T = TypeVar("T")
DEFAULT_PAGE, ITER_PAGE = 100, 500


class Manager(Generic[Row]):
    """Reads and writes the rows of one table.

    Rows come back as detached instances of the table class: plain values that no session watches. Data are a mapping or
    an instance; they are validated before anything is written. Outside of a transaction each verb is one by itself.
    """

    entity: type[Row]
    """The table class."""
    hot: ClassVar[bool] = False
    """Whether lookups by id go through the hot cache: for tables that are read far more often than written."""
    hot_name: ClassVar[str | None] = None
    """A unique column of texts by which rows are looked up through the hot cache too; the key must be a number."""
    audited: ClassVar[str | None] = None
    """The entity type under which changes are written to the audit trail; None when they are not."""
    kept: ClassVar[frozenset[str]] = frozenset()
    """Columns that only the manager writes, such as counters; data that name one are refused."""
    fixed: ClassVar[frozenset[str]] = frozenset()
    """Columns that are given with a new row and cannot be changed."""
    made_along: ClassVar[frozenset[str]] = frozenset()
    """Columns whose rows are made in the same unit of work when they are not there; no error names one of these."""

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._db = db
        self._clock = clock

    @cached_property
    def store(self) -> RowStore[Row]:
        """What units of work are made of; needs a connected database, because statements differ by engine."""
        return RowStore(self.entity, self._db.dialect, self._clock, TableRules.of(self))

    @property
    def plans(self) -> TablePlans[Row]:
        """The compiled statements of this table."""
        return self.store.plans

    # Hooks for the managers of single tables.

    def fill_in(self, values: dict[str, Any]) -> None:
        """Fill in what follows from the other values of a new row; called after validation."""

    def normalise(self, values: dict[str, Any]) -> None:
        """Bring values, of a new row or of a change, into the form that is stored; called after validation."""

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a new row; a manager whose rows have companions writes them in the same unit of work."""
        return self.store.prepare_insert(values, audit=audit)

    def removal(self, key: Mapping[str, Any]) -> Work[bool]:
        """What deletes a row."""
        return lambda executor: self.store.remove(executor, key)

    check_change: Check | None = None
    """Called in the transaction of a change with the row as it is and the changes; may complete or refuse them, and may
    return the type of the change's event."""

    # Writing.

    async def create(self, data: Mapping[str, Any] | Row) -> Row:
        """Write one row.

        Raises:
            ValidationError: The data were refused; the error names the field.
            IntegrityError: They break a rule of the schema (a duplicate name, a missing reference).
        """
        values = self.new_values(data)
        await self.run(self.insertion(values), values)
        return self.plans.hydrate.adopt(values)

    async def create_many(self, rows: Iterable[Mapping[str, Any] | Row]) -> builtins.list[Row]:
        """Write many rows, all or none, and return them in order.

        Raises:
            ValidationError: One was refused; nothing was written.
            IntegrityError: One breaks a rule of the schema; nothing was written.
        """
        many = await in_steps(self.new_values, rows)
        inserts = await in_steps(lambda values: self.insertion(values, audit=False), many)
        trail = self.store.trail
        keys = [str(values.get(self.plans.primary_key[0])) for values in many]
        event = trail.parameters("created", None, data={"ids": keys}) if trail is not None else None

        def work(executor: Executor) -> None:
            write_all(executor, inserts)
            if trail is not None and event is not None:
                trail.write(executor, event)

        if many:
            await self.run(work, many)
        return await in_steps(self.plans.hydrate.adopt, many)

    async def update(self, id: Any, changes: Mapping[str, Any] | Row, expected_version: int | None = None) -> Row:  # noqa: A002
        """Change some columns of one row and return it.

        Args:
            expected_version: Write only if the row is still at this version.

        Raises:
            NotFoundError: There is no such row.
            ConflictError: It is at another version.
            ValidationError: The changes were refused.
        """
        key = self.store.keys.existing(id)
        values = self._checked_changes(changes, expected_version)
        work = Update(self.store, key, values, expected_version, self.check_change)
        await self.run(work, values)
        return self.plans.hydrate.build(work.row)

    async def patch(self, id: Any, column: str, patch: Mapping[str, Any], expected_version: int | None = None) -> Row:  # noqa: A002
        """Apply a merge patch (RFC 7396) to a JSON column: objects merge, None removes a key, others replace.

        The database does it, so that of two writers of one document both survive.

        Raises:
            NotFoundError: There is no such row.
            ConflictError: It is not at `expected_version`.
            ValidationError: The patch was refused, or there is no object in the column.
        """
        key = self.store.keys.existing(id)
        values = self._checked_changes({patched_column(self.store, column, patch): patch}, expected_version)
        work = PatchWork(self.store, key, values, self._clock, expected_version, self.check_change)
        return self.plans.hydrate.build(await self.run(work, values))

    async def upsert(self, data: Mapping[str, Any] | Row, on: Sequence[str]) -> Row:
        """Write a row, or change the one that has the same values in the columns `on`, and return it.

        Only the keys that the data name are changed in a row that is there.

        Raises:
            ValidationError: The data were refused, or lack a value for a column of `on`.
        """
        values = self.new_values(data)
        matching = self.store.keys.matching(values, on)
        insert = self.insertion(values)
        changes = self.store.validator.upsert_changes(data, tuple(on))
        self.normalise(changes)

        def work(executor: Executor) -> dict[str, Any]:
            key = self.store.find_key(executor, matching)
            if key is None:
                insert(executor)
                return values
            if changes:
                return self.store.change(executor, key, changes, check=self.check_change)
            return self.store.get(executor, key) or values

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def delete(self, id: Any) -> bool:  # noqa: A002
        """Delete one row with what depends on it; False when there is none.

        Raises:
            ForeignKeyError: Another row needs it.
        """
        key = self.store.keys.possible(id)
        return key is not None and await self.run(self.removal(key))

    # Reading.

    async def get_by_id(self, id: Any) -> Row | None:  # noqa: A002
        """Return the row with this id, or None."""
        keys = self.store.keys
        parameters = keys.lookup(id)
        if parameters is None:
            return None
        return await look_up(self._db, keys.get_plan, parameters, keys.hydrate)

    async def require(self, id: Any) -> Row:  # noqa: A002
        """Return the row with this id.

        Raises:
            NotFoundError: There is none.
        """
        row = await self.get_by_id(id)
        if row is None:
            raise NotFoundError(self.store.name, id)
        return row

    async def get_many(self, ids: Iterable[Any]) -> dict[Any, Row]:
        """Return the rows with these ids by id, in the order of the ids; ids without a row are left out."""
        name, column = self.plans.primary_key[0], self.plans.columns[self.plans.primary_key[0]]
        wanted = self.store.keys.distinct(ids)
        found: dict[Any, Row] = {}
        for part in in_chunks(wanted):
            found |= {getattr(row, name): row for row in await self.select(self.query().where(column.in_(part)))}
        return {one: found[one] for one in wanted if one in found}

    async def find(self, **values: Any) -> builtins.list[Row]:
        """Return all rows with these values, in the order of their ids; None matches a column without a value."""
        return await self._db.read(Selection(self.plans, values).reading())

    async def find_one(self, **values: Any) -> Row | None:
        """Return the first row with these values, or None."""
        rows = await self._db.read(Selection(self.plans, values).reading(limit=1))
        return rows[0] if rows else None

    async def list(
        self,
        where: Where = None,
        order_by: str | None = None,
        limit: int = DEFAULT_PAGE,
        after: str | None = None,
        include: Iterable[str] = (),
    ) -> Page[Row]:
        """Return one page of rows.

        Args:
            where: A mapping of column to value, or SQLAlchemy expressions over the table class.
            order_by: A column, `-column` for descending; None is the order of the ids.
            limit: At most so many rows, from 1.
            after: The `next_cursor` of the page before.
            include: Relations to load with the rows, one statement each.

        Raises:
            ValidationError: A column or relation does not exist, or the limit is below 1.
            CursorError: The cursor belongs to another order or filter.
        """
        wanted = PageRequest(self.plans, where, order_by, limit)
        page = wanted.page(await self._db.read(wanted.reading(after)))
        await load_relations(self._db, self.entity, page.items, include)
        return page

    async def iter(
        self, where: Where = None, order_by: str | None = None, include: Iterable[str] = (), batch: int = ITER_PAGE
    ) -> AsyncIterator[Row]:
        """Yield all rows, a page at a time: constant memory, and no read transaction is held in between."""
        relations = tuple(include)
        after: str | None = None
        while True:
            page = await self.list(where, order_by, batch, after, relations)
            for row in page.items:
                yield row
            after = page.next_cursor
            if after is None:
                return

    async def count(self, **values: Any) -> int:
        """Count the rows with these values."""
        statement = self.query(values).with_only_columns(func.count(), maintain_column_froms=True)
        return int(await self._db.read(lambda executor: executor.execute(statement).scalar_one()))

    async def exists(self, **values: Any) -> bool:
        """Tell whether there is a row with these values."""
        statement = self.query(values).limit(1)
        return await self._db.read(lambda executor: executor.execute(statement).first()) is not None

    # What managers of single tables build on.

    def query(self, values: Mapping[str, Any] | None = None) -> Select[Any]:
        """A statement for whole rows, filtered by equality."""
        return select(*self.plans.table.columns).where(*(equals(self.plans, *one) for one in (values or {}).items()))

    async def select(self, statement: Select[Any]) -> builtins.list[Row]:
        """Run a statement that selects whole rows and return instances."""
        rows = await self._db.read(lambda executor: executor.execute(statement).all())
        keys, build = self.plans.hydrate.keys, self.plans.hydrate.build
        return [build(dict(zip(keys, row, strict=True))) for row in rows]

    def new_values(self, data: Mapping[str, Any] | Row) -> dict[str, Any]:
        """Validate the data of a new row and complete them."""
        values = self.store.validator.create_values(data)
        self._db.complete(self.plans.table.name, values)
        self.normalise(values)
        self.fill_in(values)
        return values

    async def revise(self, id: Any, compute: Revision, *, event_type: str = "updated") -> Row:  # noqa: A002
        """Change a row by a function of what it is, in one unit of work; without changes nothing is written.

        Raises:
            NotFoundError: There is no such row.
            ValidationError: The changes were refused.
        """
        key = self.store.keys.existing(id)

        def work(executor: Executor) -> dict[str, Any]:
            return self.store.revise(executor, key, compute, check=self.check_change, event_type=event_type)

        return self.plans.hydrate.build(await self.run(work))

    async def run(self, work: Work[T], values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()) -> T:
        """Run a writing unit of work; an integrity error names the caller's field and, of these values, the culprit."""
        try:
            return await self._db.write(in_audit_context(work))
        except IntegrityError as exc:
            raise await explained(self._db, self.plans, values, exc, self.made_along) from exc

    async def run_racing(self, work: Work[T], values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()) -> T:
        """Run a unit of work that looks for a row before it inserts one, again if another connection was faster."""
        try:
            return await self.run(work, values)
        except DuplicateKeyError:
            return await self.run(work, values)

    def _checked_changes(self, changes: Mapping[str, Any] | Row, expected_version: int | None) -> dict[str, Any]:
        values = self.store.validator.change_values(changes)
        self.normalise(values)
        if expected_version is not None and not self.store.is_versioned:
            message = f"{self.store.name} has no version to expect"
            raise ValidationError(message, field="expected_version", entity=self.store.name)
        return values
