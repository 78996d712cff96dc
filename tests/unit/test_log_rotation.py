"""The log of a worker: it is bounded, and its owner's alone."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from agent_system.cli import worker

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_log_file_is_rotated_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOG_BYTES", 1_000)
    before = os.umask(0o022)
    try:
        handler = worker.rotating(tmp_path / "worker.log")
        for number in range(200):
            handler.handle(logging.makeLogRecord({"msg": f"line {number} {'x' * 80}"}))
        handler.close()
    finally:
        os.umask(before)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + worker.LOGS_KEPT
    assert all(path.stat().st_size <= 1_000 and path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert "line 199" in (tmp_path / "worker.log").read_text()
