"""Token usage: the ledger of tokens and cost, and what its entries add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.core.base import Manager
from agent_system.managers.core.pagination import conditions
from agent_system.models import TokenUsage, metadata
from agent_system.types import LedgerEntryKind, UsageState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.managers.core.pagination import Where

__all__ = ["ModelTokens", "TokenSummary", "TokenUsageManager"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSummary:
    """What ledger entries add up to; what is missing is counted, never added as 0."""

    entries: int
    """Calls to models; corrections change the cost only."""
    missing: int
    """Entries whose tokens nobody reported."""
    unpriced: int
    """Entries without a cost."""
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    """The cost of the priced entries, corrections included."""

    @property
    def cost_usd(self) -> float:
        """The cost in US dollars."""
        return self.cost_nano_usd / 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTokens:
    """What the entries of one model add up to."""

    host: str
    model: str
    summary: TokenSummary


class TokenUsageManager(Manager[TokenUsage]):
    """Token usage: the ledger of tokens and cost."""

    entity = TokenUsage

    async def summary(self, where: Where = None) -> TokenSummary:
        """Add up entries.

        Args:
            where: Which entries count, as in `list`: a mapping of column to value, or expressions over `TokenUsage`.

        Raises:
            ValidationError: A column does not exist.
        """
        statement = select(*self._sums()).where(*conditions(self.plans, where))
        row = await self._db.read(lambda executor: executor.execute(statement).one())
        return _summary(row)

    async def by_model(self, where: Where = None) -> list[ModelTokens]:
        """Add up the entries of each model, by host and name.

        Args:
            where: Which entries count, as in `summary`.

        Raises:
            ValidationError: A column does not exist.
        """
        usage, model, host = (metadata.tables[name] for name in ("token_usage", "models", "hosts"))
        statement = (
            select(host.c.name, model.c.name, *self._sums())
            .select_from(usage.join(model, usage.c.model_id == model.c.id).join(host, model.c.host_id == host.c.id))
            .where(*conditions(self.plans, where))
            .group_by(host.c.name, model.c.name)
            .order_by(host.c.name, model.c.name)
        )
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [ModelTokens(host=row[0], model=row[1], summary=_summary(row[2:])) for row in rows]

    def _sums(self) -> list[Any]:
        columns = self.plans.columns
        is_usage = columns["kind"] == LedgerEntryKind.USAGE
        cost = columns["cost_nano_usd"]
        return [
            func.count().filter(is_usage),
            func.count().filter(is_usage, columns["usage_state"] == UsageState.MISSING),
            func.count().filter(is_usage, cost.is_(None)),
            func.coalesce(func.sum(columns["input_tokens"]), 0),
            func.coalesce(func.sum(columns["output_tokens"]), 0),
            func.coalesce(func.sum(cost), 0),
        ]


def _summary(row: Any) -> TokenSummary:
    # PostgreSQL adds 64-bit integers up as numerics.
    entries, missing, unpriced, input_tokens, output_tokens, cost = map(int, row)
    return TokenSummary(
        entries=entries,
        missing=missing,
        unpriced=unpriced,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_nano_usd=cost,
    )
