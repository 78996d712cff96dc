"""What the tests of faults share: the table they fill in, the shim, and processes that may be killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.report import PROPERTY, Teller, engine_of, faults_of, table
from tests.faults.shim import compile_shim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _pytest.terminal import TerminalReporter


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table of all faults that this run has tried."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    if not any(name == PROPERTY for report in reports for name, _ in report.user_properties):
        return
    terminalreporter.section("faults")
    for line in table(faults_of(sorted(reports, key=lambda report: report.nodeid))):
        terminalreporter.write_line(line)


@pytest.fixture
def tell(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Teller:
    """Return a function that puts a row into the table of faults."""
    return Teller(engine_of(request.node.nodeid), record_property)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled library that stands between SQLite and the disk."""
    return compile_shim(tmp_path_factory.mktemp("shim"))
