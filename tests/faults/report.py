"""The table of the fault suite: what was tried, how often, and what it cost."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

PROPERTY = "fault"

# Faults that other folders try: part of a test's address, and the row of the table that it belongs to.
ELSEWHERE = {
    "engine/test_cancellation.py": "cancel storm, cancel inside COMMIT and at every wait",
    "engine/test_timeouts.py": "timeouts on long statements and on locks",
    "engine/test_lost_updates.py": "read-modify-write by 8 tasks of one process",
    "engine/test_transactions_gone.py": "transaction ended by RAISE, interrupt or full disk",
    "engine/test_killed.py": "SIGKILL of one process, its lock, its file",
    "engine/test_bad_files.py": "read-only file and folder, foreign, cut and damaged files",
    "engine/test_file_locks.py": "file locks dropped by another reader of the file",
    "engine/test_checkpoints.py": "long reader, bounded log, checkpoint beside commits",
    "engine/test_life_cycle.py": "fork, two event loops, forgotten disconnect",
    "conversations/test_streams_killed.py": "SIGKILL of a streaming writer",
    "queue/test_processes.py": "SIGKILL of queue workers",
    "queue/test_lease_clock.py": "clock set by an hour under a lease",
    "fast_paths/test_two_processes.py": "reads beside writing and killed processes",
    "fast_paths/test_loop_lag.py": "lag of the loop under load",
    "migration/test_processes.py": "4 processes migrate at once, one is killed",
    "migration/test_revisions.py": "every step up and down keeps rows, triggers and full text",
    "migration/test_batch.py": "rebuilt tables keep rows, triggers and full text",
    "migration/test_run_migrations.py": "migrations that raise, foreign and changed schemas",
    "backup/test_sqlite_backup.py": "backups that are cut, changed, foreign or cancelled",
}

TITLES = ("fault", "engine", "trials", "acknowledged", "lost", "verdict", "seconds")


@dataclass(kw_only=True)
class Fault:
    """One row of the table."""

    name: str
    engine: str
    trials: int = 0
    acknowledged: int | None = None
    lost: int | None = None
    verdict: str = ""
    seconds: float = 0.0

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows, in the order of its titles."""
        counts = ("" if number is None else f"{number:,}" for number in (self.acknowledged, self.lost))
        return (self.name, self.engine, f"{self.trials:,}", *counts, self.verdict, f"{self.seconds:.1f}")


class Teller:
    """Takes what a test found out, for the table."""

    def __init__(self, engine: str, record: Callable[[str, object], None]) -> None:
        self._engine = engine
        self._record = record

    def __call__(self, name: str, *, trials: int, acknowledged: int | None = None, lost: int | None = None) -> None:
        """Tell one row; `lost` counts acknowledged rows that were not there afterwards."""
        fault = Fault(name=name, engine=self._engine, trials=trials, acknowledged=acknowledged, lost=lost)
        self._record(PROPERTY, json.dumps(asdict(fault)))


def engine_of(nodeid: str) -> str:
    """Return the engine that the address of a test names; without one it is a test of the SQLite file."""
    parameters = nodeid.partition("[")[2]
    return "postgresql" if "postgresql" in parameters or "server_killed" in nodeid else "sqlite"


def faults_of(reports: Iterable[pytest.TestReport]) -> list[Fault]:
    """Gather the rows: those that tests told, and one for each engine and kind of fault that is tried elsewhere."""
    told: list[Fault] = []
    counted: dict[tuple[str, str], Fault] = {}
    for report in reports:
        rows: list[Any] = [json.loads(str(value)) for name, value in report.user_properties if name == PROPERTY]
        told += [_finished(Fault(**row), report, share=len(rows)) for row in rows]
        name = next((name for part, name in ELSEWHERE.items() if part in report.nodeid), None)
        if name is not None and report.when == "call":
            engine = engine_of(report.nodeid)
            row = counted.setdefault((name, engine), Fault(name=name, engine=engine, verdict="passed"))
            row.trials += 1
            row.seconds += report.duration
            row.verdict = row.verdict if report.passed else "FAILED"
    return told + list(counted.values())


def _finished(fault: Fault, report: pytest.TestReport, *, share: int) -> Fault:
    fault.verdict = "passed" if report.passed else "FAILED"
    fault.seconds = report.duration / share
    return fault


def table(faults: Iterable[Fault]) -> list[str]:
    """Return the lines of a Markdown table."""
    rows = [TITLES, *(fault.cells() for fault in faults)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    rule = ["-" * width for width in widths]
    padded = (
        [cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (rows[0], rule, *rows[1:])
    )
    return ["| " + " | ".join(cells) + " |" for cells in padded]
