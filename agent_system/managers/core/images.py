"""Images of rows for the audit trail: attribute values as the text of a JSON object.

An image of a new row is most of what its event costs. The function that writes it is generated from the columns, as
`dataclasses` generates `__init__`: 5 µs for an agent, where a dictionary and a JSON encoder take 14.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Boolean

from agent_system.models.codec import encode_json, encode_text
from agent_system.models.columns import Enumerated, Json, Text, UtcDateTime, Uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Column

__all__ = ["generate_image", "image"]


def image(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attribute values as JSON can hold them."""
    return {key: _jsonable(value) for key, value in values.items()}


def generate_image(columns: Mapping[str, Column[Any]]) -> Callable[[Mapping[str, Any], Mapping[str, str]], str]:
    """Make the function that writes complete values of a table as `encode_json(image(values))` would.

    The function's second argument holds the texts of JSON values that are encoded already.
    """
    lines = ["def write(values, texts):"]
    parts = []
    for number, (key, column) in enumerate(columns.items()):
        name = f"value_{number}"
        lines += [
            f"    {name} = values.get({key!r})",
            f"    {name} = 'null' if {name} is None else {_text(column, key, name)}",
        ]
        parts.append(json.dumps(key) + ":{" + name + "}")
    lines.append("    return f'{{" + ",".join(parts) + "}}'")
    scope: dict[str, Any] = {"quote": _quote, "encode_json": encode_json, "iso": _iso}
    exec("\n".join(lines), scope)  # noqa: S102 (made of attribute names of our own classes)
    write: Callable[[Mapping[str, Any], Mapping[str, str]], str] = scope["write"]
    return write


def _text(column: Column[Any], key: str, name: str) -> str:
    """The expression for the text of a value that is not None."""
    kind = column.type
    if isinstance(kind, Json):
        return f"texts.get({key!r}) or encode_json({name})"
    if isinstance(kind, (Text, Enumerated)):
        return f"quote({name})"
    if isinstance(kind, Uuid):
        return f"'\"%s\"' % {name}"
    if isinstance(kind, UtcDateTime):
        return f"'\"%s\"' % iso({name})"
    if isinstance(kind, Boolean):
        return f"'true' if {name} else 'false'"
    return f"repr({name})"


def _quote(text: str) -> str:
    return encode_basestring(encode_text(text))


# A new row has one moment in several columns.
@lru_cache(8)
def _iso(moment: datetime) -> str:
    return moment.isoformat()


def _jsonable(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return _iso(value)
    return value
