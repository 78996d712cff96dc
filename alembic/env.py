"""What alembic runs for every command; everything is told in agent_system/database/environment.py."""

from __future__ import annotations

from agent_system.database.environment import run_environment
from agent_system.models import metadata

run_environment(metadata)
