"""Converters by column: whatever stands in a column, they say the same as by row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_system.importers.legacy import converters as words
from agent_system.importers.legacy.accounts import person
from agent_system.importers.legacy.columns import SourcePage, whole
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.references import References
from agent_system.importers.legacy.rows import Reading, RejectedError, SourceRow
from agent_system.importers.legacy.systems.tomcounsell.token_usage import TOKEN_USAGE
from agent_system.types import UsageState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ODD = (None, "", " ", 0, 1, 2, -1, 1.0, -0.5, 1e300, 2**62, "7", "x", b"raw", b"\xff", "true", "[1]", "{}", "{'a': 1}")
MOMENTS = (
    "2025-06-01 10:00:00",
    "2025-06-01T10:00:00.123456",
    "2025-06-01T10:00:00Z",
    "2025-06-01T10:00+01",
    "2025-06-01",
    "2125-06-01 10:00:00",
    "1925-06-01 10:00:00",
    "20250601T100000.0000",
    1_750_000_000,
)
NAMES = ("id", "value", "other", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "project_id", "timestamp")
COLUMNS = {
    "text": words.text("value"),
    "text or": words.text("value", "nothing", empty=False),
    "required": words.required(words.text("value", empty=False), "value"),
    "constant": words.constant(3),
    "integer": words.integer("value", 5, low=-1, high=1),
    "count": words.count("value"),
    "number": words.number("value"),
    "amount": words.number("value", negative=False),
    "flag": words.flag("value", default=True),
    "dollars": words.nano_dollars("value"),
    "word": words.word("value", UsageState, UsageState.REPORTED, {"x": UsageState.MISSING}),
    "json": words.json_value("value"),
    "object": words.json_object("value"),
    "list": words.json_list("value"),
    "texts": words.texts("value", separator=","),
    "moment": words.moment("value"),
    "moment or": words.moment("value", "other", words.NOW),
    "future": words.future("value"),
    "reference": words.reference("value", "things"),
    "needed": words.reference("value", "things", otherwise="reject"),
    "person": person("value"),
    "known person": person("value", "things"),
    "metadata": metadata(("id", "value")),
    "had": metadata(("id",), "value"),
    **{f"usage {name}": convert for name, convert in TOKEN_USAGE.columns.items()},
}


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Iterator[References]:
    found = References(tmp_path_factory.mktemp("references"))
    found.add("things", [("1", 10), ("7", 70)])
    found.add("projects", [("1", 10)])
    found.add("models", [("1", 10)])
    yield found
    found.close()


def by_rows(convert: Any, rows: Sequence[tuple[Any, ...]], reading: Reading) -> list[Any]:
    found = []
    for number, *values in rows:
        row = SourceRow(number, dict(zip(NAMES, values, strict=True)), reading)
        try:
            found.append((repr(convert(row)), row.repairs, row.orphans, row.kept))
        except RejectedError:
            found.append(None)
    return found


def by_columns(convert: Any, rows: Sequence[tuple[Any, ...]], reading: Reading) -> list[Any]:
    page = SourcePage(NAMES, rows, reading)
    values = whole(convert, page)
    looked_at = dict(page.looked_at)
    found = []
    for position, value in enumerate(values):
        row = looked_at.get(position) or SourceRow(0, {}, reading)
        is_lost = position in page.rejected
        found.append(None if is_lost else (repr(value), row.repairs, row.orphans, row.kept))
    return found


cells = st.one_of(
    st.sampled_from((*ODD, *MOMENTS)), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=3)
)
mixed = st.lists(st.tuples(*[cells] * len(NAMES)), min_size=1, max_size=4)
alike = st.sampled_from((*ODD, *MOMENTS)).map(lambda value: [(value,) * len(NAMES)] * 2)


@settings(max_examples=60, deadline=None)
@given(rows=st.one_of(mixed, alike))
def test_a_column_says_the_same_as_its_rows(references: References, rows: list[tuple[Any, ...]]) -> None:
    reading = Reading(now=NOW, zone=UTC, references=references, tables=frozenset({"things"}))
    numbered = [(number, *values) for number, values in enumerate(rows, 1)]
    for name, convert in COLUMNS.items():
        if convert is not words.OWN_ID:
            assert by_columns(convert, numbered, reading) == by_rows(convert, numbered, reading), name
