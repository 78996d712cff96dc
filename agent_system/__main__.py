"""`python -m agent_system` is the command `agent-system`."""

from __future__ import annotations

from agent_system.cli.main import run

if __name__ == "__main__":
    run()
