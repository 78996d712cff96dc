"""The interleaved run: every round measures each contender once, so that what the machine does meanwhile hits all."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.contenders.registry import CONTENDERS, REPORTERS
from scripts.benchmarks.templates import Templates
from scripts.benchmarks.worker import Request
from scripts.benchmarks.workload import Counts
from scripts.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Case", "Plan", "Report", "Summary", "run"]

ROOT = Path(__file__).parents[2]
DURABILITIES = {"full": ("full",), "normal": ("normal",), "both": ("full", "normal")}
PACKAGES = ("agent_system", "sqlmodel", "sqlalchemy", "aiosqlite", "advanced-alchemy", "tortoise-orm", "pydantic")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to run."""

    workloads: Sequence[str]
    contenders: Sequence[str]
    durability: str = "both"
    rounds: int = 5
    limit_seconds: float = 1.0
    freeze: bool = False
    """Whether the garbage collector skips what was there before each run, as `gc.freeze()` makes it."""
    searchable: bool = True
    """Whether messages are kept in the full-text index."""
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A workload with a number of coroutines and a durability; reads have the durability "any"."""

    workload: str
    coroutines: int
    durability: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The medians over the rounds for one contender in one case, or why there are none."""

    case: Case
    contender: str
    rows: int = 0
    rows_per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    peak_memory_bytes: int = 0
    rounds: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that was measured, and on what."""

    machine: dict[str, Any]
    plan: Plan
    missing: list[str]
    """Contenders whose packages are not installed."""
    summaries: list[Summary]

    def find(self, case: Case, contender: str) -> Summary | None:
        """The summary of a contender in a case, unless it failed or did not take part."""
        wanted = (one for one in self.summaries if one.case == case and one.contender == contender)
        return next((one for one in wanted if one.error is None), None)


def run(plan: Plan, progress: Callable[[str], None]) -> Report:
    """Measure everything in the plan."""
    installed = [name for name in plan.contenders if _is_installed(name)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        counts = plan.counts
        templates = Templates(
            Path(folder),
            agents=counts.agents,
            conversations=counts.conversations,
            messages=counts.messages,
            usage_rows=counts.usage_rows,
            searchable=plan.searchable,
        )
        workers = {name: stack.enter_context(_worker(name)) for name in installed}
        summaries: list[Summary] = []
        for case in _cases(plan):
            contenders = [name for name in installed if _takes_part(name, case)]
            progress(f"{case.workload}, {case.coroutines}, {case.durability}")
            with tempfile.TemporaryDirectory(dir=folder) as files:
                chosen = {name: workers[name] for name in contenders}
                summaries += _measure_case(plan, case, chosen, templates, files)
    missing = [name for name in plan.contenders if name not in installed]
    return Report(machine=_machine(), plan=plan, missing=missing, summaries=summaries)


def _cases(plan: Plan) -> Iterator[Case]:
    for name in plan.workloads:
        workload = WORKLOADS[name]
        for durability in DURABILITIES[plan.durability] if workload.writes else ("any",):
            for coroutines in workload.coroutines:
                yield Case(workload=name, coroutines=coroutines, durability=durability)


def _takes_part(contender: str, case: Case) -> bool:
    workload = WORKLOADS[case.workload]
    if workload.reports:
        return contender in REPORTERS
    return contender != "batch" or workload.batched is not None


def _is_installed(contender: str) -> bool:
    required = CONTENDERS[contender].requires
    return required is None or importlib.util.find_spec(required) is not None


def _measure_case(
    plan: Plan, case: Case, workers: dict[str, _Worker], templates: Templates, folder: str
) -> Iterator[Summary]:
    template = templates.path(WORKLOADS[case.workload].template)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    errors: dict[str, str] = {}
    for number in range(plan.rounds + 1):
        for name, worker in workers.items():
            if name in errors:
                continue
            answer = worker.ask(
                Request(
                    contender=name,
                    workload=case.workload,
                    coroutines=case.coroutines,
                    durability="normal" if case.durability == "any" else case.durability,
                    template=str(template),
                    file=str(Path(folder, f"{name}.db")),
                    counts=asdict(plan.counts),
                    # The first round warms everything up and does not count.
                    limit_seconds=plan.limit_seconds if number else plan.limit_seconds / 4,
                    freeze=plan.freeze,
                )
            )
            if "error" in answer:
                errors[name] = answer["error"].replace(folder, "")
            elif number:
                rounds[name].append(answer)
    for name, results in rounds.items():
        yield _summary(case, name, results, errors.get(name))


def _summary(case: Case, contender: str, results: list[dict[str, Any]], error: str | None) -> Summary:
    if error is not None:
        return Summary(case=case, contender=contender, error=error)

    def median(key: str) -> float:
        values: list[float] = [result[key] for result in results]
        return statistics.median(values)

    return Summary(
        case=case,
        contender=contender,
        rows=int(median("rows")),
        rows_per_second=median("rows_per_second"),
        p50_ms=median("p50_ms"),
        p99_ms=median("p99_ms"),
        peak_memory_bytes=max(result["peak_memory_bytes"] for result in results),
        rounds=results,
    )


class _Worker:
    """A contender's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, request: Request) -> dict[str, Any]:
        """Have something measured and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            return {"error": f"its process ended with code {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def _worker(contender: str) -> Iterator[_Worker]:
    # Settings of the machine stay out of the measurement; all that counts is given explicitly.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AGENT_SYSTEM_", "DB_"))}
    with subprocess.Popen(  # noqa: S603 (the interpreter that runs this)
        [sys.executable, "-m", "scripts.benchmarks.worker", contender],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield _Worker(process)


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: version(name) for name in PACKAGES if _has_version(name)},
    }


def _has_version(package: str) -> bool:
    try:
        version(package)
    except ModuleNotFoundError:
        return False
    return True
