"""The tools and the kinds of agents that seed 001 begins with, and what each kind may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.executor import Executor
    from agent_system.managers.agents.permissions import PermissionManager
    from agent_system.managers.core.base import Manager
    from agent_system.models import Tool

__all__ = ["AGENT_KINDS", "TOOLS", "SeededPermissions", "seeding"]

READ, CHANGE = ("read",), ("read", "write")

TOOLS: dict[str, tuple[str, str]] = {
    "entity_manager": ("Creates, reads, changes and lists entities", "minimal"),
    "message_user": ("Writes to the user", "minimal"),
    "file_system_listing": ("Lists files and reads them", "standard"),
    "file_edit": ("Writes files", "elevated"),
    "sql_lite": ("Asks the database", "standard"),
    "terminal": ("Runs commands of the system", "elevated"),
    "github": ("Works with a repository", "elevated"),
}
"""By name: what the tool does, and how much trust it takes."""

AGENT_KINDS: dict[str, tuple[dict[str, tuple[str, ...]], tuple[str, ...]]] = {
    "agent_selector": ({"agent": READ, "task": CHANGE}, ("entity_manager",)),
    "planning_agent": ({"task": CHANGE, "process": READ}, ("entity_manager",)),
    "context_addition": ({"context_document": CHANGE, "task": READ}, ("entity_manager", "file_system_listing")),
    "tool_addition": ({"tool": CHANGE, "task": CHANGE}, ("entity_manager", "file_system_listing")),
    "task_evaluator": ({"task": READ, "event": READ}, ("entity_manager",)),
    "summary_agent": ({"task": READ, "event": READ}, ("entity_manager",)),
    "documentation_agent": ({"context_document": CHANGE, "task": READ}, ("entity_manager", "file_system_listing")),
    "review_agent": (
        {"all": READ, "agent": ("write",), "process": ("write",)},
        ("entity_manager", "sql_lite", "file_system_listing"),
    ),
    "feedback_agent": ({"task": READ, "event": READ}, ("entity_manager",)),
    "request_validation": ({"task": READ, "tool": READ}, ("entity_manager",)),
    "investigator_agent": ({"all": READ}, ("entity_manager", "sql_lite")),
    "optimizer_agent": ({"all": CHANGE}, ("entity_manager", "sql_lite")),
    "recovery_agent": ({"all": CHANGE}, ("entity_manager", "sql_lite", "terminal")),
}
"""By kind: actions by entity type, and the tools that are always allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeededPermissions:
    """How many rows were made, because they were not there."""

    tools: int
    permissions: int


def seeding(
    tools: Manager[Tool], permissions: PermissionManager
) -> tuple[Callable[[Executor], SeededPermissions], list[dict[str, Any]]]:
    """What makes the tools and the base permissions that are not there, and the rows that it may write."""
    new_tools = [
        tools.new_values(
            {
                "name": name,
                "description": description,
                "category": "system",
                "implementation": "mcp_server",
                "configuration": {"security_level": level},
            }
        )
        for name, (description, level) in TOOLS.items()
    ]
    kinds = [
        permissions.new_values(
            {
                "agent_type": kind,
                "entity_permissions": {entity: [*actions] for entity, actions in allowed.items()},
                "base_tools": [*names],
            }
        )
        for kind, (allowed, names) in AGENT_KINDS.items()
    ]
    tool_inserts = [(name_key(values["name"]), tools.insertion(values)) for values in new_tools]
    kind_inserts = [(values["agent_type"], permissions.insertion(values)) for values in kinds]

    def work(executor: Executor) -> SeededPermissions:
        made_tools = made_permissions = 0
        for key, insert in tool_inserts:
            if tools.store.find_key(executor, {"name_key": key}) is None:
                insert(executor)
                made_tools += 1
        for kind, insert in kind_inserts:
            if permissions.store.find_key(executor, {"agent_type": kind}) is None:
                insert(executor)
                made_permissions += 1
        return SeededPermissions(tools=made_tools, permissions=made_permissions)

    return work, [*new_tools, *kinds]
