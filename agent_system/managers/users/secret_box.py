"""Secrets among a user's preferences: encrypted before they reach the disk, opened when somebody asks for them.

A value is a secret when its key says so (`api_key`, `githubToken`, `password` ...), at any depth. With keys in
AGENT_SYSTEM_SECRET_KEYS it is stored as `sealed:` and a Fernet token that carries the value with the id of its user, so
that a sealed value which is copied to another user opens nothing there. Without keys secrets are stored as given.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
from typing import TYPE_CHECKING, Any

from agent_system.errors import ConfigurationError, MissingExtraError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from pydantic import SecretStr

__all__ = ["SecretBox", "is_secret_key"]

logger = logging.getLogger(__name__)

VARIABLE = "AGENT_SYSTEM_SECRET_KEYS"
SEALED = "sealed:"
EXTRA, FEATURE = "crypto", "encrypting secrets"
# Compared with a key's letters alone; `max_tokens` is none of them.
SECRET_KEYS = re.compile(
    r"(apikeys?|accesskeys?|secretkeys?|privatekeys?|token|secrets?|passwords?|passwd|passphrases?|credentials?)\Z"
)


def is_secret_key(key: object) -> bool:
    """Whether what stands under this key is a secret."""
    return isinstance(key, str) and SECRET_KEYS.search(re.sub(r"[^a-z0-9]", "", key.lower())) is not None


class SecretBox:
    """Seals and opens the secrets of users.

    Args:
        keys: What AGENT_SYSTEM_SECRET_KEYS holds: the newest key seals, all of them open. None seals nothing.

    Raises:
        MissingExtraError: There are keys, and the library that uses them is not installed.
    """

    def __init__(self, keys: SecretStr | None) -> None:
        self._ciphers: Sequence[Any] = ()
        self._is_warned = False
        if keys is None:
            return
        try:
            fernet: Any = importlib.import_module("cryptography.fernet")
        except ImportError as exc:
            raise MissingExtraError(EXTRA, FEATURE) from exc
        self._ciphers = [fernet.Fernet(key.strip()) for key in keys.get_secret_value().split(",")]
        self._invalid: type[Exception] = fernet.InvalidToken

    @property
    def can_seal(self) -> bool:
        """Whether there is a key."""
        return bool(self._ciphers)

    def seal(self, user_id: UUID, preferences: Any) -> Any:
        """Return preferences whose secrets are sealed; those that are sealed already stay as they are.

        Raises:
            ValidationError: They are nested too deeply.
        """
        try:
            return self._map(preferences, lambda value: self._seal(user_id, value))
        except RecursionError:
            message = "preferences: the value is nested too deeply"
            raise ValidationError(message, field="preferences", entity="User") from None

    def reseal(self, user_id: UUID, preferences: Any) -> Any:
        """Return preferences whose secrets are all sealed with the newest key.

        Raises:
            ConfigurationError: A secret was sealed with a key that is no longer there.
        """
        return self._map(preferences, lambda value: self._reseal(user_id, value))

    def reveal(self, user_id: UUID, preferences: Any) -> dict[str, Any]:
        """Return the secrets alone, in the places that they have in the preferences.

        Raises:
            ConfigurationError: A secret was sealed with a key that is not among those of this box.
        """
        found = _only_secrets(preferences, lambda value: self._open(user_id, value))
        return found if isinstance(found, dict) else {}

    def _map(self, value: Any, change: Callable[[Any], Any]) -> Any:
        if isinstance(value, dict):
            return {
                key: change(item) if is_secret_key(key) and _holds(item) else self._map(item, change)
                for key, item in value.items()
            }
        return [self._map(item, change) for item in value] if isinstance(value, list) else value

    def _seal(self, user_id: UUID, value: Any) -> Any:
        if _is_sealed(value) and (not self._ciphers or self._opens(user_id, value)):
            return value
        if not self._ciphers:
            if not self._is_warned:
                self._is_warned = True
                logger.warning("%s is not set: secrets in preferences are stored as they are given", VARIABLE)
            return value
        try:
            content = json.dumps({"user": str(user_id), "value": value}, allow_nan=False).encode()
        except (TypeError, ValueError):
            # The column refuses it, too, and says so.
            return value
        return SEALED + self._ciphers[0].encrypt(content).decode()

    def _reseal(self, user_id: UUID, value: Any) -> Any:
        if not self._ciphers:
            return value
        if _is_sealed(value) and self._try(self._ciphers[0], value) is not None:
            return value
        opened = self._open(user_id, value)
        return value if opened is None else self._seal(user_id, opened)

    def _open(self, user_id: UUID, value: Any) -> Any:
        if not _is_sealed(value):
            return value
        for cipher in self._ciphers:
            content = self._try(cipher, value)
            if content is not None:
                opened = json.loads(content)
                return opened["value"] if opened["user"] == str(user_id) else None
        message = f"a secret was sealed with a key that is not in {VARIABLE}"
        raise ConfigurationError(message, variable=VARIABLE)

    def _opens(self, user_id: UUID, value: str) -> bool:
        try:
            return self._open(user_id, value) is not None
        except ConfigurationError:
            return False

    def _try(self, cipher: Any, value: str) -> bytes | None:
        try:
            content: bytes = cipher.decrypt(value.removeprefix(SEALED).encode("utf-8", "replace"))
        except self._invalid:
            return None
        return content


def _holds(value: Any) -> bool:
    """Whether there is something to hide; flags and nothing tell nothing."""
    return value is not None and not isinstance(value, bool) and value not in ("", {}, [])


def _is_sealed(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(SEALED)


def _only_secrets(value: Any, opened: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        found = {
            key: opened(item) if is_secret_key(key) and _holds(item) else _only_secrets(item, opened)
            for key, item in value.items()
        }
        return {key: item for key, item in found.items() if item is not None} or None
    if isinstance(value, list):
        items = [_only_secrets(item, opened) for item in value]
        return items if any(item is not None for item in items) else None
    return None
