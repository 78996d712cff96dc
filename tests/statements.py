"""Counting statements: how many of them a verb sends, on either engine, so that no verb sends one per row."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from sqlalchemy.exc import CompileError

from agent_system.database.dialects.postgresql_executor import PostgresExecutor
from agent_system.database.executor import SqliteExecutor
from agent_system.database.inline import InlineReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXECUTORS = (SqliteExecutor, PostgresExecutor)
VERBS = ("execute", "fetch", "insert", "insert_unless_there", "insert_many", "change", "change_many", "change_each")


@contextmanager
def recorded_statements() -> Iterator[list[str]]:
    """Give a list that grows by every statement that runs in the block; those that begin and end transactions do not.

    `insert_many`, `change_many` and `change_each` are one statement however many rows they write.
    """
    statements: list[str] = []
    patches = [
        patch.object(executor, verb, _recording(getattr(executor, verb), statements))
        for executor in EXECUTORS
        for verb in VERBS
    ]
    patches.append(patch.object(InlineReader, "fetch", _recording_inline(InlineReader.fetch, statements)))
    for one in patches:
        one.start()
    try:
        yield statements
    finally:
        for one in patches:
            one.stop()


def _recording(original: Callable[..., Any], statements: list[str]) -> Callable[..., Any]:
    def run(executor: Any, statement: Any, *arguments: Any) -> Any:
        statements.append(_text(statement))
        return original(executor, statement, *arguments)

    return run


def _text(statement: Any) -> str:
    try:
        return str(getattr(statement, "sql", statement))
    except CompileError:
        # It has an expression that only the engines can spell.
        return repr(statement)


def _recording_inline(original: Callable[..., Any], statements: list[str]) -> Callable[..., Any]:
    def run(reader: Any, plan: Any, *arguments: Any) -> Any:
        rows = original(reader, plan, *arguments)
        # A lookup that is refused goes through the lane, where it is recorded.
        if rows is not None:
            statements.append(plan.sql)
        return rows

    return run
