"""Branches of conversations: named heads that move, forks that share, and histories that are right in all of them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from uuid import UUID

    from agent_system.entity_manager import EntityManager
    from agent_system.models import Conversation, Message


@pytest.fixture
async def conversation(em: EntityManager) -> Conversation:
    return await em.conversations.create({"title": "talk"})


def said(text: str, **data: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **data}


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def say(em: EntityManager, conversation_id: UUID, *words: str) -> list[Message]:
    return await em.messages.append_many(conversation_id, [said(word) for word in words])


async def heads(em: EntityManager, conversation_id: UUID) -> dict[str, int]:
    return {head.name: head.message_id for head in await em.conversations.heads(conversation_id)}


# Named heads.


async def test_a_named_head_moves_with_what_is_appended_to_its_branch(
    em: EntityManager, conversation: Conversation
) -> None:
    first, second = await say(em, conversation.id, "one", "two")
    await em.conversations.set_head(conversation.id, "main")
    await em.conversations.set_head(conversation.id, "idea", first.id)
    switched = await em.conversations.switch(conversation.id, "idea", expected_revision=1)
    assert (switched.current_head, switched.head_message_id, switched.revision) == ("idea", first.id, 2)
    (idea,) = await say(em, conversation.id, "2b")
    assert await heads(em, conversation.id) == {"idea": idea.id, "main": second.id}
    await em.conversations.switch(conversation.id, "main")
    (third,) = await say(em, conversation.id, "three")
    assert await heads(em, conversation.id) == {"idea": idea.id, "main": third.id}
    assert texts(await em.messages.last(conversation.id)) == ["one", "two", "three"]
    assert texts(await em.messages.history(conversation.id, head="idea")) == ["one", "2b"]


async def test_a_head_stays_where_its_branch_is_left(em: EntityManager, conversation: Conversation) -> None:
    first, second = await say(em, conversation.id, "one", "two")
    await em.conversations.set_head(conversation.id, "main")
    assert (await em.conversations.switch(conversation.id, "main")).revision == 1, "nothing moved"
    await em.messages.append(conversation.id, said("2b", parent_id=first.id))
    row = await em.conversations.require(conversation.id)
    assert (row.current_head, await heads(em, conversation.id)) == (None, {"main": second.id})
    await em.conversations.switch(conversation.id, "main")
    await em.conversations.move_head(conversation.id, first.id)
    await say(em, conversation.id, "2c")
    assert await heads(em, conversation.id) == {"main": second.id}
    assert texts(await em.messages.last(conversation.id)) == ["one", "2c"]


async def test_the_current_head_is_moved_and_forgotten(em: EntityManager, conversation: Conversation) -> None:
    first, *_ = await say(em, conversation.id, "one", "two")
    await em.conversations.set_head(conversation.id, "main")
    await em.conversations.switch(conversation.id, "main")
    await em.conversations.set_head(conversation.id, "main", first.id)
    assert texts(await em.messages.last(conversation.id)) == ["one"]
    assert await em.conversations.delete_head(conversation.id, "main")
    row = await em.conversations.require(conversation.id)
    assert (row.current_head, row.head_message_id) == (None, first.id)
    await say(em, conversation.id, "2b")
    assert await heads(em, conversation.id) == {}
    assert texts(await em.messages.last(conversation.id)) == ["one", "2b"]
    for missing in (uuid4(), "no such id"):
        identifier: Any = missing
        assert not await em.conversations.delete_head(identifier, "main")
        assert await em.conversations.heads(identifier) == []


async def test_a_head_whose_only_message_is_deleted_is_gone(em: EntityManager, conversation: Conversation) -> None:
    (only,) = await say(em, conversation.id, "one")
    await em.conversations.set_head(conversation.id, "main")
    await em.conversations.switch(conversation.id, "main")
    await em.messages.delete(only.id)
    await say(em, conversation.id, "two")
    row = await em.conversations.require(conversation.id)
    assert (row.current_head, await heads(em, conversation.id)) == (None, {})


async def test_an_append_goes_to_the_head_that_it_names(em: EntityManager, conversation: Conversation) -> None:
    first, second = await say(em, conversation.id, "one", "two")
    await em.conversations.set_head(conversation.id, "idea", first.id)
    await em.conversations.set_head(conversation.id, "same")
    await em.messages.append(conversation.id, said("2b"), head="idea")
    await em.messages.append_many(conversation.id, [said("3c"), said("4c")], head="same")
    assert texts(await em.messages.last(conversation.id)) == ["one", "two"]
    row = await em.conversations.require(conversation.id)
    assert (row.head_message_id, row.message_count, row.revision) == (second.id, 5, 3)
    await say(em, conversation.id, "three")
    assert texts(await em.messages.last(conversation.id)) == ["one", "two", "three"]
    assert texts(await em.messages.history(conversation.id, head="idea")) == ["one", "2b"]
    assert texts(await em.messages.history(conversation.id, 3, head="same")) == ["two", "3c", "4c"]
    with pytest.raises(NotFoundError):
        await em.messages.append(conversation.id, said("x"), head="nowhere")
    with pytest.raises(NotFoundError):
        await em.messages.history(conversation.id, head="nowhere")
    with pytest.raises(ValidationError, match="parent_id"):
        await em.messages.append(conversation.id, said("x", parent_id=first.id), head="idea")
    assert (await em.conversations.require(conversation.id)).message_count == 6


async def test_many_write_to_their_own_branches_at_once(em: EntityManager, conversation: Conversation) -> None:
    (root,) = await say(em, conversation.id, "root")
    names = [f"branch {n}" for n in range(8)]
    for name in names:
        await em.conversations.set_head(conversation.id, name, root.id)
    await asyncio.gather(
        *(em.messages.append(conversation.id, said(f"{name} {n}"), head=name) for n in range(8) for name in names)
    )
    for name in names:
        rows = texts(await em.messages.history(conversation.id, head=name))
        assert rows[0] == "root"
        assert sorted(rows[1:]) == [f"{name} {n}" for n in range(8)]
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision, row.head_message_id) == (65, 65, root.id)


# Forks.


@pytest.mark.parametrize("count", [2, 200])
async def test_a_fork_copies_no_message(em: EntityManager, conversation: Conversation, count: int) -> None:
    rows = await say(em, conversation.id, *map(str, range(count)))
    with recorded_statements() as statements:
        fork = await em.conversations.fork(conversation.id, rows[count // 2].id)
    assert len(statements) <= 5
    assert await em.messages.count() == count
    assert texts(await em.messages.last(fork.id, 1_000)) == [str(n) for n in range(count // 2 + 1)]
    with recorded_statements() as statements:
        await em.messages.last(fork.id, 1_000)
    assert len(statements) <= 4


async def test_a_fork_is_like_its_conversation(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "a"})
    project = await em.projects.create({"name": "p"})
    owner = {"user_id": user.id, "agent_id": agent.id, "project_id": project.id}
    conversation = await em.conversations.create({"title": "talk", "session_uuid": "s", **owner})
    _, last = await say(em, conversation.id, "one", "two")
    fork = await em.conversations.fork(conversation.id)
    assert {key: getattr(fork, key) for key in owner} == owner
    assert (fork.title, fork.session_uuid, fork.message_count, fork.revision) == ("talk", None, 0, 0)
    assert (fork.parent_conversation_id, fork.fork_message_id) == (conversation.id, last.id)
    other = await em.conversations.fork(conversation.id, title="other", user_id=None, meta={"why": "to try"})
    assert (other.title, other.user_id, other.agent_id, other.meta) == ("other", None, agent.id, {"why": "to try"})
    assert (await em.conversations.require(other.id)).model_dump() == other.model_dump()


async def test_both_sides_of_a_fork_go_on_by_themselves(em: EntityManager, conversation: Conversation) -> None:
    _, second, third = await say(em, conversation.id, "1", "2", "3")
    fork = await em.conversations.fork(conversation.id, second.id)
    again = await em.conversations.fork(fork.id, second.id)
    await say(em, conversation.id, "4")
    await say(em, fork.id, "3b", "4b")
    await say(em, again.id, "3c")
    assert texts(await em.messages.last(conversation.id)) == ["1", "2", "3", "4"]
    assert texts(await em.messages.last(fork.id)) == ["1", "2", "3b", "4b"]
    assert texts(await em.messages.last(again.id)) == ["1", "2", "3c"]
    with pytest.raises(NotFoundError):
        await em.conversations.fork(fork.id, third.id)
    counts = [(await em.conversations.require(one.id)).message_count for one in (conversation, fork, again)]
    assert counts == [4, 2, 1]


async def test_a_fork_is_refused(em: EntityManager, conversation: Conversation) -> None:
    with pytest.raises(ValidationError, match="nothing has been said"):
        await em.conversations.fork(conversation.id)
    (message,) = await say(em, conversation.id, "one")
    other = await em.conversations.create({"title": "other"})
    (foreign,) = await say(em, other.id, "x")
    for attempt in (
        em.conversations.fork(uuid4()),
        em.conversations.fork(conversation.id, 10**9),
        em.conversations.fork(conversation.id, foreign.id),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    with pytest.raises(ConflictError):
        await em.conversations.fork(conversation.id, message.id, expected_revision=7)
    with pytest.raises(ValidationError, match="title"):
        await em.conversations.fork(conversation.id, title=7)
    with pytest.raises(ValidationError, match="itself"):
        await em.conversations.create({"id": (own := uuid4()), "parent_conversation_id": own})
    assert await em.conversations.count() == 2


async def test_a_fork_of_a_branch_that_was_left_shares_that_branch(
    em: EntityManager, conversation: Conversation
) -> None:
    first, second, third = await say(em, conversation.id, "1", "2", "3")
    await em.conversations.move_head(conversation.id, first.id)
    await say(em, conversation.id, "2b", "3b")
    fork = await em.conversations.fork(conversation.id, third.id)
    await say(em, fork.id, "4")
    assert texts(await em.messages.last(fork.id)) == ["1", "2", "3", "4"]
    assert texts(await em.messages.before(fork.id, third.id)) == ["1", "2"]
    assert texts(await em.messages.after(fork.id, first.id)) == ["2", "3", "4"]
    # Other branches of the conversation are no part of what the fork shares.
    branch = await em.messages.last(conversation.id)
    with pytest.raises(NotFoundError):
        await em.conversations.fork(fork.id, branch[-1].id)
    with pytest.raises(NotFoundError):
        await em.conversations.compare(fork.id, branch[1].id)
    assert (await em.conversations.fork(fork.id, second.id)).fork_message_id == second.id


async def test_a_point_of_fork_that_is_deleted_moves_up(em: EntityManager, conversation: Conversation) -> None:
    _, second, third = await say(em, conversation.id, "1", "2", "3")
    fork = await em.conversations.fork(conversation.id, third.id)
    deeper = await em.conversations.fork(fork.id, second.id)
    await em.messages.delete(second.id)
    await em.messages.delete(third.id)
    for one in (fork, deeper):
        assert texts(await em.messages.last(one.id)) == ["1"]
        await say(em, one.id, "more")
        assert texts(await em.messages.last(one.id)) == ["1", "more"]


async def test_forks_and_appends_at_once_lose_nothing(em: EntityManager, conversation: Conversation) -> None:
    (root,) = await say(em, conversation.id, "root")

    async def fork(n: int) -> UUID:
        made = await em.conversations.fork(conversation.id, root.id)
        await em.messages.append(made.id, said(f"fork {n}"))
        return made.id

    async def append(n: int) -> None:
        await em.messages.append(conversation.id, said(f"trunk {n}"))

    forks = await asyncio.gather(*(fork(n) for n in range(32)))
    await asyncio.gather(*(fork(n) for n in range(32)), *(append(n) for n in range(32)))
    assert (await em.conversations.require(conversation.id)).message_count == 33
    assert len(await em.messages.last(conversation.id, 99)) == 33
    for n, made in enumerate(forks):
        assert texts(await em.messages.last(made)) == ["root", f"fork {n}"]


# Comparing.


async def test_branches_are_compared_by_their_heads(em: EntityManager, conversation: Conversation) -> None:
    _, second, *_ = await say(em, conversation.id, "1", "2", "3", "4")
    await em.conversations.set_head(conversation.id, "main")
    await em.conversations.set_head(conversation.id, "idea", second.id)
    await em.messages.append(conversation.id, said("3b"), head="idea")
    with recorded_statements() as statements:
        found = await em.conversations.compare(conversation.id, "main", "idea")
    assert len(statements) <= 5
    assert found.ancestor is not None
    assert (found.ancestor.id, texts(found.left), texts(found.right)) == (second.id, ["3", "4"], ["3b"])
    turned = await em.conversations.compare(conversation.id, "idea", "main")
    assert (texts(turned.left), texts(turned.right)) == (["3b"], ["3", "4"])
    same = await em.conversations.compare(conversation.id, "main")
    assert (same.left, same.right, same.ancestor) == ([], [], same.ancestor)
    behind = await em.conversations.compare(conversation.id, second.id, "main")
    assert (texts(behind.left), texts(behind.right)) == ([], ["3", "4"])
    for attempt in (
        em.conversations.compare(conversation.id, "main", "nowhere"),
        em.conversations.compare(conversation.id, 10**9),
        em.conversations.compare(uuid4()),
    ):
        with pytest.raises(NotFoundError):
            await attempt


async def test_conversations_are_compared(em: EntityManager, conversation: Conversation) -> None:
    first, *_ = await say(em, conversation.id, "1", "2")
    fork = await em.conversations.fork(conversation.id, first.id)
    await say(em, fork.id, "2b", "3b")
    found = await em.conversations.compare(conversation.id, other_id=fork.id)
    assert found.ancestor is not None
    assert (found.ancestor.content, texts(found.left), texts(found.right)) == ("1", ["2"], ["2b", "3b"])
    other = await em.conversations.create({"title": "other"})
    nothing = await em.conversations.compare(conversation.id, other_id=other.id)
    assert (nothing.ancestor, texts(nothing.left), nothing.right) == (None, ["1", "2"], [])
    await say(em, other.id, "x")
    strangers = await em.conversations.compare(conversation.id, other_id=other.id)
    assert (strangers.ancestor, texts(strangers.left), texts(strangers.right)) == (None, ["1", "2"], ["x"])


# All of it together, against the plainest model that there is: every message knows its parent.


@dataclass
class Model:
    """What is expected of conversations."""

    parents: dict[int, int | None] = field(default_factory=dict)
    owners: dict[int, UUID] = field(default_factory=dict)
    ends: dict[UUID, int | None] = field(default_factory=dict)
    names: dict[UUID, dict[str, int]] = field(default_factory=dict)
    current: dict[UUID, str | None] = field(default_factory=dict)

    def way(self, message_id: int | None) -> list[int]:
        way: list[int] = []
        while message_id is not None:
            way.append(message_id)
            message_id = self.parents[message_id]
        return way[::-1]

    def add(self, message: Message, parent: int | None) -> None:
        assert message.parent_id == parent
        assert message.conversation_id is not None
        self.parents[message.id], self.owners[message.id] = parent, message.conversation_id

    def remove(self, gone: int) -> None:
        up = self.parents.pop(gone)
        self.parents = {one: up if parent == gone else parent for one, parent in self.parents.items()}
        self.ends = {one: up if end == gone else end for one, end in self.ends.items()}
        for id_, names in self.names.items():
            moved = {name: up if end == gone else end for name, end in names.items()}
            self.names[id_] = {name: end for name, end in moved.items() if end is not None}
            if self.current[id_] not in self.names[id_]:
                self.current[id_] = None


class Walker:
    """Does something at random, here and in the model."""

    def __init__(self, em: EntityManager, seed: int) -> None:
        self.em, self.model, self.random = em, Model(), random.Random(seed)

    async def start(self) -> None:
        made = await self.em.conversations.create({"title": "root"})
        self._know(made.id, None)

    def _know(self, id_: UUID, end: int | None) -> None:
        self.model.ends[id_], self.model.names[id_], self.model.current[id_] = end, {}, None

    async def step(self) -> None:
        id_ = self.random.choice(list(self.model.ends))
        own = [one for one, owner in self.model.owners.items() if owner == id_ and one in self.model.parents]
        kinds = {
            self.append: 8,
            self.append_to_head: 3,
            self.append_to_parent: 1,
            self.move: 1,
            self.name: 2,
            self.switch: 2,
            self.fork: 1,
            self.delete: 1,
        }
        (kind,) = self.random.choices(list(kinds), list(kinds.values()))
        await kind(id_, own)

    async def append(self, id_: UUID, own: list[int]) -> None:
        del own
        for message in await say(self.em, id_, *"ab"[: self.random.randint(1, 2)]):
            self.model.add(message, self.model.ends[id_])
            self.model.ends[id_] = message.id
        name, end = self.model.current[id_], self.model.ends[id_]
        if name is not None and end is not None:
            self.model.names[id_][name] = end

    async def append_to_head(self, id_: UUID, own: list[int]) -> None:
        del own
        if self.model.names[id_]:
            name = self.random.choice(list(self.model.names[id_]))
            message = await self.em.messages.append(id_, said("h"), head=name)
            self.model.add(message, self.model.names[id_][name])
            self.model.names[id_][name] = message.id
            if name == self.model.current[id_]:
                self.model.ends[id_] = message.id

    async def append_to_parent(self, id_: UUID, own: list[int]) -> None:
        if own:
            parent = self.random.choice(own)
            message = await self.em.messages.append(id_, said("p", parent_id=parent))
            self.model.add(message, parent)
            is_end = parent == self.model.ends[id_]
            self.model.ends[id_] = message.id
            name = self.model.current[id_]
            if not is_end:
                self.model.current[id_] = None
            elif name is not None:
                self.model.names[id_][name] = message.id

    async def move(self, id_: UUID, own: list[int]) -> None:
        if own:
            self.model.ends[id_] = self.random.choice(own)
            self.model.current[id_] = None
            await self.em.conversations.move_head(id_, self.model.ends[id_] or 0)

    async def name(self, id_: UUID, own: list[int]) -> None:
        if own:
            name, message_id = self.random.choice(["x", "y"]), self.random.choice(own)
            self.model.names[id_][name] = message_id
            if name == self.model.current[id_]:
                self.model.ends[id_] = message_id
            await self.em.conversations.set_head(id_, name, message_id)

    async def switch(self, id_: UUID, own: list[int]) -> None:
        del own
        if self.model.names[id_]:
            name = self.random.choice(list(self.model.names[id_]))
            self.model.current[id_], self.model.ends[id_] = name, self.model.names[id_][name]
            await self.em.conversations.switch(id_, name)

    async def fork(self, id_: UUID, own: list[int]) -> None:
        shared = self.model.way(self.model.ends[id_])
        if len(self.model.ends) < 6 and (shared or own):
            point = self.random.choice(shared + own)
            made = await self.em.conversations.fork(id_, point)
            self._know(made.id, point)

    async def delete(self, id_: UUID, own: list[int]) -> None:
        del id_
        if own:
            gone = self.random.choice(own)
            await self.em.messages.delete(gone)
            self.model.remove(gone)

    async def check(self) -> None:
        for id_, end in self.model.ends.items():
            row = await self.em.conversations.require(id_)
            assert (row.current_head, row.head_message_id or None) == (self.model.current[id_], end)
            assert await heads(self.em, id_) == self.model.names[id_]
            assert row.message_count == sum(self.model.owners[one] == id_ for one in self.model.parents)
            await self.check_reads(id_, self.model.way(end))

    async def check_reads(self, id_: UUID, way: list[int]) -> None:
        messages = self.em.messages
        assert [row.id for row in await messages.history(id_)] == way
        assert [row.id for row in await messages.last(id_, 3)] == way[-3:]
        for place in self.random.sample(way, min(3, len(way))):
            at = way.index(place)
            assert [row.id for row in await messages.before(id_, place, 2)] == way[max(0, at - 2) : at]
            assert [row.id for row in await messages.after(id_, place, 2)] == way[at + 1 : at + 3]
        for name, end in self.model.names[id_].items():
            named = self.model.way(end)
            assert [row.id for row in await messages.history(id_, head=name)] == named
            found = await self.em.conversations.compare(id_, name)
            common = [one for one in named if one in way]
            assert [row.id for row in found.left] == named[len(common) :]
            assert [row.id for row in found.right] == way[len(common) :]
        paged: list[int] = []
        page = await messages.page(id_, limit=4)
        while page.items:
            paged = [row.id for row in page.items] + paged
            if page.older is None:
                break
            page = await messages.page(id_, before=page.older, limit=4)
        assert paged == way


@pytest.mark.parametrize("seed", range(4))
async def test_histories_are_right_whatever_has_happened(em: EntityManager, seed: int) -> None:
    walker = Walker(em, seed)
    await walker.start()
    for _ in range(12):
        for _ in range(8):
            await walker.step()
        await walker.check()
