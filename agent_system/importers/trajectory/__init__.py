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

__all__ = [
    "ModelUsage",
    "Outcome",
    "OutcomeSource",
    "RunMessage",
    "Step",
    "ToolCall",
    "ToolSpec",
    "TrajectoryRun",
    "parse_trajectory",
    "read_trajectory",
]
