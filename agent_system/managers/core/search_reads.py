"""`SearchReads`: what a search reads of a table, each a compiled statement that is short enough for the loop's thread.

A hop to the reader's thread and back takes 60 µs when the machine has nothing else to do, and ten times as much when it
has; a search that asks four times for a few rows each would hardly do anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import bindparam, select

from agent_system.database.dialects.lookups import rows_of_keys
from agent_system.managers.core.condition_plans import Bound, ConditionPlans, bind
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan, TablePlans
    from agent_system.managers.core.asking import Wanted
    from agent_system.managers.core.condition_plans import Rows

__all__ = ["MOST_AT_ONCE", "SearchReads"]

Row = TypeVar("Row")

# So many keys are read on the loop's thread, which takes 100 µs; more are on the reader's.
FEW_KEYS = 300
# How many parameters the lists of keys have; what is left over is NULL. A usual page is ten rows, and one that tells
# whether there are more.
SIZES = (11, 16, 32, 64, 256)
MOST_AT_ONCE = SIZES[-1]
"""How many keys can be asked for at once."""
NAMES = tuple(f"key_{number}" for number in range(MOST_AT_ONCE))


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read of some rows."""

    name: str
    key: Any
    """The column by which they are told."""
    columns: Select[Any]


class SearchReads(Generic[Row]):
    """Reads rows of one table.

    Args:
        plans: The table's.
        vectors_by: The column of `embeddings` that leads to a row.
    """

    def __init__(self, plans: TablePlans[Row], vectors_by: str) -> None:
        self.hydrate = plans.hydrate
        """Makes an instance of a stored row."""
        embeddings = metadata.tables["embeddings"]
        key = self._key = plans.columns["id"]
        owner = embeddings.c[vectors_by]
        self._keys = _Read("keys", key, select(key))
        self._rows = _Read("rows", key, select(*plans.table.columns))
        owners = select(embeddings.c.id, owner).join(plans.table, owner == key)
        self._owners = _Read("owners", embeddings.c.id, owners)
        self._usual: dict[int, Bound] = {}
        self._key_position = plans.hydrate.keys.index("id")
        self._plans = ConditionPlans(plans.dialect)
        self._engine = plans.dialect.name

    async def bound(self, db: DatabaseManager, wanted: Wanted) -> Bound | None:
        """The condition for the rows that are wanted; None when there is no plan for it."""
        answers = _Answers()
        while True:
            try:
                return self._bound(wanted, answers)
            except _UnknownError as unknown:
                await answers.learn(db, unknown)

    def _bound(self, wanted: Wanted, answers: _Answers) -> Bound | None:
        values = wanted.usual_values(answers)
        if values is None:
            return bind(wanted.conditions(answers))
        # Of the usual conditions there is one for each number of values; to make them takes a quarter of a search.
        known = self._usual.get(len(values))
        if known is not None:
            return Bound(known.form, known.condition, known.binds, values)
        bound = bind(wanted.conditions(answers))
        if bound is not None and bound.own == values:
            # What SQLAlchemy remembers a condition under is a long tuple, which would be hashed for each statement.
            self._usual[len(values)] = bound = Bound(("usual", len(values)), bound.condition, bound.binds)
        return bound

    async def own(self, db: DatabaseManager, wanted: Wanted, most: int) -> tuple[Bound, list[Any]] | None:
        """The condition for the rows of a scope, and their keys, of more than so many those of the newest.

        None when there is no plan for it.
        """
        likely = None if db.is_scoped else self._likely(wanted)
        if likely is not None:
            rows = await db.fetch(*likely[1:])
            # Without rows it is not told what was looked up.
            if rows and rows[0][1] is None and len(rows) < FEW_KEYS:
                return likely[0], [row[0] for row in rows]
        bound = await self.bound(db, wanted)
        return None if bound is None else (bound, await self.keys(db, bound, most))

    def _likely(self, wanted: Wanted) -> tuple[Bound, Plan, tuple[Any, ...]] | None:
        """The condition if nothing is found of the only thing that is looked up for it, and what reads both at once.

        The identity whose rows somebody wants is mostly linked with no other; to ask for that first takes a tenth of a
        search.
        """
        asked = _Nothing()
        values = wanted.usual_values(asked)
        known = None if values is None else self._usual.get(len(values))
        if values is None or known is None or len(asked.plans) != 1:
            return None
        bound = Bound(known.form, known.condition, known.binds, values)
        looked_up: Any = asked.plans[0]
        (name,) = looked_up.parameters

        def few(condition: ColumnElement[bool]) -> Select[Any]:
            also = looked_up.statement.scalar_subquery()
            return select(self._key, also).where(condition).limit(bindparam("most"))

        plan, parameters = self._plans.plan("own", bound, few, most=FEW_KEYS, **{name: values[0]})
        return bound, plan, parameters

    async def keys(self, db: DatabaseManager, bound: Bound, most: int) -> list[Any]:
        """The keys of the rows for which a condition holds; of more than so many those of the newest."""

        def few(condition: ColumnElement[bool]) -> Select[Any]:
            # In any order, so that they can come from an index of another one that knows all that is asked for.
            return select(self._key).where(condition).limit(bindparam("most"))

        def newest(condition: ColumnElement[bool]) -> Select[Any]:
            return few(condition).order_by(self._key.desc())

        rows = await db.fetch(*self._plans.plan("few", bound, few, most=FEW_KEYS))
        if len(rows) == FEW_KEYS:
            plan, parameters = self._plans.plan("newest", bound, newest, most=most)
            rows = await db.read(lambda executor: executor.fetch(plan, parameters))
        return [row[0] for row in rows]

    async def allowed(self, db: DatabaseManager, bound: Bound, keys: Sequence[Any]) -> set[Any]:
        """Those of some keys whose rows meet a condition."""
        return {row[0] for row in await self._among(db, bound, keys, self._keys)}

    async def rows(self, db: DatabaseManager, bound: Bound, keys: Sequence[Any]) -> dict[Any, Row]:
        """The rows of some keys that meet a condition, by key."""
        return {key: self.hydrate(row) for key, row in (await self.stored(db, bound, keys)).items()}

    async def stored(self, db: DatabaseManager, bound: Bound, keys: Sequence[Any]) -> dict[Any, Any]:
        """The same as the driver gives them, for `hydrate`."""
        position = self._key_position
        return {row[position]: row for row in await self._among(db, bound, keys, self._rows)}

    async def owners(self, db: DatabaseManager, bound: Bound, numbers: Sequence[int]) -> dict[int, Any]:
        """The keys of the rows, by the numbers of their vectors, of which a condition holds."""
        return {row[0]: row[1] for row in await self._among(db, bound, numbers, self._owners)}

    async def _among(self, db: DatabaseManager, bound: Bound, keys: Sequence[Any], what: _Read) -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(keys), MOST_AT_ONCE):
            part = keys[start : start + MOST_AT_ONCE]
            size = next(size for size in SIZES if size >= len(part))
            names = NAMES[:size]

            def build(condition: ColumnElement[bool], names: Sequence[str] = names) -> Rows:
                binds = [bindparam(name, type_=what.key.type) for name in names]
                return rows_of_keys(self._engine, what.columns, what.key, binds, condition)

            values = [*part, *[None] * (size - len(part))]
            others = dict(zip(names, values, strict=True))
            plan, parameters = self._plans.plan((what.name, size), bound, build, **others)
            found += await db.fetch(plan, parameters)
        return found


class _UnknownError(Exception):
    def __init__(self, plan: Plan, parameters: tuple[Any, ...]) -> None:
        super().__init__()
        self.plan = plan
        self.parameters = parameters


class _Nothing:
    """Stands for the executor of a unit of work that finds nothing, and notes what it was asked."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:  # noqa: ARG002 (one that finds nothing)
        """Nothing."""
        self.plans.append(plan)
        return []


class _Answers:
    """Stands for the executor of a unit of work: what it does not know yet is looked up, and the work begins again."""

    def __init__(self) -> None:
        self._known: dict[Any, list[Any]] = {}

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """The rows of a compiled statement that were looked up."""
        values = tuple(parameters)
        found = self._known.get((id(plan), values))
        if found is None:
            raise _UnknownError(plan, values)
        return found

    async def learn(self, db: DatabaseManager, unknown: _UnknownError) -> None:
        """Look it up."""
        self._known[id(unknown.plan), unknown.parameters] = await db.fetch(unknown.plan, unknown.parameters)
