"""The arithmetic of the audit chain: what is digested, in which words, and with which key.

The digest of an event covers what says that something happened, and a salted digest of what it was about. When
somebody is erased, the latter is emptied and its salt forgotten: the chain stays valid, and nobody can guess from the
digest what there was. Everything is digested as JSON with sorted keys and nothing but ASCII, the same on both engines.
HMAC-SHA256 is RFC 2104 and FIPS 180-4.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

__all__ = ["PAYLOAD", "SAID", "ChainKeys", "new_salt", "payload_digest", "plain_digest"]

VARIABLE = "AGENT_SYSTEM_AUDIT_KEY"

SAID = (
    "id",
    "event_type",
    "entity_type",
    "entity_id",
    "parent_event_id",
    "tree_id",
    "outcome",
    "severity",
    "duration_ms",
    "created_at",
)
"""The columns that never change."""
PAYLOAD = ("actor", "before", "after", "data", "related_entities", "metadata")
"""The columns that an erasure may empty."""
SEALED = (
    "id",
    "kind",
    "first_event_id",
    "last_event_id",
    "event_count",
    "content_digest",
    "previous_digest",
    "receipt_id",
    "created_at",
)


def new_salt() -> str:
    """A salt of 128 random bits, hexadecimal."""
    return secrets.token_hex(16)


def payload_digest(event: Mapping[str, Any], salt: str | None) -> str:
    """Digest what an event was about."""
    return plain_digest(["payload", salt, *(event[name] for name in PAYLOAD)])


def plain_digest(value: Any) -> str:
    """Digest a value without a key."""
    return hashlib.sha256(_canonical(value)).hexdigest()


class ChainKeys:
    """The keys of the chain: the newest seals, each verifies what it has sealed.

    Args:
        keys: What AGENT_SYSTEM_AUDIT_KEY holds; None: there are none.
    """

    def __init__(self, keys: SecretStr | None) -> None:
        given = [] if keys is None else [key.strip().encode() for key in keys.get_secret_value().split(",")]
        self._keys = {_name(key): key for key in given}

    def __repr__(self) -> str:
        return f"<ChainKeys {', '.join(self._keys) or 'none'}>"

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    def newest(self) -> str | None:
        """The name of the key that seals; None when there is none."""
        return next(iter(self._keys), None)

    def require(self) -> str:
        """The name of the key that seals.

        Raises:
            ConfigurationError: There is none.
        """
        name = self.newest()
        if name is None:
            message = f"the audit chain needs a key: set {VARIABLE} to 32 random characters or more"
            raise ConfigurationError(message, variable=VARIABLE)
        return name

    def event_digest(self, key_id: str, event: Mapping[str, Any], before: str, payload: str) -> str:
        """The chain with one more event.

        Args:
            key_id: Which key.
            event: The event's columns.
            before: The chain before it.
            payload: The salted digest of what it was about.
        """
        return self._digest(key_id, ["event", before, *(event[name] for name in SAID), payload])

    def seal_digest(self, key_id: str, seal: Mapping[str, Any]) -> str:
        """The chain with one more seal."""
        return self._digest(key_id, ["seal", *(seal[name] for name in SEALED)])

    def _digest(self, key_id: str, value: Any) -> str:
        return hmac.new(self._keys[key_id], _canonical(value), hashlib.sha256).hexdigest()


def _name(key: bytes) -> str:
    """What a key is called in rows, which tells nothing about it."""
    return hashlib.sha256(b"agent_system audit key\0" + key).hexdigest()[:8]


def _canonical(value: Any) -> bytes:
    return json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":")).encode("ascii")


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, UUID):
        return str(value)
    message = f"{type(value).__name__} has no canonical form"
    raise TypeError(message)
