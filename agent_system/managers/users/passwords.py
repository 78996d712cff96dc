"""Passwords: hashed with argon2id, away from the event loop, a few at a time.

A hash carries its parameters; one that was made with others, or with a legacy system's bcrypt, still tells right from
wrong, and the caller gets a new one to keep. No password is a part of an error, a log or a repr.
"""

from __future__ import annotations

import asyncio
import base64
import os
import unicodedata
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.settings import DatabaseSettings

__all__ = ["PasswordVerdict", "Passwords"]

T = TypeVar("T")

# Argon2 takes any length, but a password of megabytes is an attempt to keep the processor busy.
LONGEST = 1_024
# bcrypt looks no further (the library refuses longer ones, older libraries cut them off).
BCRYPT_BYTES = 72
SALT_BYTES = 16
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class PasswordVerdict:
    """What became of a password that was tried."""

    matches: bool
    """Whether it is the right one."""
    new_hash: str | None = None
    """What to store from now on, when the stored hash was made otherwise than hashes are made today."""


class Passwords:
    """Makes and verifies hashes of passwords.

    Args:
        settings: The parameters of argon2id, how many hashes are computed at once, and how short a password may be.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._shortest = settings.password_min_length
        memory, passes, lanes = (
            settings.password_memory_kib,
            settings.password_time_cost,
            settings.password_parallelism,
        )
        # Argon2 needs 8 KiB for each lane (RFC 9106, section 3.1).
        memory = max(memory, 8 * lanes)
        self._argon2 = Argon2Hasher(passes, memory, lanes, HASH_BYTES, SALT_BYTES)
        self._bcrypt = BcryptHasher()
        # A hash of nothing, of the same cost as a real one: its digest is random, so that no password matches it.
        salt, digest = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (SALT_BYTES, HASH_BYTES))
        self._nobodys = f"$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${digest}"
        # Threads of its own: a caller who goes away does not make room for another one before the work is done.
        self._threads = ThreadPoolExecutor(settings.password_concurrency, thread_name_prefix="agent_system-passwords")
        weakref.finalize(self, self._threads.shutdown, wait=False)

    def check(self, password: Any, field: str = "password") -> None:
        """Refuse what cannot be a new password.

        Raises:
            ValidationError: It is no text, too short or too long.
        """
        if not isinstance(password, str):
            message = f"{field}: expected text, got {type(password).__name__}"
            raise ValidationError(message, field=field, entity="User")
        if not self._shortest <= len(password) <= LONGEST:
            message = f"{field}: it must have {self._shortest} to {LONGEST} characters"
            raise ValidationError(message, field=field, entity="User")

    def is_hash(self, text: str) -> bool:
        """Whether passwords can be verified against this text."""
        return Argon2Hasher.identify(text) or BcryptHasher.identify(text)

    async def hash(self, password: str) -> str:
        """Return the hash of a password that has been checked."""
        return await self._run(partial(self._argon2.hash, _normal(password)))

    async def verify(self, password: str, stored: str | None) -> PasswordVerdict:
        """Try a password; it costs the same when there is nothing to try it against.

        Args:
            password: What somebody typed.
            stored: The hash; None, or a text that is no hash, matches nothing.
        """
        return await self._run(partial(self._verify, password, stored))

    def _verify(self, password: Any, stored: str | None) -> PasswordVerdict:
        is_possible = isinstance(password, str) and len(password) <= LONGEST
        if is_possible and stored is not None and BcryptHasher.identify(stored):
            if not self._matches_bcrypt(password, stored):
                return PasswordVerdict(matches=False)
            return PasswordVerdict(matches=True, new_hash=self._argon2.hash(_normal(password)))
        known = stored if is_possible and stored is not None and Argon2Hasher.identify(stored) else self._nobodys
        if not self._argon2.verify(_normal(password) if is_possible else b"", known) or known is self._nobodys:
            return PasswordVerdict(matches=False)
        is_old = self._argon2.check_needs_rehash(known)
        return PasswordVerdict(matches=True, new_hash=self._argon2.hash(_normal(password)) if is_old else None)

    def _matches_bcrypt(self, password: str, stored: str) -> bool:
        try:
            return self._bcrypt.verify(password.encode("utf-8", "surrogatepass")[:BCRYPT_BYTES], stored)
        except ValueError:
            # A hash of the right form that the library cannot read.
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _normal(password: str) -> bytes:
    """The password as it is hashed: NIST SP 800-63B, section 5.1.1.2, so that every keyboard types the same one."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
