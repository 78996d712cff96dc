"""Pieces of the filters that searching verbs take as keywords: what is unknown or of a wrong type is an error."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import literal

from agent_system.errors import ValidationError
from agent_system.managers.core.moments import within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement

__all__ = ["FEW_VALUES", "between", "known_only", "one_of", "tags_of"]

# Statements of so many parameters are compiled for each number of them and remembered.
FEW_VALUES = 16


def known_only(filters: Mapping[str, Any], known: frozenset[str], table: str) -> None:
    """Refuse filters that nobody knows; ignored, they would show what was not asked for.

    Raises:
        ValidationError: There is one.
    """
    if not filters.keys() <= known:
        unknown = sorted(filters.keys() - known)
        message = f"{table}.{unknown[0]}: unknown filter; there are: {', '.join(sorted(known))}"
        raise ValidationError(message, field=unknown[0])


def between(column: Any, filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """The conditions of `since` (from this moment on) and `until` (before this moment).

    Raises:
        ValidationError: One is no datetime, or has no time zone.
    """
    return within(column, _moment(filters, "since"), _moment(filters, "until"))


def one_of(column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition that a column has one of these values, of which there are mostly few."""
    condition: ColumnElement[bool]
    if len(values) == 1:
        condition = column == values[0]
    elif len(values) <= FEW_VALUES:
        # As parameters of its own, which `condition_plans.py` can have compiled before it knows the values.
        condition = column.in_([literal(value, column.type) for value in values])
    else:
        condition = column.in_(values)
    return condition


def tags_of(filters: Mapping[str, Any]) -> tuple[list[str], bool]:
    """The `tags` that are asked for, each once, and whether all of them are (`match_tags`).

    Raises:
        ValidationError: A tag is no text, or `match_tags` is neither `all` nor `any`.
    """
    match = filters.get("match_tags", "all")
    if match not in {"all", "any"}:
        message = f"match_tags is 'all' or 'any', not {match!r}"
        raise ValidationError(message, field="match_tags")
    given = filters.get("tags", ())
    tags = list(dict.fromkeys(given)) if not isinstance(given, str) else [given]
    for tag in tags:
        if not isinstance(tag, str):
            message = f"tags: {tag!r} is no text"
            raise ValidationError(message, field="tags")
    return tags, match == "all"


def _moment(filters: Mapping[str, Any], key: str) -> datetime | None:
    moment = filters.get(key)
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        message = f"{key}: {moment!r} is no datetime"
        raise ValidationError(message, field=key)
    return moment
