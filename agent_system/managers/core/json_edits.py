"""Changing a part of a JSON column, and finding rows by an item of one.

The functions compute the new value from the row as it is inside the unit of work that writes it, so that two writers of
one document both survive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal

from agent_system.database.dialects.expressions import json_array_contains
from agent_system.errors import ValidationError
from agent_system.models.columns import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement

__all__ = ["has_item", "merged", "with_items", "without_items"]


def has_item(column: Any, item: str) -> ColumnElement[bool]:
    """The condition that a JSON list has this text in it."""
    return json_array_contains(column, literal(item, Text()))


def merged(row: Mapping[str, Any], key: str, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object in a column with a merge patch (RFC 7396) applied: objects merge, None removes, others replace.

    Raises:
        ValidationError: The column holds malformed JSON, which a merge would lose.
    """
    return _merge(_checked(row, key, dict), patch)


def with_items(row: Mapping[str, Any], key: str, items: Iterable[str]) -> list[str]:
    """The JSON list in a column with these items, each of them once.

    Raises:
        ValidationError: The column holds malformed JSON.
    """
    present: list[str] = _checked(row, key, list)
    return [*present, *(item for item in dict.fromkeys(items) if item not in present)]


def without_items(row: Mapping[str, Any], key: str, items: Iterable[str]) -> list[str]:
    """The JSON list in a column without these items.

    Raises:
        ValidationError: The column holds malformed JSON.
    """
    unwanted = set(items)
    present: list[str] = _checked(row, key, list)
    return [item for item in present if item not in unwanted]


def _checked(row: Mapping[str, Any], key: str, kind: type) -> Any:
    value = row[key]
    if isinstance(value, kind):
        return value
    message = f"{key} holds no JSON {'object' if kind is dict else 'list'}; write it whole with update() first"
    raise ValidationError(message, field=key)


def _merge(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value) if isinstance(value, dict) else value
    return result
