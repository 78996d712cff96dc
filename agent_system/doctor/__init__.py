"""The doctor: looks a database through, says what is wrong and how much it matters, and mends what is safe to mend."""

from __future__ import annotations

from agent_system.doctor.examination import examine, examine_url
from agent_system.doctor.findings import Finding, Report, Severity

__all__ = ["Finding", "Report", "Severity", "examine", "examine_url"]
