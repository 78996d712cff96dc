"""What the doctor finds, and how much it matters."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Finding", "Report", "Severity"]


class Severity(IntEnum):
    """How much a finding matters; the numbers order them."""

    INFO = 0
    """Good to know."""
    WARNING = 1
    """Data are safe; something is not as it should be."""
    ERROR = 2
    """Data are damaged or in danger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that the doctor found."""

    check: str
    """The check that found it, such as `integrity`."""
    severity: Severity
    message: str
    """What is wrong, in one line."""
    advice: str | None = None
    """What to do about it."""
    fix: Callable[[], Awaitable[None]] | None = field(default=None, compare=False, repr=False)
    """What mends it without losing anything; None when a person has to."""

    def as_json(self) -> dict[str, Any]:
        """The finding for programs."""
        shown = {key: value for key, value in asdict(self).items() if key != "fix"}
        return shown | {"severity": self.severity.name.lower(), "can_be_fixed": self.fix is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What an examination gave."""

    findings: tuple[Finding, ...]
    """What is wrong now, the worst first."""
    fixed: tuple[Finding, ...] = ()
    """What was wrong and has been mended."""
    checks: tuple[str, ...] = ()
    """What was looked at."""

    @property
    def worst(self) -> Severity | None:
        """The worst that is wrong; None when nothing is."""
        return max((finding.severity for finding in self.findings), default=None)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "checks": list(self.checks),
            "findings": [finding.as_json() for finding in self.findings],
            "fixed": [finding.as_json() for finding in self.fixed],
        }
