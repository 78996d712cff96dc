"""Relationships between entities, and the facade's verbs that go by an entity's type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import CheckError, ConflictError, DuplicateKeyError, ValidationError
from agent_system.testing.factories import Factories
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

ENTITIES = {
    "agent": "agents",
    "tool": "tools",
    "task": "tasks",
    "context_document": "context_documents",
    "process": "processes",
}


@pytest.fixture
def factories(em: EntityManager) -> Factories:
    return Factories(em)


def ends(strength: float = 1.0, **changes: Any) -> dict[str, Any]:
    given = {
        "source_type": "agent",
        "source_id": "a",
        "target_type": "tool",
        "target_id": "t",
        "relationship_type": "uses",
        "strength": strength,
    }
    return given | changes


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
async def test_a_strength_lies_between_0_and_1(em: EntityManager, strength: float) -> None:
    assert (await em.relations.create(ends(strength))).strength == strength


@pytest.mark.parametrize("strength", [-0.01, 1.01])
async def test_a_strength_beyond_is_refused(em: EntityManager, strength: float) -> None:
    with pytest.raises(CheckError) as caught:
        await em.relations.create(ends(strength))
    assert caught.value.fields == ("strength",)
    relationship = await em.relations.create(ends())
    with pytest.raises(CheckError):
        await em.relations.update(relationship.id, {"strength": strength})
    assert await em.relations.count() == 1


async def test_a_relationship_exists_once(em: EntityManager) -> None:
    await em.relations.create(ends())
    with pytest.raises(DuplicateKeyError) as caught:
        await em.relations.create(ends(0.5))
    assert "relationship_type" in caught.value.fields
    await em.relations.create_many([ends(target_id="u"), ends(relationship_type="depends_on")])
    with pytest.raises(DuplicateKeyError):
        await em.relations.create_many([ends(target_id="v"), ends(target_id="u")])
    assert await em.relations.count() == 3
    with pytest.raises(ValidationError, match="relationship_type"):
        await em.relations.create(ends(relationship_type="likes"))


async def test_connect_makes_or_changes_and_disconnect_removes(em: EntityManager) -> None:
    agent, document = uuid4(), uuid4()
    first = await em.relations.connect(("agent", agent), "references", ("document", document), strength=0.25)
    again = await em.relations.connect(("agent", str(agent).upper()), "references", ("context_document", document))
    assert (again.id, again.strength) == (first.id, 0.25)
    changed = await em.relations.connect(("agent", agent), "references", ("document", document), context={"in": "x"})
    assert (changed.id, changed.strength, changed.context) == (first.id, 0.25, {"in": "x"})
    assert (first.target_type, first.target_id) == ("context_document", str(document))
    # Only what is written as a UUID is one: a digest stays as it is.
    digest = "D41D8CD98F00B204E9800998ECF8427E"
    assert (await em.relations.connect(("file", digest), "uses", ("tool", 7))).source_id == digest
    assert await em.relations.disconnect(("file", digest), "uses", ("tool", "7"))
    assert await em.relations.disconnect(("agent", agent), "references", ("document", document))
    assert not await em.relations.disconnect(("agent", agent), "references", ("document", document))


async def test_relationships_of_an_entity(em: EntityManager) -> None:
    await em.relations.create_many(
        [
            ends(0.2, target_id="weak"),
            ends(0.9, target_id="strong"),
            ends(target_type="document", target_id="d", relationship_type="references"),
            ends(0.5, source_type="task", source_id="x", target_type="agent", target_id="a"),
            ends(source_id="other"),
        ]
    )

    async def found(**options: Any) -> list[str]:
        return [
            each.source_id if each.target_id == "a" else each.target_id
            for each in await em.relations.of("agent", "a", **options)
        ]

    assert await found() == ["d", "strong", "x", "weak"]
    assert await found(direction="out") == ["d", "strong", "weak"]
    assert await found(direction="in") == ["x"]
    assert await found(relationship_type="uses") == ["strong", "x", "weak"]
    assert await found(other_type="document") == ["d"]
    assert await found(other_type="tool", direction="in") == []
    with pytest.raises(ValidationError, match="direction"):
        await em.relations.of("agent", "a", direction="up")  # type: ignore[arg-type]


@pytest.mark.parametrize("entity_type", ENTITIES)
async def test_relationships_go_with_an_entity(em: EntityManager, factories: Factories, entity_type: str) -> None:
    row, other = [await factories.create(ENTITIES[entity_type]) for _ in range(2)]
    await em.relations.connect((entity_type, row.id), "uses", ("tool", "t"))
    await em.relations.connect(("agent", "a"), "creates", (entity_type, row.id))
    await em.relations.connect((entity_type, row.id), "contains", (entity_type, other.id))
    kept = await em.relations.connect((entity_type, other.id), "uses", ("tool", "t"))
    # The key of another type is another entity.
    namesake = await em.relations.connect(("thing", row.id), "uses", ("tool", "t"))
    assert await em.delete(entity_type, row.id)
    assert [each.id for each in await em.relations.find()] == [kept.id, namesake.id]


async def test_relationships_come_back_with_a_deletion_that_failed(
    database: DatabaseManager, em: EntityManager, factories: Factories
) -> None:
    agent = await factories.create("agents")
    await em.relations.connect(("agent", agent.id), "uses", ("tool", "t"))

    async def delete_in_vain() -> None:
        async with database.transaction():
            await em.agents.delete(agent.id)
            assert await em.relations.count() == 0
            raise KeyError(agent.name)

    with pytest.raises(KeyError):
        await delete_in_vain()
    assert await em.relations.count() == 1


async def test_relationships_go_with_what_falls_with_its_parent(em: EntityManager) -> None:
    root = await em.tasks.create({"instruction": "root"})
    part = await em.tasks.create({"instruction": "part", "parent_task_id": root.id})
    leaf = await em.tasks.create({"instruction": "leaf", "parent_task_id": part.id})
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "a", "user_id": user.id})
    await em.relations.connect(("agent", agent.id), "creates", ("task", leaf.id))
    await em.relations.connect(("task", leaf.id), "uses", ("tool", "t"))
    left = await em.relations.connect(("agent", agent.id), "uses", ("tool", "t"))
    await em.tasks.delete(root.id)
    assert [each.id for each in await em.relations.find()] == [left.id]
    await em.users.delete(user.id)
    assert await em.relations.count() == 0


async def test_related_gives_the_entities(em: EntityManager, factories: Factories) -> None:
    agent, tool, document = [await factories.create(name) for name in ("agents", "tools", "context_documents")]
    event = await em.events.log("made")
    for strength, target in ((0.3, ("tool", tool.id)), (0.9, ("document", document.id)), (0.6, ("event", event.id))):
        await em.relations.connect(("agent", agent.id), "uses", target, strength=strength)
    await em.relations.connect(("agent", agent.id), "creates", ("tool", tool.id), strength=0.1)
    await em.relations.connect(("agent", agent.id), "uses", ("tool", uuid4()))
    await em.relations.connect(("agent", agent.id), "uses", ("galaxy", "andromeda"))
    await em.relations.connect(("task", "x"), "uses", ("agent", agent.id))
    with recorded_statements() as statements:
        related = await em.related("agent", agent.id)
    assert [row.model_dump() for row in related] == [row.model_dump() for row in (document, event, tool)]
    assert len(statements) == 4, "one for the relationships and one for each type"
    assert [row.id for row in await em.related("agent", agent.id, "creates")] == [tool.id]
    assert [row.id for row in await em.related("agent", agent.id, target_type="document")] == [document.id]
    assert await em.related("agent", uuid4()) == []


async def test_the_facade_goes_by_type(em: EntityManager) -> None:
    document = await em.create("document", {"name": "rules", "content": "Be kind."})
    assert (await em.get("context_document", document.id)).name == "rules"
    assert (await em.update("document", document.id, {"title": "Rules"}, 1)).title == "Rules"
    with pytest.raises(ConflictError):
        await em.update("document", document.id, {"title": "Other"}, expected_version=1)
    assert [row.id for row in await em.search("document", "KIND")] == [document.id]
    assert await em.delete("document", document.id)
    assert await em.get("document", document.id) is None
    for verb in (em.get("galaxy", 1), em.search("galaxy", "x"), em.create("galaxy", {})):
        with pytest.raises(ValidationError, match="galaxy"):
            await verb


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("RÉSUMÉ", ["résumé"]),
        ("straße", ["straße"]),
        ("добрый", ["Добрый день"]),
        ("50%", ["50% off"]),
        ("%", ["50% off"]),
        ("_", ["snake_case"]),
        ("a*b", ["a*b [x] ^?$"]),
        ("[X] ^?$", ["a*b [x] ^?$"]),
        ("^", ["a*b [x] ^?$"]),
        ("\\d", ["back\\d"]),
        ("]", ["a*b [x] ^?$"]),
        ("o'b", ["O'Brien"]),
        ("E", ["O'Brien", "snake_case", "straße", "lone \ud800"]),
        ("\0nul", ["\0nul"]),
        ("\ud800", ["lone \ud800"]),
        ("", []),
        ("nothing like it", []),
    ],
)
async def test_search_takes_every_character_for_itself(em: EntityManager, term: str, found: list[str]) -> None:
    texts = [
        "résumé", "straße", "Добрый день", "50% off", "snake_case", "a*b [x] ^?$", "back\\d", "O'Brien", "\0nul",
        "lone \ud800", "FAR away",
    ]  # fmt: skip
    await em.tools.create_many({"name": f"t{n}", "description": text} for n, text in enumerate(texts))
    hits = await em.search("tool", term, fields=["description"])
    assert sorted(hit.description for hit in hits) == sorted(found)


async def test_search_looks_into_all_texts_the_newest_first(em: EntityManager) -> None:
    first = await em.agents.create({"name": "needle"})
    second = await em.agents.create({"name": "b", "instruction": "find the Needle"})
    await em.agents.create({"name": "c", "capabilities": ["needle"]})
    assert [row.id for row in await em.search("agent", "needle")] == [second.id, first.id]
    assert [row.id for row in await em.search("agent", "needle", fields=["name"])] == [first.id]
    assert [row.id for row in await em.search("agent", "needle", limit=1)] == [second.id]
    assert [row.event_type for row in await em.search("event", "AGENT.", limit=1)] == ["agent.created"]
    for fields in (["capabilities"], ["nmae"]):
        with pytest.raises(ValidationError, match=fields[0]):
            await em.search("agent", "needle", fields=fields)
    with pytest.raises(ValidationError, match="term"):
        await em.search("agent", "x" * 1_001)
    assert await em.search("agent", "ß" * 1_000) == []
