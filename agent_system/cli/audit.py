"""`agent-system audit`: seal the events, and verify that nobody has changed them since."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import console, print_json
from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from agent_system.cli.context import Options
    from agent_system.managers.audit.verification import Anchor, AuditVerdict

__all__ = ["app"]

app = typer.Typer(
    help="Proof that nobody has changed the events; the key is AGENT_SYSTEM_AUDIT_KEY.", no_args_is_help=True
)

# As the doctor's: the work was done, and this is what came of it.
NOT_AS_IT_WAS = 21
OWNER_ONLY = 0o600

AnchorFile = Annotated[
    Path | None,
    typer.Option(help="A file, out of reach of who can write to the database, with the newest link."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def seal(context: typer.Context, anchor_file: AnchorFile = None, as_json: AsJson = False) -> None:
    """Seal the events that are not sealed yet, beside those who write them."""
    sealed, head = await_(_seal(options_of(context)))
    if anchor_file is not None:
        _keep(anchor_file, head)
    if as_json:
        print_json({"sealed": sealed, "head": str(head)})
        return
    console().print(f"sealed {sealed:,} events; the newest link is {head}", markup=False, soft_wrap=True)


@app.command()
def verify(
    context: typer.Context,
    anchor: Annotated[str | None, typer.Option(help="The newest link at some earlier moment.")] = None,
    anchor_file: AnchorFile = None,
    as_json: AsJson = False,
) -> None:
    """Verify every sealed event; exit code 0: all are as they were, 21: not so."""
    verdict = await_(_verify(options_of(context), anchor or _kept(anchor_file)))
    if as_json:
        print_json(asdict(verdict) | {"head": str(verdict.head), "is_valid": verdict.is_valid})
    else:
        for problem in verdict.problems:
            console().print(problem, markup=False, soft_wrap=True)
        counted = f"{verdict.events:,} events in {verdict.seals:,} seals, {verdict.erased:,} of them erased"
        state = "valid" if verdict.is_valid else "NOT VALID"
        console().print(f"{state}: {counted}; {verdict.unsealed:,} not sealed yet", markup=False, soft_wrap=True)
    if not verdict.is_valid:
        raise typer.Exit(NOT_AS_IT_WAS)


async def _seal(options: Options) -> tuple[int, Anchor]:
    async with facade(options, auto_migrate=False) as em:
        return await em.audit.seal(), await em.audit.head()


async def _verify(options: Options, anchor: str | None) -> AuditVerdict:
    async with facade(options, auto_migrate=False) as em:
        return await em.audit.verify(anchor)


def _keep(path: Path, head: Anchor) -> None:
    # Lines are only added, so that the file can lie where nothing else is allowed.
    with os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, OWNER_ONLY), "a") as file:
        file.write(f"{head}\n")


def _kept(path: Path | None) -> str | None:
    if path is None:
        return None
    lines = path.read_text().split()
    if not lines:
        message = f"anchor_file: {path} is empty"
        raise ValidationError(message, field="anchor_file")
    return lines[-1]
