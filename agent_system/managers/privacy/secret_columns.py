"""Which columns hold secrets: free SQL cannot read them, whoever asks.

A column is added here together with the table; a test compares the list with the names of all columns.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SECRET_COLUMNS"]

SECRET_COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "users": MappingProxyType(
            {
                "password_hash": "who has it can guess the password without asking",
                "preferences": "API keys and tokens of the user, sealed when there is a key to seal them with",
            }
        )
    }
)
"""The secret columns of each table, with the reason."""
