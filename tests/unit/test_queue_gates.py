"""How the figures of `scripts/bench queue` stand to what is wanted."""

from __future__ import annotations

from scripts.benchmarks.queue_gates import gate_table


def test_figures_are_held_against_what_is_wanted() -> None:
    rate = "claim and complete"
    figures = {
        "SQLite, one process": {"ours": {rate: 10_000.0, "enqueue": 9.0}, "huey": {rate: 1_000.0, "enqueue": 3.0}},
        "PostgreSQL, 1 worker process": {"ours": {rate: 100.0}},
        "PostgreSQL, 4 worker processes": {"ours": {rate: 80.0}},
        "pick-up by a waiting worker of another process": {"SQLite": {"p50 ms": 1.25}},
    }
    four = "| PostgreSQL, 4 worker processes: claim and complete | 80/s | PostgreSQL, 1 worker process 100/s"
    assert gate_table(figures).splitlines()[2:] == [
        "| SQLite, one process: claim and complete | 10,000/s | huey 1,000/s | ≥ 5 x | 10.00 x |",
        "| pick-up by a waiting worker of another process (SQLite): p50 ms | 1.25 |  | ≤ 1.5 | 1.25 |",
        f"{four} | ≥ 0.9 x | 0.80 x (missed) |",
    ]
    assert gate_table({}) == ""
