"""What the queue has to reach beside others, and how the figures of a run stand to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Figures = Mapping[str, Mapping[str, Mapping[str, float]]]

__all__ = ["gate_table"]

RATE = "claim and complete"
ONE = "SQLite, one process"
FOUR = "SQLite, 4 worker processes"
BACKLOG = "SQLite, one process, backlog"
SERVER = "PostgreSQL, 1 worker process"
SERVER_FOUR = "PostgreSQL, 4 worker processes"
PICK_UP = "pick-up by a waiting worker of another process"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One figure of ours that has to be so many times another one, or at most so much."""

    title: str
    """The table in which it stands."""
    figure: str
    """Its column."""
    ours: str = "ours"
    """Its row."""
    other: str | None = None
    """The row of what it is compared with; None: nothing."""
    other_title: str | None = None
    """The table of that row, when it is another one."""
    least: float | None = None
    """At least so many times the other one."""
    most: float | None = None
    """At most so many times the other one, or at most so much."""

    def line(self, figures: Figures) -> str | None:
        """The line of the table; None when it was not measured."""
        ours = figures.get(self.title, {}).get(self.ours, {}).get(self.figure)
        other = figures.get(self.other_title or self.title, {}).get(self.other or "", {}).get(self.figure)
        if ours is None or (self.other is not None and other is None):
            return None
        value = ours if other is None else ours / other
        is_reached = value >= self.least if self.least is not None else value <= (self.most or 0.0)
        cells = (
            f"{self.title}{'' if self.ours == 'ours' else f' ({self.ours})'}: {self.figure}",
            self._shown(ours),
            "" if other is None else f"{self.other_title or self.other} {self._shown(other)}",
            self._wanted(),
            f"{value:.2f}{' x' if other is not None else ''}{'' if is_reached else ' (missed)'}",
        )
        return f"| {' | '.join(cells)} |"

    def _shown(self, value: float) -> str:
        return f"{value:,.0f}/s" if self.figure in {RATE, "enqueue"} else f"{value:,.2f}"

    def _wanted(self) -> str:
        sign, number = ("≥", self.least) if self.least is not None else ("≤", self.most)
        return f"{sign} {number:g}{' x' if self.other is not None else ''}"


GATES: Sequence[Gate] = (
    Gate(title=ONE, figure=RATE, other="huey", least=5),
    Gate(title=ONE, figure="enqueue", other="litequeue", least=5),
    Gate(title=FOUR, figure=RATE, other="huey", least=3),
    Gate(title=BACKLOG, figure=RATE, other="ours, empty", least=0.8),
    Gate(title=BACKLOG, figure="claim p99 ms", other="ours, empty", most=2),
    Gate(title=PICK_UP, figure="p50 ms", ours="SQLite", most=1.5),
    Gate(title=PICK_UP, figure="p99 ms", ours="SQLite", most=6),
    Gate(title=PICK_UP, figure="idle % of a core", ours="SQLite", most=2),
    Gate(title=PICK_UP, figure="p50 ms", ours="PostgreSQL", most=3),
    Gate(title=SERVER, figure=RATE, other="pgqueuer", least=2),
    Gate(title=SERVER, figure=RATE, other="procrastinate", least=20),
    Gate(title=SERVER_FOUR, figure=RATE, other="ours", other_title=SERVER, least=0.9),
)


def gate_table(figures: Figures) -> str:
    """The lines of the figures that were measured, as a table for the README."""
    lines = [line for gate in GATES if (line := gate.line(figures)) is not None]
    if not lines:
        return ""
    return "\n".join(("| what | ours | beside | wanted | reached |", "|---|---|---|---|---|", *lines))
