"""Runs of SWE-agent (`*.traj`): `reader` parses a file, `writer` stores it; read `run` first, it says what a run is."""

from __future__ import annotations

from agent_system.importers.trajectory.reader import parse_trajectory, read_trajectory
from agent_system.importers.trajectory.run import (
    ModelUsage,
    Outcome,
    OutcomeSource,
    RunMessage,
    Step,
    ToolCall,
    ToolSpec,
    TrajectoryRun,
)
from agent_system.importers.trajectory.writer import ImportedRun, import_trajectory, store_run

__all__ = [
    "ImportedRun",
    "ModelUsage",
    "Outcome",
    "OutcomeSource",
    "RunMessage",
    "Step",
    "ToolCall",
    "ToolSpec",
    "TrajectoryRun",
    "import_trajectory",
    "parse_trajectory",
    "read_trajectory",
    "store_run",
]
