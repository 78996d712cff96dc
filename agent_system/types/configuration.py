"""What a setting's value is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONFIG_TYPE_LEGACY", "ConfigType"]


class ConfigType(StrEnum):
    """How the text of a setting is read."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    JSON = "json"


# The types of seed 003's global variables, whose numbers may have fractions.
CONFIG_TYPE_LEGACY: Mapping[str, ConfigType] = spellings(number=ConfigType.FLOAT, boolean=ConfigType.BOOL)
