"""What is written and read: the same rows for every contender, told by their number."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["IDENTITIES", "Row", "agent_row", "digest", "identity", "message_row"]

Row: TypeAlias = "dict[str, Any]"

IDENTITIES = 64
"""How many people write the messages; they are there before the measurement."""

_TEXT = (
    "The build fails in the second stage because the cache key does not contain the lock file; "
    "I shall look at the workflow, change the key and run the tests again before I answer."
)


def identity(number: int) -> str:
    """The id of the person who wrote the message with this number."""
    return f"person-{number % IDENTITIES:02d}"


def message_row(number: int) -> Row:
    """What a caller gives for a message; its content is unlike that of any other number."""
    return {
        "role": "user" if number % 2 == 0 else "assistant",
        "content": f"{number:08d} {_TEXT}",
        "user_id": identity(number),
    }


def agent_row(number: int) -> Row:
    """What a caller gives for an agent."""
    return {
        "name": f"agent {number:08d}",
        "instruction": _TEXT,
        "specialization": "research" if number % 2 == 0 else "coding",
        "capabilities": ["web_search", "summarise", "code_review"],
        "configuration": {"provider": "local", "model": "small", "temperature": 0.2, "max_tokens": 2048},
    }


def digest(texts: Iterable[str]) -> str:
    """A checksum of a collection of texts that does not depend on their order."""
    total = hashlib.sha256()
    for text in sorted(texts):
        total.update(text.encode())
        total.update(b"\0")
    return total.hexdigest()[:16]
