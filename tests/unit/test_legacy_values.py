"""What the values of older systems mean, and which have no meaning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from agent_system.importers.legacy.values import (
    UnreadableError,
    to_boolean,
    to_integer,
    to_json,
    to_moment,
    to_number,
    to_text,
)

TEN = datetime(2025, 6, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-06-01 10:00:00", TEN),
        ("2025-06-01T10:00:00.500000", TEN + timedelta(milliseconds=500)),
        ("2025-06-01T10:00:00Z", TEN),
        ("2025-06-01 17:00:00+07:00", TEN),
        ("2025-06-01", TEN.replace(hour=0)),
        ("2025/06/01 10:00:00", TEN),
        (" 2025-06-01 10:00:00 ", TEN),
        ("Sun, 01 Jun 2025 10:00:00 GMT", TEN),
        ("Sun Jun 01 2025 10:00:00 GMT+0000 (Coordinated Universal Time)", TEN),
        (1748772000, TEN),
        (1748772000.25, TEN + timedelta(milliseconds=250)),
        ("1748772000", TEN),
        (1748772000123, TEN + timedelta(milliseconds=123)),
        (1748772000000000, TEN),
    ],
)
def test_moments_of_every_format_become_utc(value: Any, expected: datetime) -> None:
    assert to_moment(value) == expected
    assert to_moment(value).tzinfo is UTC


def test_clocks_without_a_zone_stood_somewhere() -> None:
    assert to_moment("2025-06-01 17:00:00", timezone(timedelta(hours=7))) == TEN


@pytest.mark.parametrize("value", ["", "yesterday", "2025-13-01", 17, -1, b"\xff", "9" * 400, float("nan"), "0/0"])
def test_what_is_no_moment_is_refused(value: Any) -> None:
    with pytest.raises(UnreadableError):
        to_moment(value)


def test_numbers_may_be_written_as_text() -> None:
    assert [to_integer(value)[0] for value in (3, "3", 3.0, " 3 ", "3e2")] == [3, 3, 3, 3, 300]
    assert [to_number(value)[0] for value in (3, "3.5", 1.25)] == [3.0, 3.5, 1.25]
    for value in ("12ms", "", "nan", "1_000", 3.7, 2.0**70, None, b"3"):
        with pytest.raises(UnreadableError):
            to_integer(value)


def test_truth_has_many_spellings() -> None:
    assert [to_boolean(value)[0] for value in (1, 2, "true", "1", "yes", 0, "False", "0")] == [True] * 5 + [False] * 3
    with pytest.raises(UnreadableError):
        to_boolean("perhaps")


def test_blobs_become_text_or_digits() -> None:
    assert to_text(b"caf\xc3\xa9")[0] == "café"
    assert to_text(b"\xff\xfe")[0] == "fffe"
    assert [to_text(value)[0] for value in ("a", 3, 3.0, 2.5)] == ["a", "3", "3", "2.5"]


def test_what_python_printed_is_read_and_never_run() -> None:
    assert to_json('{"a": [1, null]}') == ({"a": [1, None]}, None)
    assert to_json("{'a': (1, None, True), 2: {3}, 'd': '\\d'}")[0] == {"a": [1, None, True], "2": [3], "d": "\\d"}
    for value in (
        "{'a': __import__('os').getcwd()}",
        "[" * 100_000,
        "{'a': " * 60 + "1" + "}" * 60,
        "{'a': 1",
        "NaN",
        "{'a': 1} " + " " * 300_000 + "'b'",
    ):
        with pytest.raises(UnreadableError):
            to_json(value)
