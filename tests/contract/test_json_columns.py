"""JSON columns give back exactly what was written, on both engines and on every way of reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agent_system import EntityManager

VALUES: list[Any] = [[], {}, {"b": 1, "a": [None, True, 1.5, "é"]}, {"nul\0": "lone \ud800", "escape": "\U0010fffd"}]


@pytest.mark.parametrize("value", VALUES, ids=["list", "empty", "nested", "unstorable"])
async def test_json_round_trips_by_id_by_filter_and_after_update(em: EntityManager, value: Any) -> None:
    agent = await em.agents.create({"name": "keeper", "configuration": {"value": value}})
    assert agent.configuration == {"value": value}
    found = await em.agents.require(agent.id)
    assert found.configuration == {"value": value}
    assert list(found.configuration) == ["value"]
    assert (await em.agents.find(name="keeper"))[0].configuration == {"value": value}
    changed = await em.agents.update(agent.id, {"configuration": {"changed": value}})
    assert changed.configuration == {"changed": value}


async def test_order_of_keys_is_kept(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "keeper", "configuration": {"z": 1, "a": 2}})
    assert list((await em.agents.require(agent.id)).configuration) == ["z", "a"]
