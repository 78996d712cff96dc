"""`scripts/bench` runs and its JSON has the shape that others read; how fast anything is, is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks.__main__ import main

ROOT = Path(__file__).parents[2]
CONTENDERS = ["raw", "batch", "ours"]
WORKLOADS = ["create_agent", "update_agent", "get_cached", "chat_turn"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("bench") / "report.json"
    chart = file.with_suffix(".svg")
    small = ["--rounds", "1", "--rows", "80", "--seconds", "0.1", "--durability", "normal", "--svg", str(chart)]
    chosen = ["--contenders", ",".join(CONTENDERS), "--only", ",".join(WORKLOADS)]
    finished = bench(*small, *chosen, "--json", str(file))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "what is wanted" in finished.stdout
    assert chart.read_text().startswith("<svg ")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def test_every_contender_is_measured_in_every_case(report: dict[str, Any]) -> None:
    cases = {tuple(summary["case"].values()) for summary in report["summaries"]}
    assert {case[0] for case in cases} == set(WORKLOADS)
    for case in cases:
        names = {one["contender"] for one in report["summaries"] if tuple(one["case"].values()) == case}
        assert names >= {"raw", "ours"}


def test_every_measurement_is_proved_and_complete(report: dict[str, Any]) -> None:
    for summary in report["summaries"]:
        assert summary["error"] is None
        assert summary["rows"] > 0
        assert summary["rows_per_second"] > 0
        assert summary["p99_ms"] >= summary["p50_ms"] > 0
        assert summary["peak_memory_bytes"] >= 0
        assert len(summary["rounds"]) == 1


def test_wanted_figures_stand_beside_the_measured_ones(report: dict[str, Any]) -> None:
    judged = [one for one in report["targets"] if one["measured"] is not None]
    assert judged
    assert all({"title", "case", "wanted", "measure"} <= one["target"].keys() for one in judged)
    assert all(isinstance(one["is_reached"], bool) for one in report["targets"])


def test_the_report_says_on_what_but_not_whose_machine(report: dict[str, Any]) -> None:
    machine = report["machine"]
    assert {"python", "sqlite", "cores", "packages"} <= machine.keys()
    assert str(ROOT) not in json.dumps(report)


def test_an_unknown_workload_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "nonsense"])
    assert "create_message" in capsys.readouterr().err


def test_the_ledger_is_measured_and_every_contender_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    small = ["--rounds", "1", "--rows", "300", "--seconds", "0.1", "--durability", "normal"]
    assert main(["ledger", *small, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    measured = {(one["case"]["workload"], one["contender"]) for one in report["summaries"]}
    names = ("usage_summary", "usage_by_model", "usage_by_day", "tool_statistics", "find_capable", "log_usage")
    assert measured == {(name, contender) for name in names for contender in ("raw", "async_session", "ours")}
    assert {one["target"]["case"]["workload"] for one in report["targets"] if one["measured"]} == set(names)
