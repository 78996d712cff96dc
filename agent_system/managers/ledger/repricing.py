"""Correcting what calls cost by the prices that are known now: the old figure stays, an entry beside it corrects it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, select, tuple_

from agent_system.database.dialects.expressions import transaction_lock
from agent_system.managers.ledger.fields import TOKEN_CLASSES
from agent_system.managers.ledger.pricing import Rates, cost_of, price_columns, valid_price
from agent_system.models import metadata
from agent_system.types import CostSource, LedgerEntryKind, UsageState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import RowStore
    from agent_system.models import TokenUsage

__all__ = ["CORRECTION_LOCK", "Corrector", "RepriceReport"]

PAGE = 500
"""Entries of one unit of work: others write in between."""
CORRECTION_LOCK = "token_usage.corrections"
"""Whoever corrects holds it: two at once would both write the same difference."""

_models = metadata.tables["models"]
_prices = metadata.tables["model_prices"]
_usage = metadata.tables["token_usage"]

# A correction is found by whatever finds the entry that it corrects.
COPIED = (
    "timestamp",
    "project_id",
    "model_id",
    "user_id",
    "agent_id",
    "task_id",
    "conversation_id",
    "message_id",
    "session_uuid",
    "role",
)
WRITTEN = (
    *COPIED,
    "kind",
    "usage_state",
    "cost_nano_usd",
    "cost_source",
    "corrects_id",
    "meta",
    "created_at",
    "updated_at",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RepriceReport:
    """What a repricing did."""

    checked: int = 0
    """Calls that were looked at; those whose cost was reported are not among them."""
    corrected: int = 0
    """Those of them that got a correcting entry."""
    unpriced: int = 0
    """Those of them whose cost is still not known."""
    difference_nano_usd: int = 0
    """By how much the ledger's cost changed."""

    def __add__(self, other: RepriceReport) -> RepriceReport:
        return RepriceReport(
            checked=self.checked + other.checked,
            corrected=self.corrected + other.corrected,
            unpriced=self.unpriced + other.unpriced,
            difference_nano_usd=self.difference_nano_usd + other.difference_nano_usd,
        )


class Corrector:
    """Writes correcting entries in units of work."""

    def __init__(self, store: RowStore[TokenUsage], clock: Callable[[], datetime]) -> None:
        self._keys = store.plans.hydrate.keys
        self._clock = clock
        self._insert = store.plans.insert(WRITTEN)

    def reprice(
        self, executor: Executor, wanted: Sequence[ColumnElement[bool]], last: tuple[Any, Any] | None
    ) -> tuple[RepriceReport, tuple[Any, Any] | None]:
        """Correct the next entries, in the order of their time; return what was done and which one was the last.

        None in its place says that there are no more.

        Args:
            wanted: Which entries.
            last: Time and key of the entry to go on behind.
        """
        executor.execute(select(transaction_lock(CORRECTION_LOCK)))
        # Locked by themselves: of models and prices, which are read below, nobody shall wait for anything.
        ids = executor.execute(_page(wanted, last)).scalars().all()
        rows = executor.execute(_priced(ids)).all()
        corrections = []
        unpriced = 0
        for row in rows:
            usage = dict(zip(self._keys, row, strict=False))
            corrected, *price = row[len(self._keys) :]
            cost = cost_of({name: usage[name] for name in TOKEN_CLASSES}, Rates.of_row(price))
            present = _effective(usage["cost_nano_usd"], corrected)
            unpriced += cost is None and present is None
            if cost is not None and cost != present:
                reason = {"reason": "reprice"}
                corrections.append(self._correction(usage, cost - (present or 0), CostSource.COMPUTED, reason))
        executor.change_many(self._insert, [self._insert.encode(each) for each in corrections])
        report = RepriceReport(
            checked=len(rows),
            corrected=len(corrections),
            unpriced=unpriced,
            difference_nano_usd=sum(each["cost_nano_usd"] for each in corrections),
        )
        if len(ids) < PAGE:
            return report, None
        return report, (rows[-1][self._keys.index("timestamp")], rows[-1][self._keys.index("id")])

    def correct(self, executor: Executor, usage: Mapping[str, Any], cost: int, reason: str | None) -> bool:
        """Make a call's cost, with all its corrections, what somebody reports; False when it is that already."""
        executor.execute(select(transaction_lock(CORRECTION_LOCK)))
        sums = select(func.sum(_usage.c.cost_nano_usd)).where(_usage.c.corrects_id == usage["id"])
        present = _effective(usage["cost_nano_usd"], executor.execute(sums).scalar_one())
        if present == cost:
            return False
        meta = {} if reason is None else {"reason": reason}
        correction = self._correction(usage, cost - (present or 0), CostSource.REPORTED, meta)
        executor.change(self._insert, self._insert.encode(correction))
        return True

    def _correction(self, usage: Mapping[str, Any], cost: int, source: CostSource, meta: Any) -> dict[str, Any]:
        now = self._clock()
        return {key: usage[key] for key in COPIED} | {
            "kind": LedgerEntryKind.CORRECTION,
            # It has no tokens of its own.
            "usage_state": UsageState.MISSING,
            "cost_nano_usd": cost,
            "cost_source": source,
            "corrects_id": usage["id"],
            "meta": meta,
            "created_at": now,
            "updated_at": now,
        }


def _page(wanted: Sequence[ColumnElement[bool]], last: tuple[Any, Any] | None) -> Select[Any]:
    """The keys of the next calls whose cost nobody reported; locked."""
    correction = _usage.alias("correction")
    reported = correction.c.cost_source == CostSource.REPORTED
    was_reported = exists(select(correction.c.id).where(correction.c.corrects_id == _usage.c.id, reported))
    statement = (
        select(_usage.c.id)
        .where(_usage.c.kind == LedgerEntryKind.USAGE, *wanted)
        .where(_usage.c.cost_source.is_(None) | (_usage.c.cost_source == CostSource.COMPUTED), ~was_reported)
        .order_by(_usage.c.timestamp, _usage.c.id)
        .limit(PAGE)
        .with_for_update(of=_usage)
    )
    if last is None:
        return statement
    place = tuple_(*last, types=[_usage.c.timestamp.type, _usage.c.id.type])
    return statement.where(tuple_(_usage.c.timestamp, _usage.c.id) > place)


def _priced(ids: Sequence[int]) -> Select[Any]:
    """Whole calls, the sum of their corrections, and the prices that hold for them, in the order of their time."""
    correction = _usage.alias("correction")
    corrected = select(func.sum(correction.c.cost_nano_usd)).where(correction.c.corrects_id == _usage.c.id)
    price = valid_price(_usage.c.model_id, _usage.c.timestamp, _usage.c.input_tokens)
    joined = _usage.join(_models, _models.c.id == _usage.c.model_id).outerjoin(_prices, price)
    statement = select(*_usage.columns, corrected.scalar_subquery(), *price_columns()).select_from(joined)
    return statement.where(_usage.c.id.in_(ids)).order_by(_usage.c.timestamp, _usage.c.id)


def _effective(cost: int | None, corrected: Any) -> int | None:
    """What a call costs with its corrections; None when neither it nor a correction says."""
    if cost is None and corrected is None:
        return None
    # PostgreSQL adds 64-bit integers up as numerics.
    return (cost or 0) + int(corrected or 0)
