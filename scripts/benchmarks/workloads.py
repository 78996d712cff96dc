"""The workloads: with what database each begins, what it does, and what proves that nothing was lost."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from scripts.benchmarks import verification
from scripts.benchmarks.ledger_workloads import LEDGER
from scripts.benchmarks.rows import agent_row, message_row
from scripts.benchmarks.workload import Workload

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from scripts.benchmarks.contenders.contender import Contender
    from scripts.benchmarks.workload import Counts

__all__ = ["STANDARD", "WORKLOADS"]

CACHED_IDS = 500
# Numbers of new messages begin behind those of any template.
FIRST_NEW = 10_000_000
# One write in so many operations of the mix.
MIX = 10


def _messages(_: sqlite3.Connection, counts: Counts) -> list[Any]:
    return [message_row(FIRST_NEW + number) for number in range(counts.operations)]


def _agents(_: sqlite3.Connection, counts: Counts) -> list[Any]:
    return [agent_row(number) for number in range(counts.operations)]


def _one_bulk(_: sqlite3.Connection, counts: Counts) -> list[Any]:
    return [[message_row(number) for number in range(counts.bulk_rows)]]


def _ids(connection: sqlite3.Connection, table: str) -> list[UUID]:
    ids = [UUID(row[0]) for row in connection.execute(f"SELECT id FROM {table} ORDER BY id")]
    random.Random(7).shuffle(ids)
    return ids


def _all_agent_ids(connection: sqlite3.Connection, counts: Counts) -> list[Any]:
    return list(_ids(connection, "agents")[: counts.operations])


def _few_agent_ids(connection: sqlite3.Connection, counts: Counts) -> list[Any]:
    ids = _ids(connection, "agents")[:CACHED_IDS]
    return [ids[number % len(ids)] for number in range(counts.operations)]


def _changes(connection: sqlite3.Connection, counts: Counts) -> list[Any]:
    ids = _ids(connection, "agents")
    return [
        (ids[number % len(ids)], {"description": f"change {number:08d}", "status": "thinking"})
        for number in range(counts.operations)
    ]


def _conversation_ids(connection: sqlite3.Connection, counts: Counts) -> list[Any]:
    ids = _ids(connection, "conversations")
    return [ids[number % len(ids)] for number in range(counts.operations)]


def _turns(connection: sqlite3.Connection, counts: Counts) -> list[Any]:
    ids = _conversation_ids(connection, counts)
    return [(id_, message_row(FIRST_NEW + number)) for number, id_ in enumerate(ids)]


def _pages(_: sqlite3.Connection, counts: Counts) -> list[Any]:
    return list(range(counts.operations))


def _mixed(connection: sqlite3.Connection, counts: Counts) -> list[Any]:
    ids = _ids(connection, "agents")
    return [message_row(number) if number % MIX == 0 else ids[number % len(ids)] for number in range(counts.operations)]


def _get(contender: Contender) -> Callable[[Any], Awaitable[Any]]:
    return contender.get_agent


def _last(contender: Contender) -> Callable[[Any], Awaitable[Any]]:
    return lambda conversation_id: contender.last_messages(conversation_id, verification.PAGE)


def _update(contender: Contender) -> Callable[[Any], Awaitable[Any]]:
    return lambda change: contender.update_agent(change[0], change[1])


def _turn(contender: Contender) -> Callable[[Any], Awaitable[Any]]:
    return lambda turn: contender.chat_turn(turn[0], turn[1], verification.PAGE)


def _mix(contender: Contender) -> Callable[[Any], Awaitable[Any]]:
    get, create = contender.get_agent, contender.create_message

    def operation(argument: Any) -> Awaitable[Any]:
        return create(argument) if isinstance(argument, dict) else get(argument)

    return operation


def _walk(contender: Contender) -> Callable[[Any], Awaitable[Any]]:
    after: Any = None

    async def operation(_: Any) -> Any:
        nonlocal after
        items, after = await contender.list_agents(after, verification.PAGE)
        return items

    return operation


_CREATE_MESSAGE = Workload(
    name="create_message",
    title="create message",
    template="empty",
    arguments=_messages,
    operation=lambda contender: contender.create_message,
    verify=verification.messages_written,
    writes=True,
    batched="create_message",
)
_LIST = [
    _CREATE_MESSAGE,
    Workload(
        name="create_agent",
        title="create agent (with its event)",
        template="empty",
        arguments=_agents,
        operation=lambda contender: contender.create_agent,
        verify=verification.agents_written,
        writes=True,
        batched="create_agent",
    ),
    Workload(
        name="update_agent",
        title="update agent (version, event)",
        template="agents",
        arguments=_changes,
        operation=_update,
        verify=verification.changes_written,
        writes=True,
        batched="update_agent",
    ),
    Workload(
        name="bulk_create",
        title="bulk create of validated messages",
        template="empty",
        arguments=_one_bulk,
        operation=lambda contender: contender.create_messages,
        verify=verification.bulk_written,
        writes=True,
        coroutines=(1,),
    ),
    Workload(
        name="get_cold",
        title="get agent by id, each once",
        template="agents",
        arguments=_all_agent_ids,
        operation=_get,
        verify=verification.read_agents,
        writes=False,
    ),
    Workload(
        name="get_cached",
        title=f"get agent by id, {CACHED_IDS} ids again and again",
        template="agents",
        arguments=_few_agent_ids,
        operation=_get,
        verify=verification.read_agents,
        writes=False,
        hot_cache=True,
        warm=True,
    ),
    Workload(
        name="last_50",
        title="last 50 messages of a conversation",
        template="history",
        arguments=_conversation_ids,
        operation=_last,
        verify=verification.last_messages_read,
        writes=False,
    ),
    Workload(
        name="list_page",
        title="next page of 50 agents by name",
        template="agents",
        arguments=_pages,
        operation=_walk,
        verify=verification.pages_read,
        writes=False,
        coroutines=(1,),
    ),
    Workload(
        name="mix",
        title="90 % get agent, 10 % create message",
        template="agents",
        arguments=_mixed,
        operation=_mix,
        verify=verification.mix_written,
        writes=True,
        hot_cache=True,
        coroutines=(64,),
    ),
    Workload(
        name="chat_turn",
        title="chat turn: append, read the last 50",
        template="chat",
        arguments=_turns,
        operation=_turn,
        verify=verification.turns_written,
        writes=True,
    ),
]
STANDARD = tuple(workload.name for workload in _LIST)
"""What is measured unless something else is asked for."""

WORKLOADS = {
    workload.name: workload
    for workload in (
        *_LIST,
        replace(_CREATE_MESSAGE, name="create_in_history", template="history", coroutines=(64,)),
        *LEDGER,
    )
}
"""Everything that can be measured."""
