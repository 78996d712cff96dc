"""The statements about accounts that must hold at once: an update names the hash that was verified.

So a password that was changed, or an account that was deactivated, while somebody's password was being verified, is not
overruled by what was true before.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, literal_column, or_, select, update

from agent_system.database.plans import compile_plan
from agent_system.errors import NotFoundError
from agent_system.managers.core.audit import AuditTrail
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore
    from agent_system.models import User

__all__ = ["Credentials"]

ENTITY_TYPE = "user"


class Credentials:
    """Makes the units of work that log in, and that change what a user cannot change like a name.

    Each change writes an event that tells what was done, never what was there.
    """

    def __init__(self, store: RowStore[User], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._trail = AuditTrail(ENTITY_TYPE, store.plans.dialect, clock)

    @cached_property
    def find_plan(self) -> Plan:
        """Find the account of an address or a name; an address wins over somebody else's name that looks like it."""
        columns = self._store.plans.columns
        key = bindparam("key", type_=columns["username_key"].type)
        is_address = columns["email_key"] == key
        statement = select(*self._store.plans.table.columns).where(or_(is_address, columns["username_key"] == key))
        best_first = statement.order_by(case((is_address, literal_column("0")), else_=literal_column("1")))
        return compile_plan(best_first.limit(literal_column("1")), self._store.plans.dialect)

    def find_parameters(self, name_or_email: str) -> tuple[Any, ...]:
        """The parameters of `find_plan`."""
        return self.find_plan.encode({"key": name_key(name_or_email)})

    def logged_in(self, account: Mapping[str, Any], new_hash: str | None) -> Work[dict[str, Any] | None]:
        """Note a login, with a new hash if there is one; None when the account is not what it was."""
        now = self._clock()
        values: dict[str, Any] = {"last_login_at": now, "updated_at": now}
        if new_hash is not None:
            values["password_hash"] = new_hash
        return self._while_unchanged(account, values)

    def changed_password(self, account: Mapping[str, Any], new_hash: str) -> Work[dict[str, Any] | None]:
        """Store a new password; None when the account is not what it was."""
        values = {"password_hash": new_hash, "must_reset_password": False, "updated_at": self._clock()}
        update_account = self._while_unchanged(account, values)
        event = self._trail.parameters("password_changed", account["id"])

        def work(executor: Executor) -> dict[str, Any] | None:
            row = update_account(executor)
            if row is not None:
                self._trail.write(executor, event)
            return row

        return work

    def changed(self, user_id: UUID, changes: Mapping[str, Any], event_type: str, **data: Any) -> Work[dict[str, Any]]:
        """Change an account, whatever it is now; without a difference nothing is written.

        Raises:
            NotFoundError: There is no such user.
        """
        event = self._trail.parameters(event_type, user_id, data=data or None)
        key = {"id": user_id}

        def work(executor: Executor) -> dict[str, Any]:
            before = self._store.get(executor, key, lock=True)
            if before is None:
                raise NotFoundError(self._store.name, user_id)
            wanted = {name: value for name, value in changes.items() if before[name] != value}
            if not wanted:
                return before
            after = self._store.change(executor, key, wanted)
            self._trail.write(executor, event)
            return after

        return work

    def registered(self, user_id: UUID) -> list[Any]:
        """The event of a new account, for `write`."""
        return self._trail.parameters("registered", user_id)

    def write(self, executor: Executor, event: Sequence[Any]) -> None:
        """Write an event."""
        self._trail.write(executor, event)

    def _while_unchanged(self, account: Mapping[str, Any], values: Mapping[str, Any]) -> Work[dict[str, Any] | None]:
        plan = self._update_plan(tuple(values))
        seen = {"id": account["id"], "seen_hash": account["password_hash"]}
        parameters = plan.encode(seen | {f"set_{name}": value for name, value in values.items()})

        def work(executor: Executor) -> dict[str, Any] | None:
            rows = executor.fetch(plan, parameters)
            return self._store.plans.hydrate.decode(rows[0]) if rows else None

        return work

    def _update_plan(self, names: tuple[str, ...]) -> Plan:
        plan = self._update_plans.get(names)
        if plan is None:
            plans = self._store.plans
            columns = plans.columns
            is_unchanged = and_(
                columns["id"] == bindparam("id", type_=columns["id"].type),
                columns["password_hash"] == bindparam("seen_hash", type_=columns["password_hash"].type),
                columns["is_active"].is_(True),
            )
            new: dict[str, Any] = {
                columns[name].name: bindparam(f"set_{name}", type_=columns[name].type) for name in names
            }
            if "last_login_at" not in names:
                new["version"] = columns["version"] + literal_column("1")
            statement = update(plans.table).where(is_unchanged).values(new).returning(*plans.table.columns)
            plan = compile_plan(statement, plans.dialect)
            # So that the hot cache forgets this account and no other.
            plan = self._update_plans[names] = replace(plan, key_position=plan.parameters.index("id"))
        return plan

    @cached_property
    def _update_plans(self) -> dict[tuple[str, ...], Plan]:
        return {}
