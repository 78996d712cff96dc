"""What is wanted of agent_system: ratios to its peers and to the floors, and two bounds of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scripts.benchmarks.contenders.registry import CONTENDERS, OURS
from scripts.benchmarks.ledger_workloads import LEDGER
from scripts.benchmarks.runner import Case

if TYPE_CHECKING:
    from scripts.benchmarks.runner import Report

__all__ = ["TARGETS", "Target", "Verdict", "judge"]

Measure = Literal["rate", "p50_ms", "p99_ms", "p99 ratio"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One wanted figure: a ratio to a contender, or a latency."""

    title: str
    case: Case
    wanted: float
    against: str | None = None
    """The contender; None for a bound of our own."""
    measure: Measure = "rate"

    @property
    def shown_against(self) -> str:
        """The contender for people."""
        return CONTENDERS[self.against].label if self.against in CONTENDERS else ""

    @property
    def shown_wanted(self) -> str:
        """The bound for people."""
        return f"{'>=' if self.measure == 'rate' else '<='} {_shown(self.wanted, self.measure)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A target and what became of it; `measured` is None when it was not measured."""

    target: Target
    measured: float | None
    is_reached: bool

    @property
    def shown_measured(self) -> str:
        """The figure for people."""
        return "" if self.measured is None else _shown(self.measured, self.target.measure)


def judge(target: Target, report: Report) -> Verdict:
    """Compare what was measured with what is wanted."""
    measured = _measured(target, report)
    if measured is None:
        return Verdict(target=target, measured=None, is_reached=False)
    reached = measured >= target.wanted if target.measure == "rate" else measured <= target.wanted
    return Verdict(target=target, measured=measured, is_reached=reached)


def _measured(target: Target, report: Report) -> float | None:
    ours = report.find(target.case, OURS)
    if ours is None:
        return None
    if target.measure == "p50_ms":
        return ours.p50_ms
    if target.measure == "p99_ms":
        return ours.p99_ms
    other = report.find(target.case, target.against or "")
    if other is None:
        return None
    if target.measure == "p99 ratio":
        return ours.p99_ms / other.p99_ms
    return ours.rows_per_second / other.rows_per_second


def _shown(value: float, measure: Measure) -> str:
    if measure.endswith("_ms"):
        return f"{value:.3g} ms"
    return f"{value:.3g}x"


def _targets(title: str, workload: str, coroutines: int, durability: str, wanted: dict[str, float]) -> list[Target]:
    case = Case(workload=workload, coroutines=coroutines, durability=durability)
    return [Target(title=title, case=case, against=against, wanted=ratio) for against, ratio in wanted.items()]


def _bound(title: str, workload: str, durability: str, measure: Measure, wanted: float) -> Target:
    coroutines = 1 if measure == "p50_ms" else 64
    against = "async_session" if measure == "p99 ratio" else None
    case = Case(workload=workload, coroutines=coroutines, durability=durability)
    return Target(title=title, case=case, against=against, measure=measure, wanted=wanted)


# Where a figure does not say at what durability it is wanted, it is at "normal": the floors of one transaction pay
# for one commit only, and at "full" the disk would be measured instead of the layer.
TARGETS: list[Target] = [
    *_targets(
        "create message, 64, full",
        "create_message",
        64,
        "full",
        {"async_session": 60, "advanced_alchemy": 80, "raw": 5},
    ),
    *_targets(
        "create message, 64, normal",
        "create_message",
        64,
        "normal",
        {"async_session": 60, "advanced_alchemy": 100, "batch": 0.5},
    ),
    *_targets("create agent with its event, 64", "create_agent", 64, "normal", {"async_session": 35, "batch": 0.5}),
    *_targets("update agent, version and event, 64", "update_agent", 64, "normal", {"async_session": 20, "batch": 0.5}),
    *_targets("create message, 1, normal", "create_message", 1, "normal", {"async_session": 6, "raw": 0.35}),
    *_targets("create agent with its event, 1, normal", "create_agent", 1, "normal", {"async_session": 4}),
    *_targets("bulk create of 10,000 messages", "bulk_create", 1, "normal", {"async_session": 10, "raw": 0.4}),
    *_targets("get by id, cold, 1", "get_cold", 1, "any", {"async_session": 40}),
    *_targets("get by id, cold, 64", "get_cold", 64, "any", {"async_session": 60}),
    *_targets("get by id, cached, 1", "get_cached", 1, "any", {"async_session": 100}),
    _bound("get by id, cached, 1", "get_cached", "any", "p50_ms", 0.010),
    *_targets("last 50 messages, 1", "last_50", 1, "any", {"async_session": 5, "raw": 0.5}),
    *_targets("last 50 messages, 64", "last_50", 64, "any", {"async_session": 5, "raw": 0.5}),
    *_targets("90/10 mix, 64, normal", "mix", 64, "normal", {"async_session": 30}),
    _bound("90/10 mix, 64, normal: p99", "mix", "normal", "p99_ms", 15),
    _bound("90/10 mix, 64, full: p99", "mix", "full", "p99_ms", 15),
    _bound("create message, 64, full: p99", "create_message", "full", "p99 ratio", 1 / 20),
    *(
        target
        for workload in LEDGER
        if not workload.writes
        for target in _targets(workload.title, workload.name, 1, "any", {"raw": 1 / 1.5, "async_session": 10})
    ),
    *_targets("log_usage, 64, normal", "log_usage", 64, "normal", {"async_session": 30}),
    *_targets("log_usage, 64, full", "log_usage", 64, "full", {"async_session": 30}),
]
