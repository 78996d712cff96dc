"""AgentDB9's agents, what they remembered for long, and the projects that they took part in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.conflicts import Abandon, Merge, Suffix
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    count,
    flag,
    json_list,
    json_object,
    moment,
    number,
    reference,
    required,
    text,
    texts,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.items import ITEM, items_of, parsed
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.remembered import ONCE
from agent_system.importers.legacy.systems.agentdb.people import (
    CREATED,
    UPDATED,
    owner,
    owner_of,
    owner_to_remember,
)
from agent_system.models import ProjectAgent
from agent_system.types import AGENT_STATUS_LEGACY, AgentStatus, ProjectStatus

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

LOWEST, HIGHEST = 1, 10

_configuration = json_object("configuration")
_names = texts("capabilities")
_importance = number("importance", 0.5)


def _instruction(row: SourceRow) -> str:
    found = _configuration(row).get("systemPrompt")
    return found if isinstance(found, str) else ""


def _enabled(row: SourceRow) -> list[str]:
    """What an agent can do; what was switched off it cannot. All of it, with its figures, stays in the metadata."""
    found = parsed(row.raw.get("capabilities"))
    if not isinstance(found, list):
        found = []
    off = {item.get("type") for item in found if isinstance(item, dict) and item.get("enabled") is False}
    if any(isinstance(item, dict) for item in found):
        row.kept["capabilities"] = found
    return [name for name in _names(row) if name not in off]


AGENTS = Table(
    source="agents",
    target="agents",
    identity=("id", "createdAt"),
    needs=frozenset({"name", "userId", "configuration"}),
    columns={
        "id": OWN_ID,
        "name": text("name", "(no name)", empty=False),
        "description": text("description"),
        "user_id": owner_to_remember("agents"),
        "instruction": _instruction,
        "configuration": _configuration,
        "status": word("status", AgentStatus, AgentStatus.IDLE, AGENT_STATUS_LEGACY),
        "capabilities": _enabled,
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            ("name", "description", "userId", "configuration", "status", "capabilities", "createdAt", "updatedAt")
        ),
    },
    conflicts=(Suffix(column="name", owner="user_id"),),
)
WORKSPACES = Table(
    source="workspaces",
    target="workspaces",
    identity=("id", "createdAt"),
    needs=frozenset({"name", "userId"}),
    columns={
        "id": OWN_ID,
        "user_id": owner,
        "name": text("name", "(no name)", empty=False),
        "description": text("description"),
        "workspace_type": text("type", "local", empty=False),
        "path": text("rootPath"),
        "is_default": flag("isDefault", default=False),
        "config": json_object("config"),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            ("userId", "name", "description", "type", "rootPath", "isDefault", "config", "createdAt", "updatedAt")
        ),
    },
    conflicts=(
        Abandon(
            on=("user_id",),
            changes={"is_default": False},
            why="the owner has another default workspace",
            when=lambda values: values["is_default"] is True,
        ),
    ),
)
_agents = json_list("agents")
_rest_of_project = metadata(
    (
        "name",
        "description",
        "userId",
        "repositoryUrl",
        "localPath",
        "framework",
        "language",
        "status",
        "agents",
        "workspaceId",
        "volumeName",
        "volumePath",
        "createdAt",
        "updatedAt",
    )
)


def _project_meta(row: SourceRow) -> dict[str, Any]:
    # The agents are rows of their own; here it is told when there are none to be read.
    _agents(row)
    found: dict[str, Any] = _rest_of_project(row)
    return found


PROJECTS = Table(
    source="projects",
    target="projects",
    identity=("id", "createdAt"),
    needs=frozenset({"name", "userId", "language"}),
    columns={
        "id": OWN_ID,
        "name": text("name", "(no name)", empty=False),
        "description": text("description"),
        "user_id": owner,
        "repository_url": text("repositoryUrl", empty=False),
        "local_path": text("localPath", empty=False),
        "framework": text("framework", empty=False),
        "language": text("language", empty=False),
        "status": word("status", ProjectStatus, ProjectStatus.ACTIVE),
        "workspace_id": reference("workspaceId", "workspaces"),
        "volume_name": text("volumeName", empty=False),
        "volume_path": text("volumePath", empty=False),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": _project_meta,
    },
    conflicts=(Suffix(column="name", owner="user_id"),),
)

PROJECT_AGENTS = Table(
    source="projects",
    part="agents",
    target=ProjectAgent,
    identity=("id", "createdAt", ITEM),
    needs=frozenset({"name", "userId", "language", "agents"}),
    expand=items_of("agents"),
    columns={
        "project_id": reference("id", "projects", otherwise="reject"),
        "agent_id": reference(ITEM, "agents", otherwise="reject"),
        "created_at": UPDATED,
    },
    conflicts=(Merge(on=("project_id", "agent_id")),),
    keeps_metadata=False,
    is_referenced=False,
)


def _from_one_to_ten(row: SourceRow) -> int:
    """Theirs runs from 0 to 1."""
    share = min(max(float(_importance(row)), 0.0), 1.0)
    return LOWEST + round(share * (HIGHEST - LOWEST))


LONG_TERM_MEMORIES = Table(
    source="long_term_memories",
    target="memories",
    identity=("id", "createdAt"),
    needs=frozenset({"agentId", "summary"}),
    columns={
        "user_id": owner_of("agentId", "agents"),
        "agent_id": reference("agentId", "agents"),
        "project_id": reference("projectId", "projects"),
        "category": text("category", "general", empty=False),
        "content": required(text("summary"), "summary"),
        "context": text("details", ""),
        "importance": _from_one_to_ten,
        "timestamp": CREATED,
        "recall_count": count("accessCount", 0),
        "last_recalled_at": moment("lastAccessedAt"),
        "created_at": CREATED,
        "updated_at": moment("updatedAt", "createdAt", NOW),
        "meta": metadata(
            (
                "agentId",
                "projectId",
                "category",
                "summary",
                "details",
                "accessCount",
                "lastAccessedAt",
                "createdAt",
                "updatedAt",
            ),
            "metadata",
        ),
    },
    conflicts=ONCE,
    is_referenced=False,
)
TABLES = (AGENTS, WORKSPACES, PROJECTS, PROJECT_AGENTS, LONG_TERM_MEMORIES)
