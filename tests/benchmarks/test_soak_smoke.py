"""The endurance run ends well on a sound database, and its ledger sees what is wrong with others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from scripts.benchmarks.ledger import Ledger

ROOT = Path(__file__).parents[2]


def test_a_short_run_ends_with_ledger_and_table_equal() -> None:
    command = [sys.executable, "-m", "scripts.benchmarks", "soak", "--seconds", "2"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.endswith("ledger = table, nothing grew\n")


def test_equal_ledger_and_table_are_no_problem() -> None:
    one, other, maybe = uuid4(), uuid4(), uuid4()
    ledger = Ledger(written={one: 1}, rival={other}, uncertain={maybe}, refused={uuid4()})
    assert ledger.compare({one: str(one), other: str(other)}, killed=0) == []
    assert ledger.compare({one: str(one), other: str(other), maybe: str(maybe)}, killed=0) == []


def test_a_lost_row_is_seen() -> None:
    one = uuid4()
    assert "acknowledged" in Ledger(written={one: 1}).compare({}, killed=0)[0]
    assert "acknowledged" in Ledger(rival={one}).compare({}, killed=0)[0]


def test_a_refused_row_in_the_table_is_seen() -> None:
    one = uuid4()
    assert "refused" in Ledger(refused={one}).compare({one: str(one)}, killed=0)[0]


def test_rows_from_nowhere_are_seen_unless_a_killed_process_can_have_written_them() -> None:
    one = uuid4()
    assert "nobody wrote" in Ledger().compare({one: str(one)}, killed=0)[0]
    assert Ledger().compare({one: str(one)}, killed=1) == []


def test_a_garbled_row_is_seen() -> None:
    one = uuid4()
    assert "content" in Ledger(written={one: 1}).compare({one: "something else"}, killed=0)[0]
