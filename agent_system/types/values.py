"""The values of columns: JSON, integers, identifiers."""

from __future__ import annotations

from typing import Annotated, Any, NewType

from pydantic import Field, PlainSerializer

__all__ = [
    "Counter",
    "IdentityId",
    "Importance",
    "Int64",
    "JsonArray",
    "JsonObject",
    "JsonValue",
    "Percentage",
    "Priority",
    "RowId",
    "StringList",
]

# What a JSON column gives back need not be what its annotation says (a malformed text comes back as text): dumping a
# row must not warn about it.
_AsItIs = PlainSerializer(lambda value: value, return_type=Any)

JsonValue = Annotated[Any, _AsItIs]
"""Any JSON value; None is SQL NULL."""

JsonObject = Annotated[dict[str, Any], _AsItIs]
"""A JSON object; the raw text if the stored JSON is malformed."""

JsonArray = Annotated[list[Any], _AsItIs]
"""A JSON array; the raw text if the stored JSON is malformed."""

StringList = Annotated[list[str], _AsItIs]
"""A JSON array of texts; the raw text if the stored JSON is malformed."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""An integer that both engines can store."""

Counter = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A number of things: zero or more."""

Percentage = Annotated[int, Field(ge=0, le=100)]
"""Whole parts of a hundred: 0 to 100."""

Priority = Annotated[int, Field(ge=1, le=10)]
"""How urgent something is: 1 to 10, higher first."""
Importance = Annotated[int, Field(ge=1, le=10)]
"""How much something matters: 1 to 10."""

RowId = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), _AsItIs]
"""A key that the database counts up; None only before the row is written."""

IdentityId = NewType("IdentityId", str)
"""The text that identifies somebody on some platform: `user_identities.id`."""
