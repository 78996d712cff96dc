"""`agent-system worker MODULE:OBJECT`: do the jobs of the queue until SIGTERM."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent_system.cli.context import await_, facade, options_of
from agent_system.errors import ConfigurationError
from agent_system.jobs import Worker

if TYPE_CHECKING:
    from agent_system.cli.context import Options

__all__ = ["load_worker", "rotating", "worker"]

LOG_BYTES = 10_000_000
LOGS_KEPT = 4


def worker(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="MODULE:OBJECT", help="Where the `Worker` is, or what makes one.")],
    concurrency: Annotated[int | None, typer.Option(min=1, help="So many handlers side by side.")] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when there is nothing to do.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what happens, not only what goes wrong.")
    ] = False,
    log_file: Annotated[
        Path | None, typer.Option(help="Log into this file, of which five of ten million bytes are kept.")
    ] = None,
) -> None:
    """Do the jobs of the queue; SIGTERM or Ctrl-C lets handlers finish, a second one hands their jobs back."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=None if log_file is None else [rotating(log_file)],
    )
    found = load_worker(target)
    if concurrency is not None:
        found.concurrency = concurrency
    await_(_run(options_of(context), found, until_idle=until_idle))


def rotating(path: Path) -> logging.Handler:
    """What writes a log that never grows beyond its limit; only its owner may read it."""

    class Private(RotatingFileHandler):
        def _open(self) -> Any:
            return os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a", encoding="utf-8")

    return Private(path, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT, encoding="utf-8")


async def _run(options: Options, found: Worker, *, until_idle: bool) -> None:
    async with facade(options) as em:
        logging.getLogger("agent_system.jobs").info("doing jobs of %s in %s", ", ".join(found.types), options.shown)
        # What was imported stays: to look through it for garbage would stop all jobs for a tenth of a second.
        gc.collect()
        gc.freeze()
        try:
            await found.run(em, until_idle=until_idle)
        finally:
            gc.unfreeze()


def load_worker(target: str) -> Worker:
    """Import a worker.

    Args:
        target: `module:object`; modules beside the current folder are found too.

    Raises:
        ConfigurationError: There is no such module or object, or it is no `Worker`.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        message = f"{target!r} is not MODULE:OBJECT, such as app.jobs:worker"
        raise ConfigurationError(message)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        message = f"the module {module_name!r} cannot be imported: {exc}"
        raise ConfigurationError(message) from exc
    found = getattr(module, name, None)
    if callable(found):
        found = found()
    if not isinstance(found, Worker):
        message = f"{target} is no agent_system.jobs.Worker, nor a function that makes one"
        raise ConfigurationError(message)
    return found
