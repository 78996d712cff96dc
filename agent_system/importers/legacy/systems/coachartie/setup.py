"""How Coach Artie was set up: prompts with their history, capabilities, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.conflicts import Merge, Suffix
from agent_system.importers.legacy.converters import (
    NOW,
    flag,
    integer,
    json_list,
    json_object,
    moment,
    reference,
    required,
    text,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.keeping import metadata
from agent_system.models import PromptHistory
from agent_system.models.kept_histories import SYSTEM

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

CREATED = moment("created_at", "updated_at", NOW)
UPDATED = moment("updated_at", "created_at", NOW)

PROMPTS = Table(
    source="prompts",
    target="prompts",
    identity=("name", "created_at"),
    needs=frozenset({"name", "content"}),
    columns={
        "name": required(text("name", empty=False), "name"),
        "version": integer("version", 1, low=1),
        "content": text("content", ""),
        "description": text("description"),
        "category": text("category", "general", empty=False),
        "is_active": flag("is_active", default=True),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            ("id", "name", "version", "content", "description", "category", "is_active", "created_at", "updated_at"),
            "metadata",
        ),
    },
    conflicts=(Merge(on=("name_key",), same=("content", "version")), Suffix(column="name")),
)
PROMPT_HISTORY = Table(
    source="prompt_history",
    target=PromptHistory,
    identity=("prompt_id", "version", "content", "created_at"),
    needs=frozenset({"prompt_id", "version", "content"}),
    columns={
        "prompt_id": reference("prompt_id", "prompts", otherwise="reject"),
        "version": required(integer("version"), "version"),
        "content": text("content", ""),
        "changed_by": text("changed_by", SYSTEM, empty=False),
        "change_reason": text("change_reason"),
        "created_at": moment("created_at", NOW),
        "meta": metadata(("id", "prompt_id", "version", "content", "changed_by", "change_reason", "created_at")),
    },
    conflicts=(Merge(on=("prompt_id", "version"), same=("content",)),),
    is_referenced=False,
)
CAPABILITIES = Table(
    source="capabilities_config",
    target="capabilities",
    identity=("name", "created_at"),
    needs=frozenset({"name", "config"}),
    columns={
        "name": required(text("name", empty=False), "name"),
        "version": integer("version", 1, low=1),
        "config": json_object("config"),
        "description": text("description"),
        "is_enabled": flag("is_enabled", default=True),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            ("id", "name", "version", "config", "description", "is_enabled", "created_at", "updated_at"), "metadata"
        ),
    },
    conflicts=(Merge(on=("name_key",), same=("config",)), Suffix(column="name")),
    is_referenced=False,
)

_history = json_list("history")
_rest_of_config = metadata(("id", "config_key", "config_value", "notes", "history", "created_at", "updated_at"))


def _config_meta(row: SourceRow) -> dict[str, Any]:
    """What they kept of older values has no form that could be told: it stays beside the setting."""
    found: dict[str, Any] = _rest_of_config(row)
    history = _history(row)
    return {**found, "history": history} if history else found


CONFIG = Table(
    source="config",
    target="config",
    identity=("config_key", "created_at"),
    needs=frozenset({"config_key", "config_value"}),
    columns={
        "config_key": required(text("config_key", empty=False), "config_key"),
        # A text, as it was: whether `1` is a number only its reader knows.
        "config_value": text("config_value", ""),
        "notes": text("notes"),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": _config_meta,
    },
    conflicts=(Merge(on=("config_key_key",), same=("config_value",)), Suffix(column="config_key")),
    is_referenced=False,
)
TABLES = (PROMPTS, PROMPT_HISTORY, CAPABILITIES, CONFIG)
