"""Images of rows for the audit trail: the generated text says what the plain one says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import class_mapper
from uuid_utils.compat import uuid7

from agent_system.managers.core.images import generate_image, image
from agent_system.models import Agent, Task, Tool
from agent_system.models.codec import decode_json, encode_json
from agent_system.types import AgentStatus

# Any code point: models emit NUL and lone surrogates, and the escape character is a code point like others.
TEXTS = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)
MOMENT = datetime(2025, 1, 15, 12, 30, 45, 678901, tzinfo=UTC)


def columns_of(entity: type[Any]) -> dict[str, Any]:
    mapper = class_mapper(entity)
    return {mapper.get_property_by_column(column).key: column for column in mapper.local_table.columns}


@given(TEXTS, JSON, st.none() | TEXTS, st.booleans())
def test_the_generated_image_is_the_plain_one(name: str, value: Any, description: str | None, encoded: bool) -> None:  # noqa: FBT001
    values: dict[str, Any] = dict.fromkeys(columns_of(Agent)) | {
        "id": uuid7(),
        "name": name,
        "description": description,
        "configuration": value,
        "status": AgentStatus.IDLE,
        "version": 7,
        "created_at": MOMENT,
    }
    texts = {"configuration": encode_json(value)} if encoded and value is not None else {}

    assert decode_json(generate_image(columns_of(Agent))(values, texts)) == image(values)


def test_every_kind_of_column_has_its_text() -> None:
    for entity, given_values in (
        (Tool, {"requires_validation": True, "total_duration_ms": 1.5}),
        (Task, {"priority": -3}),
    ):
        values = dict.fromkeys(columns_of(entity)) | given_values
        assert decode_json(generate_image(columns_of(entity))(values, {})) == image(values)
