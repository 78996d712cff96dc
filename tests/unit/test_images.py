"""Images of rows for the audit trail: the generated text says what the plain one says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import class_mapper
from uuid_utils.compat import uuid7

from agent_system.database.plans import TablePlans
from agent_system.managers.core.images import ChangeImages, generate_image, image
from agent_system.models import Agent, Task, Tool
from agent_system.models.codec import decode_json, encode_json
from agent_system.types import AgentStatus

if TYPE_CHECKING:
    from sqlalchemy import Dialect

# Any code point: models emit NUL and lone surrogates, and the escape character is a code point like others.
TEXTS = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)
MOMENT = datetime(2025, 1, 15, 12, 30, 45, 678901, tzinfo=UTC)


def columns_of(entity: type[Any]) -> dict[str, Any]:
    mapper = class_mapper(entity)
    return {mapper.get_property_by_column(column).key: column for column in mapper.local_table.columns}


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda dialect: dialect.name)
@given(TEXTS, JSON, st.none() | TEXTS, st.sets(st.sampled_from(["configuration", "description", "status", "meta"])))
def test_the_generated_image_is_the_plain_one(
    dialect: Dialect, name: str, value: Any, description: str | None, left_out: set[str]
) -> None:
    columns = columns_of(Agent)
    values: dict[str, Any] = dict.fromkeys(columns) | {
        "id": uuid7(),
        "name": name,
        "description": description,
        "configuration": value,
        "status": AgentStatus.IDLE,
        "version": 7,
        "meta": {},
        "created_at": MOMENT,
    }
    plan = TablePlans(Agent, dialect).insert([key for key in columns if key not in left_out])
    write = generate_image(columns, plan.positions, values)

    assert decode_json(write(values, plan.encode(values))) == image(values)
    changed = tuple(sorted(columns.keys() - left_out))
    assert ChangeImages(columns).writer(changed)(values) == encode_json(image({key: values[key] for key in changed}))


def test_every_kind_of_column_has_its_text() -> None:
    for entity, given_values in (
        (Tool, {"requires_validation": True, "total_duration_ms": 1.5}),
        (Task, {"priority": -3}),
    ):
        values = dict.fromkeys(columns_of(entity)) | given_values
        plan = TablePlans(entity, sqlite.dialect()).insert(list(given_values))
        write = generate_image(columns_of(entity), plan.positions, values)
        assert decode_json(write(values, plan.encode(values))) == image(values)
        images = ChangeImages(columns_of(entity))
        assert images.writer(tuple(values))(values) == encode_json(image(values))
        assert images.writer(())(values) == "{}"


def test_a_default_may_hold_what_a_template_means_something_by() -> None:
    values = {"name": 'it\'s "{name}" \\ {{', "description": "x"}
    columns = {key: columns_of(Agent)[key] for key in values}

    assert decode_json(generate_image(columns, {"description": 0}, values)(values, ["x"])) == values
