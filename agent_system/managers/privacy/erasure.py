"""Forgetting somebody: one transaction that deletes, empties and takes names out, and a receipt of what it did."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, literal, or_, select, update

from agent_system.database.dialects.expressions import json_array_contains
from agent_system.errors import NotFoundError
from agent_system.managers.core.audit import AuditTrail
from agent_system.managers.isolation.policies import Either, Parent
from agent_system.managers.isolation.registry import POLICIES
from agent_system.managers.isolation.scope import Dimension
from agent_system.managers.privacy.person import Person
from agent_system.managers.privacy.registry import PRIVACY
from agent_system.managers.privacy.rules import Action
from agent_system.models import User, metadata
from agent_system.models.columns import Json, Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Column, Dialect, Table

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.audit.sealing import Sealer
    from agent_system.managers.core.store import RowStore
    from agent_system.models import ErasureReceipt

__all__ = ["Erasure", "digest_of"]

Counts = dict[str, dict[str, int]]


def digest_of(user_id: UUID) -> str:
    """By what a receipt is found: nobody can guess the key, which has 74 random bits."""
    return hashlib.sha256(str(user_id).encode()).hexdigest()


class Erasure:
    """Makes the unit of work that forgets somebody."""

    def __init__(
        self, receipts: RowStore[ErasureReceipt], dialect: Dialect, clock: Callable[[], datetime], sealer: Sealer
    ) -> None:
        self._receipts = receipts
        self._sealer = sealer
        self._trail = AuditTrail("user", dialect, clock)

    def of(self, user_id: UUID) -> Work[dict[str, Any]]:
        """Forget a user; returns the receipt, which is the old one when it has been done before.

        Raises:
            NotFoundError: There is no such user, and has not been one.
        """
        digest = digest_of(user_id)
        table = self._receipts.plans.table

        def work(executor: Executor) -> dict[str, Any]:
            executor.forget()
            person = Person.find(executor, user_id, lock=True)
            if person is None:
                known = executor.execute(select(table.c.id).where(table.c.subject_digest == digest)).scalar()
                receipt = None if known is None else self._receipts.get(executor, {"id": known})
                if receipt is None:
                    raise NotFoundError(User.__name__, user_id)
                return receipt
            sealed = self._sealer.find_sealed(executor, _concerned(person))
            counts = erase(executor, person)
            values = self._receipts.validator.create_values({"subject_digest": digest, "counts": counts})
            self._receipts.prepare_insert(values)(executor)
            self._sealer.seal_erasure(executor, sealed, values["id"])
            event = self._trail.parameters("erased", None, data={"receipt": str(values["id"])})
            self._trail.write(executor, event)
            return values

        return work


def _concerned(person: Person) -> Any:
    """The events that are about a person, or in which they are named."""
    events = metadata.tables["events"]
    return or_(person.concerns(events), *(events.c[name].in_(person.names) for name in PRIVACY["events"].mentions))


def erase(executor: Executor, person: Person) -> Counts:
    """Carry out what the registry says; returns how many rows of each table were deleted, anonymised and unnamed."""
    counts: Counts = {}

    def note(table: Table, what: str, rows: int) -> None:
        if rows:
            done = counts.setdefault(table.name, {})
            done[what] = done.get(what, 0) + rows

    tables = list(reversed(metadata.sorted_tables))
    for table in tables:
        rule = PRIVACY[table.name]
        if rule.action is Action.ANONYMISE:
            note(table, "anonymised", _empty(executor, table, person.concerns(table)))
        if rule.authored is not None:
            note(table, "anonymised", _empty(executor, table, person.wrote(table), rule.authored))
        for name in rule.mentions:
            note(table, "unnamed", _unname(executor, table.c[name], person))
    # As long as whose a row is can be told: what is about an entity goes before the entity, what belongs to whom its
    # parent belongs before the parent, also where no foreign key says so.
    doomed = [table for table in tables if PRIVACY[table.name].action is Action.DELETE]
    for table in sorted(doomed, key=lambda one: (not PRIVACY[one.name].entities, -_depth(one.name))):
        note(table, "deleted", executor.execute(delete(table).where(person.concerns(table))).rowcount)
    return counts


def _depth(table: str) -> int:
    """Through how many parents it is told whose the rows of a table are."""
    rule = POLICIES[table].rules.get(Dimension.USER)
    rules = rule.rules if isinstance(rule, Either) else (rule,)
    return max((1 + _depth(one.table) for one in rules if isinstance(one, Parent)), default=0)


def _empty(executor: Executor, table: Table, condition: Any, *more: str) -> int:
    columns = [table.c[name] for name in (*PRIVACY[table.name].empties, *more)]
    values = {column.name: _nothing(column) for column in columns}
    return executor.execute(update(table).where(condition).values(values)).rowcount


def _unname(executor: Executor, column: Column[Any], person: Person) -> int:
    """Take the person's names out of a column that may name anybody."""
    table: Any = column.table
    if not isinstance(column.type, Json):
        named = update(table).where(column.in_(person.names)).values({column.name: _nothing(column)})
        return executor.execute(named).rowcount
    key: Any = table.primary_key.columns[0]
    found: dict[Any, list[Any]] = {}
    for name in person.names:
        rows: Any = select(key, column).where(json_array_contains(column, literal(name, Text())))
        fetched: Any = executor.execute(rows).all()
        found |= {row[0]: row[1] for row in fetched}
    for row_key, names in found.items():
        left = [name for name in names if name not in person.names]
        executor.execute(update(table).where(key == row_key).values({column.name: left}))
    return len(found)


def _nothing(column: Column[Any]) -> Any:
    """What an emptied column holds."""
    if column.nullable:
        return None
    if isinstance(column.type, Json):
        default: Any = column.server_default
        return [] if str(getattr(default, "arg", "")) == "[]" else {}
    return ""
