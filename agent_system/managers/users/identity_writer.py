"""Making identities inside the units of work of other managers, who refer to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select

from agent_system.database.groups import kind_of
from agent_system.database.inline_writes import size_of
from agent_system.database.plans import compile_plan
from agent_system.database.statements import UnlessThere
from agent_system.managers.core.store import RowStore
from agent_system.models import UserIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor

__all__ = ["IdentityWriter", "identity_writer"]


class _Owned:
    """Makes the identity whose row it is, unless it is there, and writes the row; see `database/groups.py`."""

    __slots__ = ("_identities", "id_", "write")

    def __init__(self, identities: IdentityWriter, id_: str, write: Callable[[Executor], None]) -> None:
        self._identities = identities
        self.write: Any = write
        self.id_ = id_

    def __call__(self, executor: Executor) -> None:
        """Write it alone."""
        self._identities.ensure(executor, self.id_)
        self.write(executor)

    def kind(self) -> object | None:
        """What it has in common with those that can be written with it; None when it is written by itself."""
        kind = kind_of(self.write)
        return None if kind is None else (_Owned, kind)

    def written_size(self) -> int | None:
        """How many bytes and characters it writes; None when nobody knows."""
        return size_of(self.write)

    def do_with(self, executor: Executor, others: Sequence[_Owned]) -> None:
        """Write it, and after it others of its kind."""
        self._identities.ensure_all(executor, {self.id_, *(each.id_ for each in others)})
        self.write.do_with(executor, [each.write for each in others])


class IdentityWriter:
    """Makes identities inside the units of work of other managers, unless they are there."""

    def __init__(self, store: RowStore[UserIdentity]) -> None:
        self._store = store
        plans = store.plans
        rows = {column.name: bindparam(key, type_=column.type) for key, column in plans.columns.items()}
        statement = insert(plans.table).values(rows).ext(UnlessThere()).inline()
        self._insert = compile_plan(statement, plans.dialect, writes=plans.table.name)
        key = plans.columns["id"]
        self._look = compile_plan(select(key).where(key == bindparam("id", type_=key.type)), plans.dialect)

    def prepare(self, data: Mapping[str, Any]) -> Callable[[Executor], bool]:
        """Check and encode an identity; returns what writes it and tells whether it was not there."""
        values = self._store.validator.create_values({"display_name": data["id"], **data})
        parameters = self._store.encode(self._insert, values)
        return lambda executor: executor.change(self._insert, parameters) > 0

    def ensure(self, executor: Executor, id_: str) -> None:
        """Make an identity that nothing but its id is known of, unless it is there."""
        # Whether somebody may write under it is decided where they write: a guild's scope meets new people every day.
        executor = executor.trusted
        if not executor.fetch(self._look, self._look.encode({"id": id_})):
            self.prepare({"id": id_})(executor)

    def ensure_all(self, executor: Executor, ids: Iterable[str | None]) -> None:
        """Make those of some identities that are not there; None is nobody."""
        for id_ in sorted({id_ for id_ in ids if id_ is not None}):
            self.ensure(executor, id_)

    def before(self, id_: str | None, write: Callable[[Executor], None]) -> Callable[[Executor], None]:
        """What makes the identity whose row it is, unless it is there or nobody's, and then writes the row.

        It can be done together with others when the row can.
        """
        return write if id_ is None else _Owned(self, id_, write)

    def adopt(self, executor: Executor, id_: str, changes: Mapping[str, Any]) -> None:
        """Change an identity that was there before what it belongs to."""
        self._change(executor, id_, changes)

    def follow(self, executor: Executor, id_: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Give an identity the values `after` where it has those of `before`; what was set otherwise is left alone."""
        found = self._store.get(executor, {"id": id_}, lock=True)
        if found is None:
            return
        changes = {key: value for key, value in after.items() if found[key] == before[key] != value}
        if changes:
            self._change(executor, id_, changes)

    def _change(self, executor: Executor, id_: str, changes: Mapping[str, Any]) -> None:
        values = dict(changes)
        self._store.validator.derive(values)
        self._store.change(executor, {"id": id_}, values)


def identity_writer(dialect: Dialect, clock: Callable[[], datetime]) -> IdentityWriter:
    """The writer for a manager that has no manager of identities."""
    return IdentityWriter(RowStore(UserIdentity, dialect, clock))
