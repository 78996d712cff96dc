"""What runs in the child process of `database/child.py`; it loads nothing but the driver and the standard library."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from agent_system import errors
from agent_system.backup import sqlite_file

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    "copy": sqlite_file.copy,
    "verify": sqlite_file.verify,
    "restore": sqlite_file.restore,
}


def main() -> None:
    """Do what the request on stdin says and print the answer."""
    # SIGTERM becomes SystemExit, so that unfinished files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.umask(0o077)
    request = json.loads(sys.stdin.read())
    try:
        answer = VERBS[request.pop("verb")](**request)
    except errors.AgentSystemError as exc:
        answer = {"error": type(exc).__name__, "message": str(exc)}
    except OSError as exc:
        answer = {"error": "BackupError", "message": str(exc)}
    print(json.dumps(answer))  # noqa: T201 (the answer to the parent)
