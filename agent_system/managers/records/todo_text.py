"""Things to do as callers give them: a text that a person or a model has written, or items one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_system.types import TodoStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ParsedItem", "item_data", "parse_items"]

# A line with a list's mark before it (`-`, `*`, `+`, `1.`, `1)`), and perhaps a box that is empty or ticked.
_MARK = re.compile(r"(?:[-*+•]|\d{1,9}[.)])\s+")
_BOX = re.compile(r"\[([ xX])\]\s+")


class ParsedItem(NamedTuple):
    """A thing to do."""

    content: str
    is_done: bool


def parse_items(text: str) -> list[ParsedItem]:
    """Return one item for each line that is not blank, without its list mark; `[x]` before it says that it is done."""
    items = []
    for line in text.splitlines():
        content = _MARK.sub("", line.strip(), count=1) if _MARK.match(line.strip()) else line.strip()
        box = _BOX.match(content)
        content = content[box.end() :].strip() if box else content.strip()
        if content:
            items.append(ParsedItem(content, box is not None and box[1] != " "))
    return items


def item_data(items: str | Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns of items that were given as one text, as texts, or as columns."""
    if isinstance(items, str):
        status = {True: TodoStatus.COMPLETED, False: TodoStatus.PENDING}
        return [{"content": content, "status": status[is_done]} for content, is_done in parse_items(items)]
    return [dict(item) if isinstance(item, Mapping) else {"content": item} for item in items]
