"""`TableRules`: what the layer does, and must not do, with the rows of one table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

__all__ = ["TableRules"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRules:
    """What a manager says of its table; each attribute is told at the manager's of the same name."""

    audited: str | None = None
    hot: bool = False
    hot_name: str | None = None
    kept: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, manager: object) -> Self:
        """The rules that a manager states by its attributes."""
        return cls(**{each.name: getattr(manager, each.name) for each in fields(cls)})
