"""Several rows out of one: the items of lists and objects that a column holds as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.values import UnreadableError, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["ITEM", "POSITION", "items_of", "parsed"]

ITEM = "item"
"""The column of an expanded row that holds the item; an object also gives each of its keys, as `item.key`."""
POSITION = "position"
"""The column of an expanded row that tells where in the list the item stands, from 0."""


def parsed(value: Any) -> Any:
    """Return the JSON in a column, None when there is none; the description of the row itself tells what is wrong."""
    if value is None or value == "":
        return None
    try:
        return to_json(value)[0]
    except UnreadableError:
        return None


def items_of(column: str, *path: str) -> Callable[[Mapping[str, Any]], Iterator[Mapping[str, Any]]]:
    """Make a row of each item of a list.

    Args:
        column: The column with the JSON.
        path: Keys that lead from its object to the list; the column itself is the list without any.
    """

    def expand(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        found = parsed(raw.get(column))
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        for position, item in enumerate(found if isinstance(found, list) else ()):
            keys = {f"{ITEM}.{key}": value for key, value in item.items()} if isinstance(item, dict) else {}
            yield {**raw, **keys, ITEM: item, POSITION: position}

    return expand
