"""The words of the audit trail and of relationships."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EventOutcome", "RelationshipType", "SealKind", "Severity"]


class EventOutcome(StrEnum):
    """How what an event tells about ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"
    ERROR = "error"
    TIMEOUT = "timeout"


class Severity(StrEnum):
    """How much an event matters to the person on call."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class SealKind(StrEnum):
    """What a seal of the audit chain vouches for."""

    EVENTS = "events"
    """That a batch of events is as it was."""
    ERASURE = "erasure"
    """That some sealed events were emptied because somebody was erased, and what is left of them."""


class RelationshipType(StrEnum):
    """The eight relationships of seed 001."""

    USES = "uses"
    DEPENDS_ON = "depends_on"
    CREATES = "creates"
    OPTIMIZES = "optimizes"
    TRIGGERS = "triggers"
    REFERENCES = "references"
    CONTAINS = "contains"
    INHERITS = "inherits"
