"""The words of knowledge: what was done with a document, and what became of a gap."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["KnowledgeGapStatus", "KnowledgeUse"]


class KnowledgeGapStatus(StrEnum):
    """What became of knowledge that was missing."""

    OPEN = "open"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


class KnowledgeUse(StrEnum):
    """What was done with a document: put before an agent, read by it, named in its answer, or turned down by it."""

    ASSEMBLED = "assembled"
    READ = "read"
    CITED = "cited"
    REJECTED = "rejected"
