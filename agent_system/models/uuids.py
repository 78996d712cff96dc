"""UUIDs: new ones, and as texts and back, without what `uuid.UUID` does for spellings that no column holds."""

from typing import Any
from uuid import UUID, SafeUUID

import uuid_utils

__all__ = ["native_uuid", "parse_uuid", "uuid7", "uuid_text"]

# The two slots are what UUID.__init__ sets, which spends two thirds of its time on other spellings.
_new_uuid = object.__new__
_set_int = UUID.__dict__["int"].__set__
_set_is_safe = UUID.__dict__["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown
CANONICAL_LENGTH = 36


def uuid7() -> UUID:
    """A new UUID of version 7 (RFC 9562), whose order is that of time; `uuid_utils.compat` takes twice as long."""
    return _made_of(uuid_utils.uuid7().int)


def uuid_text(value: UUID) -> str:
    """The canonical form, as `str` gives it, in two thirds of the time."""
    digits = value.int.to_bytes(16, "big").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_uuid(value: Any) -> Any:
    """The UUID of a text in any spelling; None of None."""
    if value is None:
        return None
    if len(value) != CANONICAL_LENGTH:
        return UUID(value)
    return _made_of(int(value.replace("-", ""), 16))


def native_uuid(value: Any) -> Any:
    """The plain UUID of what a driver hands out: asyncpg's subclass pickles by a name of that package."""
    if value is None or value.__class__ is UUID:
        return value
    return _made_of(value.int)


def _made_of(number: int) -> UUID:
    result = _new_uuid(UUID)
    _set_int(result, number)
    _set_is_safe(result, _UNKNOWN)
    return result
