"""Two reports of one call: the later state of a stream, the final count after an estimate, the same line twice.

What the two say is brought together so that the order in which they arrive does not matter for long:

- Counts replace, they are never added. `reported` is worth more than `estimated` or `partial`, those more than
  `missing`; counts that are worth less than the row's are ignored. Among equals the larger sum is the later state of a
  stream, so a smaller one came late and is ignored. To lower a final count is a matter for `update`, not for a log.
- A class of tokens that the new counts leave out keeps what it had, unless it no longer fits into its total.
- A cost that the provider reported stands, and only a later reported one replaces it; a computed one is computed anew.
  Corrections that were written in between stay what they are; `reprice` brings them up to date.
- Of the rest, what is given replaces, and a late report fills in only what the row does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.managers.ledger.fields import TOKEN_CLASSES
from agent_system.types import CostSource, UsageState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Price = Callable[[Mapping[str, Any]], int | None]

__all__ = ["merged"]

WORTH = {UsageState.MISSING: 0, UsageState.ESTIMATED: 1, UsageState.PARTIAL: 1, UsageState.REPORTED: 2}
# A late report changes nothing of how the call ended.
FINAL = frozenset({"success", "error_type"})


def merged(row: Mapping[str, Any], new: Mapping[str, Any], given: Collection[str], price: Price) -> dict[str, Any]:
    """Return what changes in a row of the ledger by another report of the same call.

    Args:
        row: The row as it is.
        new: The values of the new report; a `usage_state` of None is what the counts of both make it.
        given: Which of them the caller gave: facts beside the tokens and their cost.
        price: What tokens cost by the row's model at the row's time.
    """
    if new["usage_state"] is None:
        new = {**new, "usage_state": _state(new, row)}
    is_late = _standing(new, row) < _standing(row, row)
    changes = {key: new[key] for key in given if not is_late or (key not in FINAL and not row[key])}
    if not is_late:
        changes |= _tokens(row, new)
    reported = new["cost_source"] == CostSource.REPORTED
    if reported and (not is_late or row["cost_source"] != CostSource.REPORTED):
        changes |= {"cost_nano_usd": new["cost_nano_usd"], "cost_source": CostSource.REPORTED}
    elif not is_late and row["cost_source"] != CostSource.REPORTED:
        cost = price({**row, **changes})
        changes |= {"cost_nano_usd": cost, "cost_source": None if cost is None else CostSource.COMPUTED}
    return {key: value for key, value in changes.items() if row[key] != value}


def _standing(report: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[int, int]:
    """What a report's counts are worth, and their sum where the row fills in a total that the report leaves out."""
    return WORTH.get(report["usage_state"], 0), sum(total or 0 for total in _totals(report, row))


def _state(report: Mapping[str, Any], row: Mapping[str, Any]) -> UsageState:
    """What a report is whose sender has not said: with the row's total beside its own it may be a whole one."""
    if report["input_tokens"] is None and report["output_tokens"] is None:
        return UsageState.MISSING
    return UsageState.PARTIAL if None in _totals(report, row) else UsageState.REPORTED


def _totals(report: Mapping[str, Any], row: Mapping[str, Any]) -> list[int | None]:
    return [row[key] if report[key] is None else report[key] for key in ("input_tokens", "output_tokens")]


def _tokens(row: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    tokens = {key: row[key] if new[key] is None else new[key] for key in TOKEN_CLASSES}
    created, whole = tokens["cache_creation_input_tokens"] or 0, tokens["input_tokens"] or 0
    split = [tokens["cache_creation_5m_input_tokens"], tokens["cache_creation_1h_input_tokens"]]
    if (tokens["cache_read_input_tokens"] or 0) + created > whole:
        kept = ("cache_read_input_tokens", "cache_creation_input_tokens")
        tokens |= {key: new[key] for key in kept}
        created = tokens["cache_creation_input_tokens"] or 0
    if sum(part or 0 for part in split) > created:
        tokens |= {key: new[key] for key in TOKEN_CLASSES[4:6]}
    if (tokens["reasoning_output_tokens"] or 0) > (tokens["output_tokens"] or 0):
        tokens["reasoning_output_tokens"] = new["reasoning_output_tokens"]
    return tokens | {"usage_state": new["usage_state"]}
