"""Tokens and cost of a run: missing is not 0."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from agent_system.importers.trajectory.run import ModelUsage

if TYPE_CHECKING:
    from agent_system.importers.trajectory.shape import Fields

__all__ = ["read_usage"]


def read_usage(info: Fields | None) -> ModelUsage:
    """Return what `info.model_stats` says.

    A run that called a model has sent tokens. Replayed runs and runs of unmeasured models write zeros all the same:
    two zeros mean that nobody counted, and a cost of 0 beside them that nobody priced.
    """
    stats = info.child("model_stats") if info is not None else None
    if stats is None:
        return ModelUsage()
    sent, received, calls = stats.count("tokens_sent"), stats.count("tokens_received"), stats.count("api_calls")
    cost = _cost(stats)
    if not sent and not received:
        # A price without tokens is still a price; a zero is none.
        return ModelUsage(cost_usd=cost or None, api_calls=calls)
    return ModelUsage(input_tokens=sent, output_tokens=received, cost_usd=cost, api_calls=calls)


def _cost(stats: Fields) -> Decimal | None:
    """Return the cost of this run; older files call it total_cost, which may span several runs, so it comes second."""
    for name in ("instance_cost", "total_cost"):
        value = stats.number(name)
        if value is not None:
            # By its shortest text: Decimal(0.1) would carry the binary error into the ledger.
            return Decimal(repr(value))
    return None
