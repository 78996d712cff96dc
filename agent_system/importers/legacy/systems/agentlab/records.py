"""What else AMIGA kept: games, the index of files, documents, and what was said in its chats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.conflicts import Abandon, Merge
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    count,
    flag,
    integer,
    json_list,
    json_object,
    json_value,
    moment,
    reference,
    required,
    text,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.items import ITEM, items_of
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.references import reference_key
from agent_system.importers.legacy.systems.agentlab.people import owner, owner_identity
from agent_system.importers.legacy.systems.agentlab.tasks import all_input_tokens
from agent_system.importers.legacy.values import UnreadableError, to_integer
from agent_system.models import FileAccess
from agent_system.types import MESSAGE_ROLE_LEGACY, DocumentStatus, FileOperation, GameStatus, MessageRole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from agent_system.importers.legacy.converters import Converter
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

CONVERSATION = "conversation"
"""The column that tells one user's conversation from another's of the same name, such as `default`."""
OPERATIONS = (FileOperation.READ, FileOperation.WRITE, FileOperation.EDIT)

_game_status = word("status", GameStatus, GameStatus.COMPLETED, {"finished": GameStatus.COMPLETED})
_game_over_at = moment("updated_at", "created_at", NOW)
_operations = json_object("operations")
_document_status = word("status", DocumentStatus, DocumentStatus.ACTIVE)
_archived_at = moment("archived_at", "updated_at", "created_at", NOW)
_said_at = moment("timestamp", NOW)


def _ended_at(row: SourceRow) -> datetime | None:
    found: datetime | None = None if _game_status(row) is GameStatus.ACTIVE else _game_over_at(row)
    return found


GAMES = Table(
    source="games",
    target="games",
    identity=("user_id", "game_type", "created_at"),
    key=("game_id",),
    needs=frozenset({"user_id", "game_type", "status"}),
    columns={
        "user_id": required(owner_identity, "user_id"),
        "game_type": text("game_type", ""),
        "status": _game_status,
        "score": integer("score", 0),
        "level": integer("level", 1),
        "state_data": json_value("state_data"),
        "ended_at": _ended_at,
        "created_at": moment("created_at", "updated_at", NOW),
        "updated_at": moment("updated_at", "created_at", NOW),
        "meta": metadata(
            ("user_id", "game_type", "status", "score", "level", "state_data", "created_at", "updated_at")
        ),
    },
    conflicts=(
        Abandon(
            on=("user_id", "game_type"),
            changes={"status": GameStatus.ABANDONED},
            why="the player has another active game of this type, this one is abandoned",
            when=lambda values: values["status"] is GameStatus.ACTIVE,
        ),
    ),
    is_referenced=False,
)


def _times(operation: FileOperation) -> Converter:
    """How often something was done to a file: a number in an object of its own."""

    def convert(row: SourceRow) -> int:
        value = _operations(row).get(operation.value)
        if value is None:
            return 0
        try:
            found = to_integer(value)[0]
        except UnreadableError:
            found = -1
        if found < 0:
            row.mend("operations", f"{operation.value} is no number of times, now 0")
            return 0
        return found

    return convert


_task_ids = json_list("task_ids")
_rest_of_file = metadata(
    (
        "file_path",
        "first_seen",
        "last_accessed",
        "access_count",
        "task_ids",
        "operations",
        "file_size",
        "file_hash",
    )
)


def _file_meta(row: SourceRow) -> dict[str, Any]:
    # The tasks are rows of their own; here it is told when there are none to be read.
    _task_ids(row)
    found: dict[str, Any] = _rest_of_file(row)
    return found


_counts = {operation: _times(operation) for operation in OPERATIONS}
FILES = Table(
    source="files",
    target="files",
    identity=("file_path", "first_seen"),
    key=("file_path",),
    needs=frozenset({"access_count", "first_seen"}),
    columns={
        "file_path": text("file_path", ""),
        "access_count": count("access_count", 0),
        "read_count": _counts[FileOperation.READ],
        "write_count": _counts[FileOperation.WRITE],
        "edit_count": _counts[FileOperation.EDIT],
        "size_bytes": count("file_size"),
        "content_hash": text("file_hash"),
        "first_seen_at": moment("first_seen", "last_accessed", NOW),
        "last_accessed_at": moment("last_accessed", "first_seen", NOW),
        "meta": _file_meta,
    },
    conflicts=(Merge(on=("file_path", "user_id"), fills=("size_bytes", "content_hash")),),
)


def _operation(row: SourceRow) -> FileOperation:
    """What a task did to a file: what was done to it most, for the file has only the sums over all tasks."""
    times = {operation: _counts[operation](row) for operation in OPERATIONS}
    if sum(1 for each in times.values() if each) > 1:
        row.mend("operations", "does not say which task did what, now what was done most", keep=False)
    return max(OPERATIONS, key=lambda operation: times[operation])


FILE_TASKS = Table(
    source="files",
    part="task_ids",
    target=FileAccess,
    identity=("file_path", "first_seen", ITEM),
    key=("file_path",),
    needs=frozenset({"access_count", "first_seen", "task_ids"}),
    expand=items_of("task_ids"),
    columns={
        "file_id": reference("file_path", "files", otherwise="reject"),
        "task_id": reference(ITEM, "tasks"),
        "operation": _operation,
        "timestamp": moment("last_accessed", "first_seen", NOW),
        "created_at": moment("last_accessed", "first_seen", NOW),
    },
    is_referenced=False,
)


def _archived(row: SourceRow) -> datetime | None:
    if _document_status(row) is DocumentStatus.ARCHIVED:
        found: datetime = _archived_at(row)
        return found
    if row.raw.get("archived_at"):
        # When it was put away before it was restored.
        row.kept["archived_at"] = row.raw["archived_at"]
    return None


DOCUMENTS = Table(
    source="documents",
    target="documents",
    identity=("path", "created_at"),
    needs=frozenset({"path", "status"}),
    columns={
        "path": text("path", ""),
        "status": _document_status,
        "task_id": reference("task_id", "tasks"),
        "notes": text("notes"),
        "archived_at": _archived,
        "created_at": moment("created_at", "updated_at", NOW),
        "updated_at": moment("updated_at", "created_at", NOW),
        "meta": metadata(("id", "path", "status", "task_id", "notes", "archived_at", "created_at", "updated_at")),
    },
    conflicts=(Merge(on=("path", "user_id"), fills=("task_id", "notes")),),
    is_referenced=False,
)


def _with_conversation(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    name = reference_key(raw.get("conversation_id"))
    yield raw if name is None else {**raw, CONVERSATION: f"{raw.get('user_id')}\n{name}"}


CONVERSATIONS = Table(
    source="messages",
    part="conversations",
    target="conversations",
    identity=("user_id", "conversation_id"),
    key=("id", CONVERSATION),
    needs=frozenset({"user_id", "role", "content", "conversation_id"}),
    only=lambda raw: reference_key(raw.get("conversation_id")) is not None,
    expand=_with_conversation,
    columns={
        "id": OWN_ID,
        "user_id": owner,
        "title": text("conversation_id", ""),
        "session_uuid": text("conversation_id"),
        "created_at": _said_at,
    },
)
MESSAGES = Table(
    source="messages",
    target="messages",
    identity=("user_id", "timestamp", "role", "content", "conversation_id"),
    needs=frozenset({"user_id", "role", "content", "timestamp"}),
    expand=_with_conversation,
    columns={
        "uid": OWN_ID,
        "conversation_id": reference(CONVERSATION, f"messages.{CONVERSATION}"),
        "user_id": owner_identity,
        "role": word("role", MessageRole, MessageRole.USER, MESSAGE_ROLE_LEGACY),
        "content": text("content", ""),
        "input_method": text("input_method"),
        "has_image": flag("has_image", default=False),
        "model": text("model"),
        "input_tokens": all_input_tokens("tokens_input", "cache_read_tokens", "cache_creation_tokens"),
        "output_tokens": count("tokens_output"),
        "cache_read_input_tokens": count("cache_read_tokens"),
        "cache_creation_input_tokens": count("cache_creation_tokens"),
        "created_at": _said_at,
        "meta": metadata(
            (
                "id",
                "user_id",
                "timestamp",
                "role",
                "content",
                "tokens_input",
                "tokens_output",
                "cache_creation_tokens",
                "cache_read_tokens",
                "conversation_id",
                CONVERSATION,
                "input_method",
                "has_image",
                "model",
            )
        ),
    },
    is_referenced=False,
)
TABLES = (GAMES, FILES, FILE_TASKS, DOCUMENTS, CONVERSATIONS, MESSAGES)
