"""What the other spellings of the legacy systems mean here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["spellings"]


def spellings(**meanings: Any) -> Mapping[str, Any]:
    """A table from a legacy spelling to its meaning, which nobody can change."""
    return MappingProxyType(meanings)
