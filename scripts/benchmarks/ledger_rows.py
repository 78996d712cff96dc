"""What the ledger's benchmarks read and write: calls to models and to tools, and agents with their tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from agent_system.models.naming import name_key
from scripts.benchmarks.rows import agent_row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from scripts.benchmarks.rows import Row

__all__ = ["AGENTS", "CAPABILITY", "HOSTS", "MODELS", "PROJECTS", "call_row", "fill_ledger"]

AGENTS = 1_000
CAPABILITY = "web_search"
"""What every second agent can do."""
TOOLS = 20
TOOLS_EACH = 3
HOSTS = ("Anthropic", "OpenAI")
MODELS = 5
"""Models of each host."""
PROJECTS = 10
DAYS = 60
CALLS_A_MINUTE = 2
LONG_AGO = "2020-01-01 00:00:00.000000"
MINUTES_A_DAY = 1_440
INPUT_USD_PER_1K = 0.003
OUTPUT_USD_PER_1K = 0.015
NANO_PER_1K = 10**6

USAGE_COLUMNS = (
    "timestamp", "project_id", "model_id", "user_id", "session_uuid", "role", "request_id", "input_tokens",
    "output_tokens", "cache_read_input_tokens", "cost_nano_usd", "cost_source", "response_time_ms", "success",
    "created_at", "updated_at", "metadata",
)  # fmt: skip
TOOL_USAGE_COLUMNS = (
    "call_id", "timestamp", "tool_name", "session_uuid", "state", "success", "duration_ms", "parameters", "created_at",
    "updated_at", "metadata",
)  # fmt: skip


def call_row(number: int) -> Row:
    """What a caller says of a call to a model; the names are the same again and again."""
    return {
        "project": f"project {number % PROJECTS}",
        "host": HOSTS[number % 2],
        "model": f"model {number // 2 % MODELS}",
        "input_tokens": 1_000 + number % 1_000,
        "output_tokens": 100 + number % 100,
        "request_id": f"request-{number:08d}",
        "user_id": f"user-{number % 50:02d}",
    }


def fill_ledger(connection: sqlite3.Connection, *, rows: int) -> None:
    """Fill a database with so many calls to models, as many calls to tools, and a thousand agents with their tools."""
    projects = [str(uuid7()) for _ in range(PROJECTS)]
    named = ((id_, f"project {n}", f"project {n}", LONG_AGO, LONG_AGO) for n, id_ in enumerate(projects))
    _insert(connection, "projects", ("id", "name", "name_key", "created_at", "updated_at"), named)
    hosts = ((n + 1, name, name_key(name), LONG_AGO, LONG_AGO) for n, name in enumerate(HOSTS))
    _insert(connection, "hosts", ("id", "name", "name_key", "created_at", "updated_at"), hosts)
    _insert(
        connection,
        "models",
        ("id", "name", "host_id", "input_cost_per_1k", "output_cost_per_1k", "created_at", "updated_at"),
        (
            (1 + h * MODELS + m, f"model {m}", h + 1, INPUT_USD_PER_1K, OUTPUT_USD_PER_1K, LONG_AGO, LONG_AGO)
            for h in range(len(HOSTS))
            for m in range(MODELS)
        ),
    )
    _insert(connection, "token_usage", USAGE_COLUMNS, _usage(rows, projects))
    _insert(connection, "tool_usage", TOOL_USAGE_COLUMNS, _tool_usage(rows))
    _fill_agents(connection)


def _usage(rows: int, projects: list[str]) -> Iterator[tuple[Any, ...]]:
    for number in range(rows):
        moment = _moment(number, rows)
        read, written = 1_000 + number % 1_000, 100 + number % 100
        cost = round((read * INPUT_USD_PER_1K + written * OUTPUT_USD_PER_1K) * NANO_PER_1K)
        yield (
            moment, projects[number % PROJECTS], 1 + number % (len(HOSTS) * MODELS), f"user-{number % 50:02d}",
            f"session-{number // 100}", ("planner", "coder", None)[number % 3], f"old-{number:08d}", read, written,
            read // 2, None if number % 100 == 0 else cost, None if number % 100 == 0 else "computed",
            500.0 + number % 997, number % 50 != 0, moment, moment, "{}",
        )  # fmt: skip


def _tool_usage(rows: int) -> Iterator[tuple[Any, ...]]:
    parameters = json.dumps({"command": "pytest -q", "timeout": 60})
    for number in range(rows):
        moment = _moment(number, rows)
        yield (
            f"call-{number:08d}", moment, f"tool {number % TOOLS:02d}", f"session-{number // 100}", "done",
            number % 10 != 0, float(number % 1_009), parameters, moment, moment, "{}",
        )  # fmt: skip


def _fill_agents(connection: sqlite3.Connection) -> None:
    tools = [str(uuid7()) for _ in range(TOOLS)]
    named = ((id_, f"tool {n:02d}", f"tool {n:02d}", LONG_AGO, LONG_AGO) for n, id_ in enumerate(tools))
    _insert(connection, "tools", ("id", "name", "name_key", "created_at", "updated_at"), named)
    agents = [str(uuid7()) for _ in range(AGENTS)]
    columns = ("id", "name", "name_key", "instruction", "capabilities", "configuration", "created_at", "updated_at")
    _insert(connection, "agents", columns, (_agent(number, id_) for number, id_ in enumerate(agents)))
    given = (
        (agent, tools[(number + step) % TOOLS], LONG_AGO, LONG_AGO)
        for number, agent in enumerate(agents)
        for step in range(TOOLS_EACH)
    )
    _insert(connection, "agent_tools", ("agent_id", "tool_id", "created_at", "updated_at"), given)


def _agent(number: int, id_: str) -> tuple[Any, ...]:
    row = agent_row(number)
    capabilities = [CAPABILITY if number % 2 == 0 else "translate", "summarise", "code_review"]
    return (
        id_, row["name"], name_key(row["name"]), row["instruction"], json.dumps(capabilities),
        json.dumps(row["configuration"]), LONG_AGO, LONG_AGO,
    )  # fmt: skip


def _moment(number: int, rows: int) -> str:
    """Spread evenly over two months, in the order of time."""
    minute = number * DAYS * MINUTES_A_DAY // rows
    day, rest = divmod(minute, MINUTES_A_DAY)
    return f"2026-{1 + day // 30:02d}-{1 + day % 28:02d} {rest // 60:02d}:{rest % 60:02d}:00.{number % 10**6:06d}"


def _insert(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]]
) -> None:
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
