"""Proof, after each run, that what was acknowledged is in the database and what was read is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.benchmarks.rows import agent_row, digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from scripts.benchmarks.contenders.contender import Contender
    from scripts.benchmarks.driver import Measured

__all__ = [
    "PAGE",
    "VerificationError",
    "agents_written",
    "bulk_written",
    "changes_written",
    "last_messages_read",
    "messages_written",
    "mix_written",
    "pages_read",
    "read_agents",
    "turns_written",
]

PAGE = 50
"""How many rows the reading workloads ask for at once."""

# What a template holds was written long ago.
NEW_MESSAGES = "SELECT content FROM messages WHERE created_at > '2021'"
DETACHED_HEADS = """
    SELECT count(*) FROM conversations
    WHERE head_message_id <> (SELECT max(id) FROM messages WHERE conversation_id = conversations.id)
"""


class VerificationError(Exception):
    """A contender did not write or read what it should have."""


def messages_written(connection: sqlite3.Connection, _: Contender, measured: Measured) -> None:
    """The messages are those that were acknowledged, complete, no more and no fewer."""
    _compare_messages(connection, measured.done)


def bulk_written(connection: sqlite3.Connection, _: Contender, measured: Measured) -> None:
    """The same for lists of messages."""
    _compare_messages(connection, [row for rows in measured.done for row in rows])


def mix_written(connection: sqlite3.Connection, _: Contender, measured: Measured) -> None:
    """The same for the messages among the operations."""
    _compare_messages(connection, [argument for argument in measured.done if isinstance(argument, dict)])


def agents_written(connection: sqlite3.Connection, contender: Contender, measured: Measured) -> None:
    """The agents are those that were acknowledged, each with its event."""
    stored = _column(connection, "SELECT name || (capabilities ->> 0) FROM agents")
    written = [f"{row['name']}{row['capabilities'][0]}" for row in measured.done]
    _equal(digest(stored), digest(written), "checksum of the agents")
    _compare_events(connection, contender, len(written))


def changes_written(connection: sqlite3.Connection, contender: Contender, measured: Measured) -> None:
    """Every acknowledged change raised a version and wrote its event, and each agent has one of its changes."""
    # Coroutines overtake each other: of several changes to one agent any may be the last one.
    changes: dict[str, set[str]] = {}
    for id_, values in measured.done:
        changes.setdefault(str(id_), set()).add(values["description"])
    stored = connection.execute("SELECT id, description, version FROM agents WHERE description IS NOT NULL").fetchall()
    _equal(len(stored), len(changes), "changed agents")
    foreign = [description for id_, description, _ in stored if description not in changes[id_]]
    _equal(foreign, [], "descriptions that nobody wrote")
    _equal(sum(version - 1 for *_, version in stored), len(measured.done), "changes counted by the versions")
    _compare_events(connection, contender, len(measured.done))


def turns_written(connection: sqlite3.Connection, contender: Contender, measured: Measured) -> None:
    """The appended messages are there, counted, linked to those before them, and were in what was read back."""
    appended = {row["content"] for _, row in measured.done}
    stored = _column(connection, NEW_MESSAGES)
    _equal(digest(stored), digest(appended), "checksum of the appended messages")
    counted = "SELECT (SELECT sum(message_count) FROM conversations) - (SELECT count(*) FROM messages)"
    _equal(_column(connection, counted), [0], "messages that are not counted")
    _equal(_column(connection, DETACHED_HEADS), [0], "conversations whose head is not their last message")
    for messages in measured.results:
        contents = {contender.value(message, "content") for message in messages}
        _equal(bool(contents & appended), bool(contents), "an appended message was read back")


def read_agents(_: sqlite3.Connection, contender: Contender, measured: Measured) -> None:
    """What was read are agents."""
    for agent in measured.results:
        _equal(contender.value(agent, "instruction"), agent_row(0)["instruction"], "instruction of an agent")


def pages_read(connection: sqlite3.Connection, contender: Contender, measured: Measured) -> None:
    """Each page is the agents that follow its first one; behind the last agent there may be an empty page."""
    statement = "SELECT name FROM agents WHERE name >= ? ORDER BY name LIMIT ?"
    for page in measured.results:
        names = [contender.value(agent, "name") for agent in page]
        expected = [row[0] for row in connection.execute(statement, (names[0], PAGE))] if names else []
        _equal(names, expected, "agents on a page")


def last_messages_read(connection: sqlite3.Connection, contender: Contender, measured: Measured) -> None:
    """The messages are the last ones of their conversation."""
    statement = "SELECT id FROM messages WHERE conversation_id = ? ORDER BY id DESC LIMIT ?"
    for messages in measured.results:
        conversation_id = str(contender.value(messages[0], "conversation_id"))
        expected = [row[0] for row in connection.execute(statement, (conversation_id, PAGE))]
        ids = [contender.value(message, "id") for message in messages]
        _equal(sorted(ids), sorted(expected), "last messages of a conversation")


def _compare_messages(connection: sqlite3.Connection, rows: Sequence[dict[str, Any]]) -> None:
    stored = _column(connection, NEW_MESSAGES)
    _equal(len(stored), len(rows), "messages in the table")
    _equal(digest(stored), digest(row["content"] for row in rows), "checksum of the messages")
    incomplete = "SELECT count(*) FROM messages WHERE user_id IS NULL OR length(uid) <> 36"
    _equal(_column(connection, incomplete), [0], "incomplete messages")


def _compare_events(connection: sqlite3.Connection, contender: Contender, count: int) -> None:
    if contender.writes_events:
        stored = _column(connection, "SELECT count(*) FROM events WHERE json_valid(after)")
        _equal(stored, [count], "events in the table")


def _column(connection: sqlite3.Connection, statement: str) -> list[Any]:
    return [row[0] for row in connection.execute(statement)]


def _equal(actual: object, expected: object, what: str) -> None:
    if actual != expected:
        message = f"{what}: {actual!r} instead of {expected!r}"
        raise VerificationError(message)
