"""What a search is asked for, and whether it can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from agent_system.errors import ValidationError
from agent_system.search.fusion import K
from agent_system.search.query import parse
from agent_system.search.text_search import is_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Lookup
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.query import Query

__all__ = ["DEFAULT_HITS", "DEFAULT_WEIGHTS", "Asked", "Wanted"]

# Seed 003 recalls five to ten at a time.
DEFAULT_HITS = 10
MODES = ("auto", "text", "vector", "hybrid")
# Of the sides whose ranks are fused. Words decide where they find something, and vectors break ties and fill up: with
# 1.0 for both, recall@10 of `scripts/bench search` falls from 0.88 to 0.77, with 0.2 it rises to 0.89.
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType({"text": 1.0, "vector": 0.2})


class Wanted(Protocol):
    """Among which rows somebody searches."""

    @property
    def names_a_scope(self) -> bool:
        """Whether an index leads to the rows that are asked for."""

    def usual_values(self, lookup: Lookup) -> tuple[Any, ...] | None:
        """The values in the conditions, in their order, when these are what is usual but for the values.

        None when they are not. By their number it is known which ones they are. When something is looked up for them,
        by one parameter and to find more of them, the first one is what it is looked up by.
        """

    def conditions(self, executor: Lookup) -> ColumnElement[bool]:
        """What must hold for a row, as a condition on its table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What to look for, and how."""

    text: Any
    """What somebody typed; every text is a query, and anything else is refused."""
    limit: int = DEFAULT_HITS
    """At most so many hits."""
    after: str | None = None
    """The `next_cursor` of the page before."""
    mode: str = "auto"
    """How to search: `text`, `vector`, `hybrid`, or `auto`."""
    weights: Mapping[str, Any] | None = None
    """How much each side counts when their ranks are fused."""
    embedder: Embedder | None = None
    """What makes the vector of the text; None: there are no vectors."""

    @property
    def query(self) -> Query:
        """The text as a query."""
        return parse(self.text)

    @property
    def asks_vectors(self) -> bool:
        """Whether what is alike is looked for too."""
        if self.embedder is None or self.mode == "text":
            return False
        # Who wants a phrase or leaves out a word wants what has it, not what is like it.
        return self.mode != "auto" or is_plain(self.text, self.query)

    @property
    def used_weights(self) -> Mapping[str, Any]:
        """How much each side counts."""
        return self.weights or DEFAULT_WEIGHTS

    def words_lead(self, count: int) -> bool:
        """Whether none that only vectors find comes before the first so many that words find."""
        text, vector = (self.used_weights.get(side, 1.0) for side in ("text", "vector"))
        return bool(text / (K + count) > vector / (K + 1))

    def shown(self, name: str, about: Mapping[str, Any]) -> tuple[Any, ...]:
        """It all as it is now, so that a cursor that carries a digest of it cannot be used with another search.

        Args:
            name: What is searched.
            about: The filters.
        """
        filters = sorted([(key, _shown(value)) for key, value in about.items()]) if about else []
        weights = sorted(self.weights.items()) if self.weights else []
        how = [self.mode, weights, self.embedder and self.embedder.name]
        return name, self.text, filters, how

    def check(self, name: str) -> None:
        """Refuse what cannot be asked for.

        Args:
            name: What is searched for.

        Raises:
            ValidationError: The limit is below 1, the text is none, or the mode is unknown or has no embedder.
        """
        if not isinstance(self.text, str):
            message = f"{name}: the text to search for is no text but {type(self.text).__name__}"
            raise ValidationError(message, field="text", entity=name)
        if self.limit < 1:
            message = f"limit must be at least 1, not {self.limit}"
            raise ValidationError(message, field="limit", entity=name)
        if self.mode not in MODES:
            message = f"mode is one of {', '.join(MODES)}, not {self.mode!r}"
            raise ValidationError(message, field="mode", entity=name)
        if self.mode in {"vector", "hybrid"} and self.embedder is None:
            message = f"mode {self.mode} needs an embedder: EntityManager(db, embedder=...), or embedder=... here"
            raise ValidationError(message, field="mode", entity=name)
        for side, weight in (self.weights or {}).items():
            if side not in DEFAULT_WEIGHTS or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
                message = f"weights are numbers from 0 by side ({', '.join(DEFAULT_WEIGHTS)}), not {side!r}: {weight!r}"
                raise ValidationError(message, field="weights", entity=name)


def _shown(value: Any) -> str:
    return repr(list(value) if isinstance(value, (set, frozenset, tuple)) else value)
