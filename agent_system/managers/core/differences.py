"""What is new in values beside a row, and how a key is told to a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["differing", "shown"]


def differing(row: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """Those of the values that the row does not have already."""
    return {key: value for key, value in values.items() if row[key] != value}


def shown(key: Mapping[str, Any]) -> Any:
    """A primary key as callers know it: the value, or all of them where it has several."""
    values = tuple(key.values())
    return values[0] if len(values) == 1 else values
