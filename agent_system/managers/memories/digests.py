"""By what two memories are the same one: digests of the content and of whose memory it is.

The unique index `uq_memories_content` over scope, kind and content of the active rows keeps a memory from being written
twice, whoever comes first. A scope of NULLs is a scope like any other, because its digest is no NULL.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent_system.types import MemoryKind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DIGESTED", "content_hash", "scope_key"]

SCOPE = ("user_id", "guild_id", "channel_id", "agent_id", "project_id")
DIGESTED = frozenset({*SCOPE, "session_uuid", "kind", "content"})
"""The columns from which the digests follow."""

# 128 bits: by chance, two of 10^12 memories of one scope agree once in 10^14 times.
DIGEST_BYTES = 16


def content_hash(content: str) -> str:
    """The digest of a content; composed in other code points or with other blanks it is the same content."""
    plain = " ".join(unicodedata.normalize("NFC", content).split())
    return _digest(plain)


def scope_key(values: Mapping[str, Any]) -> str:
    """The digest of whose memory it is; a memory of a session is also the session's. What is not given is nobody's.

    The conversation is where a memory comes from: said again in another one, it is the same memory.
    """
    scope = [values.get(key) for key in SCOPE]
    if values.get("kind") == MemoryKind.SHORT_TERM:
        scope.append(values.get("session_uuid"))
    return _scope_digest(*scope)


# Who remembers something will remember more.
@lru_cache(1_024)
def _scope_digest(*scope: Any) -> str:
    return _digest(json.dumps([None if part is None else str(part) for part in scope]))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()
