"""Where the analysis of a link stands."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LINK_STATUS_LEGACY", "LinkStatus"]


class LinkStatus(StrEnum):
    """Where the analysis of a link stands."""

    PENDING = "pending"
    SUCCESS = "success"
    ERROR = "error"


# Seed 000 has no CHECK, and so rows without a status.
LINK_STATUS_LEGACY: Mapping[str, LinkStatus] = MappingProxyType({"": LinkStatus.PENDING})
