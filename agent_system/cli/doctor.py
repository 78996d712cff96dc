"""`agent-system doctor`: looks the database through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent_system.cli.context import await_, options_of
from agent_system.cli.output import console, print_json, table
from agent_system.doctor import Finding, Severity, examine_url

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["doctor"]

# Beside the codes of errors: the doctor's work was done, and this is what came of it.
CODES = {Severity.WARNING: 20, Severity.ERROR: 21}


def doctor(
    context: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended without losing anything.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look the database through; exit code 0: well, 20: warnings, 21: data are damaged or in danger."""
    report = await_(examine_url(options_of(context).url, fix=fix))
    if as_json:
        print_json(report.as_json())
    else:
        _show("Mended", report.fixed)
        _show("Found", report.findings)
        if not report.findings:
            console().print(f"nothing is wrong ({', '.join(report.checks)})", markup=False, soft_wrap=True)
    if report.worst in CODES:
        raise typer.Exit(CODES[report.worst])


def _show(title: str, findings: Sequence[Finding]) -> None:
    if findings:
        rows = [(each.severity.name.lower(), each.check, each.message, each.advice) for each in findings]
        console().print(table(title, ("severity", "check", "what", "what to do"), rows))
