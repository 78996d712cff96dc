"""What models cost: token_usage.db, whose tables were taken over by system.db as they were."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.columns import InColumns, SourcePage, are
from agent_system.importers.legacy.conflicts import Attempts, Merge
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    count,
    moment,
    nano_dollars,
    number,
    reference,
    text,
)
from agent_system.importers.legacy.description import Placeholder, Table
from agent_system.importers.legacy.values import UnreadableError, to_integer
from agent_system.types import CostSource, UsageState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

LARGEST = 2**63 - 1
UNKNOWN = "unknown"
"""What the ledger calls a model, and a host, that nobody has named."""


async def _unknown_host(em: EntityManager) -> int:
    return (await em.hosts.upsert({"name": UNKNOWN}, on=("name",))).id


async def _unknown_model(em: EntityManager) -> int:
    return (await em.models.ensure(UNKNOWN, UNKNOWN)).id


UNKNOWN_HOST = Placeholder(_unknown_host)
UNKNOWN_MODEL = Placeholder(_unknown_model)


def _usage_state(row: SourceRow) -> UsageState:
    """What the counts are worth: one that is no count is missing, which is not 0."""
    known = [_is_count(row.raw.get(name)) for name in ("input_tokens", "output_tokens")]
    if all(known):
        return UsageState.REPORTED
    return UsageState.PARTIAL if any(known) else UsageState.MISSING


def _usage_states(page: SourcePage) -> Sequence[UsageState]:
    if all(are(page.column(name), int, 0, LARGEST) for name in ("input_tokens", "output_tokens")):
        return [UsageState.REPORTED] * len(page)
    return [page.convert(_usage_state, position) for position in range(len(page))]


def _is_count(value: object) -> bool:
    try:
        return value is not None and to_integer(value)[0] >= 0
    except UnreadableError:
        return False


_cost = nano_dollars("cost_usd")


def _cost_source(value: Any) -> CostSource | None:
    # The tracker computed every cost from its price list; what it could not price is NULL, or a text.
    return CostSource.COMPUTED if isinstance(value, (int, float)) and value >= 0 else None


def _input_tokens(row: SourceRow) -> int | None:
    """The tokens read; a total that is not the sum of the two is kept, because ours is computed."""
    raw = row.raw
    total, read, written = (raw.get(f"{name}_tokens") for name in ("total", "input", "output"))
    if total is not None and isinstance(read, int) and isinstance(written, int) and total != read + written:
        row.mend("total_tokens", "is not the sum of input and output, now it is")
    value: int | None = _read_tokens(row)
    return value


def _input_token_column(page: SourcePage) -> Sequence[int | None]:
    counts = [page.column(f"{name}_tokens") for name in ("total", "input", "output")]
    if are(counts[1], int, 0, LARGEST) and are(counts[2], int, 0, LARGEST):
        sums = zip(counts[0], map(add, counts[1], counts[2]), strict=True)
        wrong = {place for place, (total, found) in enumerate(sums) if total is not None and total != found}
    else:
        wrong = set(range(len(page)))
    return [page.convert(_input_tokens, place) if place in wrong else read for place, read in enumerate(counts[1])]


_read_tokens = count("input_tokens")

PROJECTS = Table(
    source="projects",
    target="projects",
    identity=("name",),
    needs=frozenset({"name", "description", "created_at"}),
    columns={
        "id": OWN_ID,
        "name": text("name", "(no name)", empty=False),
        "description": text("description"),
        "created_at": moment("created_at", NOW),
    },
    conflicts=(Merge(on=("name_key", "user_id"), fills=("description",)),),
)
HOSTS = Table(
    source="hosts",
    target="hosts",
    identity=("name",),
    needs=frozenset({"name"}),
    columns={
        "name": text("name", UNKNOWN, empty=False),
        "base_url": text("base_url"),
        "created_at": moment("created_at", NOW),
    },
    conflicts=(Merge(on=("name_key",), fills=("base_url",)),),
)
MODELS = Table(
    source="models",
    target="models",
    # The number of a host is known in one file only; two models of one name and price that were made at one moment are
    # told apart by their own number.
    identity=("id", "name", "input_cost_per_1k", "output_cost_per_1k", "created_at"),
    needs=frozenset({"name", "host_id"}),
    columns={
        "name": text("name", UNKNOWN, empty=False),
        "host_id": reference("host_id", "hosts", otherwise=UNKNOWN_HOST),
        "input_cost_per_1k": number("input_cost_per_1k", negative=False),
        "output_cost_per_1k": number("output_cost_per_1k", negative=False),
        "created_at": moment("created_at", NOW),
    },
    conflicts=(Merge(on=("name", "host_id"), fills=("input_cost_per_1k", "output_cost_per_1k")),),
)
TOKEN_USAGE = Table(
    source="token_usage",
    target="token_usage",
    identity=("id", "timestamp", "input_tokens", "output_tokens", "cost_usd", "request_id", "user_id"),
    needs=frozenset({"timestamp", "model_id", "input_tokens", "output_tokens"}),
    columns={
        "timestamp": moment("timestamp", "created_at", NOW),
        "project_id": reference("project_id", "projects"),
        # Without its model a call would be lost from all sums; the ledger has a name for a model that nobody knows.
        "model_id": reference("model_id", "models", otherwise=UNKNOWN_MODEL),
        "user_id": text("user_id"),
        "request_id": text("request_id", empty=False),
        "usage_state": InColumns(_usage_state, _usage_states),
        "input_tokens": InColumns(_input_tokens, _input_token_column),
        "output_tokens": count("output_tokens"),
        "cost_nano_usd": _cost,
        "cost_source": InColumns(
            lambda row: _cost_source(row.raw.get("cost_usd")),
            lambda page: [_cost_source(value) for value in page.column("cost_usd")],
        ),
        "created_at": moment("created_at", "timestamp", NOW),
    },
    conflicts=(Attempts(),),
    is_referenced=False,
)
TABLES = (PROJECTS, HOSTS, MODELS, TOKEN_USAGE)
