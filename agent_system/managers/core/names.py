"""Looking a row up by its name, as fast as by its key: agents and tools are called by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import bindparam, select

from agent_system.database.plans import compile_plan
from agent_system.database.recall import look_up
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans

__all__ = ["NameLookup", "find_by_name"]

Row = TypeVar("Row")


class NameLookup(Generic[Row]):
    """Finds the row of a name, without regard to case.

    Args:
        plans: The table's statements; its names are unique, within one owner where it has an owner column.
        owner: The attribute of the owner; None where names are unique altogether.
    """

    def __init__(self, plans: TablePlans[Row], owner: str | None = None) -> None:
        columns = plans.columns
        named = select(*plans.table.columns).where(columns["name_key"] == bindparam("name_key"))
        shared = named if owner is None else named.where(columns[owner].is_(None))
        owned = named if owner is None else named.where(columns[owner] == bindparam("owner"))
        self._hydrate = plans.hydrate
        self._shared = compile_plan(shared, plans.dialect)
        self._owned = compile_plan(owned, plans.dialect)

    async def find(self, db: DatabaseManager, name: str, owner: Any = None) -> Row | None:
        """Return the owner's row of this name, without an owner the shared one; None when there is none."""
        plan = self._shared if owner is None else self._owned
        rows = await db.fetch(plan, plan.encode({"name_key": name_key(name), "owner": owner}))
        return self._hydrate(rows[0]) if rows else None


async def find_by_name(db: DatabaseManager, plans: TablePlans[Row], name: str, column: str = "name_key") -> Row | None:
    """Return the row of a name that is unique in its table, without regard to case; None when there is none.

    Args:
        db: The database.
        plans: The table's statements; the lookup goes through the hot cache where `column` is their `hot_name`.
        name: The name in any spelling.
        column: Where the compared form of the names is kept.
    """
    plan = plans.get_by(column)
    parameters = plan.encode({column: name_key(name)})
    return await look_up(db, plan, parameters, plans.hydrate)
