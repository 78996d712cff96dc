"""Who spoke with Coach Artie, what they said, and the vectors of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from agent_system.importers.legacy.accounts import person
from agent_system.importers.legacy.columns import InColumns
from agent_system.importers.legacy.conflicts import Merge
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    constant,
    json_value,
    moment,
    reference,
    required,
    text,
)
from agent_system.importers.legacy.description import Link, Table
from agent_system.importers.legacy.items import parsed
from agent_system.importers.legacy.keeping import metadata
from agent_system.models import Embedding, EmbeddingModel
from agent_system.types import MESSAGE_ROLE_LEGACY, MessageRole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

VECTORS = ("embedding", "embedding_nomic")
SPACE, VECTOR = "space", "vector"
"""The columns of a row that stands for one vector: the model with its dimensions, and the numbers."""
# Everything else that they wrote there is where a message of a person came from: discord, email, sms ...
KNOWN_ROLES = {
    **{role.value: role for role in MessageRole},
    "artie": MessageRole.ASSISTANT,
    "response": MessageRole.ASSISTANT,
    **MESSAGE_ROLE_LEGACY,
}

IDENTITIES = Table(
    source="user_identities",
    target="identities",
    identity=("id",),
    needs=frozenset({"display_name"}),
    columns={
        "id": required(text("id", empty=False), "id"),
        "discord_id": text("discord_id", empty=False),
        "email": text("email", empty=False),
        "phone_number": text("phone_number", empty=False),
        "display_name": text("display_name", "(no name)", empty=False),
        "created_at": moment("created_at", "updated_at", NOW),
        "updated_at": moment("updated_at", "created_at", NOW),
        "meta": metadata(
            ("id", "discord_id", "email", "phone_number", "display_name", "created_at", "updated_at"), "metadata"
        ),
    },
    conflicts=(Merge(on=("id",), fills=("discord_id", "email", "email_key", "phone_number")),),
    forgets_keys=True,
)


def _role(message_type: Any) -> MessageRole:
    return KNOWN_ROLES.get(str(message_type or "").strip().casefold(), MessageRole.USER)


def _numbers(value: Any) -> list[float] | None:
    """The vector that a column holds as a JSON array; None when it holds none."""
    found = parsed(value)
    if not isinstance(found, list) or not found:
        return None
    # A boolean is a number of Python, and none of a vector.
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) and _fits(each) for each in found):
        return None
    return found


def _fits(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= float(np.finfo(np.float32).max)


def _message_meta(row: SourceRow) -> dict[str, Any]:
    for name in VECTORS:
        if row.raw.get(name) not in (None, "") and _numbers(row.raw[name]) is None:
            row.mend(name, "is no vector")
    found: dict[str, Any] = _rest_of_message(row)
    return found


# `id` and `response_id` stay there as they were: only when all messages are here it is known which lead nowhere.
_rest_of_message = metadata(
    (
        "user_id",
        "channel_id",
        "guild_id",
        "value",
        "message_type",
        "created_at",
        *VECTORS,
        "email_metadata",
    )
)
MESSAGES = Table(
    source="messages",
    target="messages",
    identity=("id", "user_id", "value", "created_at"),
    needs=frozenset({"user_id", "value"}),
    columns={
        "uid": OWN_ID,
        "user_id": person("user_id", "user_identities"),
        "channel_id": text("channel_id", empty=False),
        "guild_id": text("guild_id", empty=False),
        "role": InColumns(
            lambda row: _role(row.raw.get("message_type")),
            lambda page: [_role(value) for value in page.column("message_type")],
        ),
        "message_type": text("message_type", empty=False),
        "content": text("value", ""),
        "email_metadata": json_value("email_metadata"),
        "created_at": moment("created_at", NOW),
        "meta": _message_meta,
    },
    links=(Link(column="response_id", source="response_id", may_circle=True),),
)


def _vectors(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in VECTORS:
        numbers = _numbers(raw.get(name))
        if numbers is not None:
            yield {**raw, "name": name, VECTOR: numbers, SPACE: f"{name}:{len(numbers)}"}


EMBEDDING_MODELS = Table(
    source="messages",
    part="embedding_models",
    target=EmbeddingModel,
    identity=(SPACE,),
    key=("id", SPACE),
    needs=frozenset({"user_id", "value", "embedding"}),
    expand=_vectors,
    columns={
        # Which model it was, nobody wrote down: vectors of one column and one length are of one.
        "provider": constant("coachartie"),
        "name": text("name"),
        "dimensions": lambda row: len(row.raw[VECTOR]),
        "is_normalised": constant(value=False),
    },
    conflicts=(Merge(on=("name", "provider", "dimensions")),),
    known_as="embedding_models",
)
EMBEDDINGS = Table(
    source="messages",
    part="embeddings",
    target=Embedding,
    identity=("id", "user_id", "value", "created_at", SPACE),
    needs=frozenset({"user_id", "value", "embedding"}),
    expand=_vectors,
    columns={
        "model_id": reference(SPACE, f"embedding_models.{SPACE}", otherwise="reject"),
        "message_id": reference("id", "messages", otherwise="reject"),
        "user_id": person("user_id"),
        "vector": lambda row: np.asarray(row.raw[VECTOR], dtype="<f4").tobytes(),
    },
    keeps_metadata=False,
    is_referenced=False,
)
TABLES = (IDENTITIES, MESSAGES, EMBEDDING_MODELS, EMBEDDINGS)
