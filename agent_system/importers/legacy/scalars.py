"""The words of a description for numbers, amounts and truth values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.columns import InColumns, SourcePage, are
from agent_system.importers.legacy.values import UnreadableError, to_boolean, to_integer, to_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.importers.legacy.rows import Converter, SourceRow

__all__ = ["count", "flag", "integer", "nano_dollars", "number"]

NANO = 10**9
LARGEST = 2**63 - 1
LARGEST_FLOAT = sys.float_info.max

Usual = tuple[type, float, float]
"""What needs no second look: the type, the smallest and the largest value."""


def _scalar(
    name: str,
    read: Callable[[Any], tuple[Any, str | None]],
    default: Any,
    allowed: Callable[[Any], str | None] | None,
    usual: Usual,
) -> InColumns:
    """A value of one type.

    Args:
        name: The column there.
        read: What it means, and what was mended.
        default: What NULL, and what cannot be read, become.
        allowed: Says what is wrong with a value that can be read.
        usual: What needs no second look: the type, the smallest and the largest value.
    """

    def convert(row: SourceRow) -> Any:
        value = row.raw.get(name)
        if value is None:
            return default
        try:
            found, mended = read(value)
            wrong = None if allowed is None else allowed(found)
        except UnreadableError as exc:
            found, mended, wrong = default, None, str(exc)
        if wrong is not None:
            row.mend(name, f"{wrong}, now {'empty' if default is None else default}")
            return default
        if mended is not None:
            row.mend(name, mended)
        return found

    return InColumns(convert, lambda page: _column(page, name, convert, default, usual))


def _column(page: SourcePage, name: str, convert: Converter, default: Any, usual: Usual) -> Sequence[Any]:
    values: Sequence[Any] = page.column(name)
    kind: type[Any] = usual[0]
    _, low, high = usual
    if None not in values and are(values, kind, low, high):
        return values
    return [
        default
        if value is None
        else value
        if value.__class__ is kind and low <= value <= high
        else page.convert(convert, position)
        for position, value in enumerate(values)
    ]


def _not_negative(value: float) -> str | None:
    return "is negative" if value < 0 else None


def integer(name: str, default: int | None = None, *, low: int | None = None, high: int | None = None) -> InColumns:
    """A whole number; one out of range becomes the default."""

    def allowed(value: int) -> str | None:
        if (low is not None and value < low) or (high is not None and value > high):
            return f"{value} is not from {low} to {high}"
        return None

    least, most = -LARGEST - 1 if low is None else low, LARGEST if high is None else high
    return _scalar(name, to_integer, default, allowed, (int, least, most))


def count(name: str, default: int | None = None) -> InColumns:
    """A number of things: whole and not negative."""
    return _scalar(name, to_integer, default, _not_negative, (int, 0, LARGEST))


def number(name: str, default: float | None = None, *, negative: bool = True) -> InColumns:
    """Any number."""
    usual = (float, -LARGEST_FLOAT if negative else 0.0, LARGEST_FLOAT)
    return _scalar(name, to_number, default, None if negative else _not_negative, usual)


def flag(name: str, *, default: bool | None = None) -> InColumns:
    """A truth value."""
    truth = _scalar(name, to_boolean, default, None, (int, 0, 1))
    return InColumns(
        truth.convert, lambda page: [None if value is None else bool(value) for value in truth.whole(page)]
    )


def nano_dollars(name: str) -> InColumns:
    """US dollars as whole billionths; a negative amount is none."""

    def allowed(value: float) -> str | None:
        return _not_negative(value) or (f"{value} is too large" if value * NANO > LARGEST else None)

    # Half of the largest: what is near it shall be looked at by itself.
    dollars = _scalar(name, to_number, None, allowed, (float, 0.0, LARGEST / NANO / 2))

    def convert(row: SourceRow) -> int | None:
        value = dollars(row)
        return None if value is None else round(value * NANO)

    def column(page: SourcePage) -> Sequence[int | None]:
        return [None if value is None else round(value * NANO) for value in dollars.whole(page)]

    return InColumns(convert, column)
