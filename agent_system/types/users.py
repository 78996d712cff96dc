"""What a user may do."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["USER_ROLE_LEGACY", "UserRole"]


class UserRole(StrEnum):
    """What a user may do."""

    USER = "user"
    ADMIN = "admin"


# Seed 002 has a flag is_admin instead.
USER_ROLE_LEGACY: Mapping[str, UserRole] = MappingProxyType({"0": UserRole.USER, "1": UserRole.ADMIN})
