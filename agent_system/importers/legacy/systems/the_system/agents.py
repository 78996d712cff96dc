"""Agents, their tools and permissions, and the documents that they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.conflicts import Merge, Suffix
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    count,
    flag,
    json_object,
    json_value,
    moment,
    reference,
    required,
    text,
    texts,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.items import ITEM, items_of
from agent_system.importers.legacy.values import plain
from agent_system.models import AgentPermission, AgentTool
from agent_system.types import LIFECYCLE_STATUS_LEGACY, LifecycleStatus

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

STATE = word("status", LifecycleStatus, LifecycleStatus.ACTIVE, LIFECYCLE_STATUS_LEGACY)
CREATED = moment("created_at", "updated_at", NOW)
UPDATED = moment("updated_at", "created_at", NOW)

_metadata = json_object("metadata")
_is_active = flag("is_active", default=True)


def facts(*names: str, metadata: bool = False) -> Any:
    """The metadata of a row: its own, and columns there that have none here."""

    def convert(row: SourceRow) -> dict[str, Any]:
        found = {name: plain(row.get(name)) for name in names}
        known = {name: value for name, value in found.items() if value is not None}
        return {**_metadata(row), **known} if metadata else known

    return convert


def _server(row: SourceRow) -> dict[str, Any]:
    found = {
        "mcp_server_url": text("mcp_server_url")(row),
        "available_operations": json_value("available_operations")(row),
        "security_level": text("security_level")(row),
    }
    return {**json_object("configuration")(row), **{name: value for name, value in found.items() if value is not None}}


def _in_use(row: SourceRow) -> LifecycleStatus:
    return LifecycleStatus.ACTIVE if _is_active(row) else LifecycleStatus.INACTIVE


TOOLS = Table(
    source="tools",
    target="tools",
    identity=("id", "name", "created_at"),
    key=("id", "name"),
    needs=frozenset({"name", "implementation"}),
    columns={
        "id": OWN_ID,
        "name": required(text("name", empty=False), "name"),
        "description": text("description"),
        "category": text("category", "general", empty=False),
        "implementation": text("implementation"),
        "parameters": json_object("parameters"),
        "permissions": texts("permissions"),
        "dependencies": texts("dependencies"),
        "status": STATE,
        "meta": facts("version", "created_by"),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
    conflicts=(Merge(on=("name_key",), fills=("description", "implementation")),),
)
AVAILABLE_TOOLS = Table(
    source="available_tools",
    target="tools",
    identity=("tool_name",),
    key=("tool_name",),
    needs=frozenset({"tool_type"}),
    columns={
        "id": OWN_ID,
        "name": required(text("tool_name", empty=False), "tool_name"),
        "description": text("description"),
        "category": text("tool_type", "general", empty=False),
        "configuration": _server,
        "status": _in_use,
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
    conflicts=(Merge(on=("name_key",), fills=("description",)),),
    # By its name, as the tools of the registry are known too.
    known_as="tools.name",
)
DOCUMENTS = Table(
    source="context_documents",
    target="context_documents",
    identity=("id", "name", "created_at"),
    needs=frozenset({"name", "content"}),
    columns={
        "id": OWN_ID,
        "name": text("name", "(no name)", empty=False),
        "title": text("title"),
        "content": text("content", ""),
        "format": text("format", "markdown", empty=False),
        "category": text("category", "general", empty=False),
        "access_level": text("access_level", "internal", empty=False),
        "updated_by": text("updated_by"),
        "meta": facts("version", metadata=True),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
)
AGENTS = Table(
    source="agents",
    target="agents",
    identity=("id", "name", "created_at"),
    key=("id", "name"),
    needs=frozenset({"name", "instruction"}),
    columns={
        "id": OWN_ID,
        "name": text("name", "(no name)", empty=False),
        "instruction": text("instruction", ""),
        "context_documents": texts("context_documents"),
        "permissions": json_object("permissions"),
        "constraints": json_object("constraints"),
        "configuration": json_object("model_config"),
        "state": STATE,
        "meta": facts("version", "created_by"),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
    conflicts=(Suffix(column="name", owner="user_id"),),
)
AGENT_TOOLS = Table(
    source="agents",
    part="available_tools",
    target=AgentTool,
    identity=("id", "name", "created_at", ITEM),
    needs=frozenset({"name", "instruction", "available_tools"}),
    expand=items_of("available_tools"),
    columns={
        "agent_id": reference("id", "agents", otherwise="reject"),
        "tool_id": reference(ITEM, "tools.name", otherwise="reject"),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
    conflicts=(Merge(on=("agent_id", "tool_id")),),
    is_referenced=False,
)
PERMISSIONS = Table(
    source="agent_base_permissions",
    target=AgentPermission,
    identity=("agent_type",),
    key=("agent_type",),
    needs=frozenset({"entity_permissions", "base_tools"}),
    columns={
        "id": OWN_ID,
        "agent_type": required(text("agent_type", empty=False), "agent_type"),
        "entity_permissions": json_object("entity_permissions"),
        "base_tools": texts("base_tools"),
        "max_concurrent_tools": count("max_concurrent_tools", 5),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
    conflicts=(Merge(on=("agent_type",)),),
    is_referenced=False,
)
TABLES = (TOOLS, AVAILABLE_TOOLS, DOCUMENTS, AGENTS, AGENT_TOOLS, PERMISSIONS)
