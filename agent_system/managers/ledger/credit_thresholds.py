"""When the credits of a provider are worth an alert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.types import AlertSeverity, CreditAlertType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CreditThresholds", "due_alerts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditThresholds:
    """When an alert is raised; None for never. The defaults are seed 003's."""

    low_balance_critical: float | None = 5.0
    """US dollars left, or less, that are a critical alert."""
    low_balance_warning: float | None = 25.0
    """US dollars left, or less, that are a warning."""
    daily_spend: float | None = 50.0
    """US dollars spent on one day, or more, that are a warning."""
    rate_limit: int | None = 5
    """Requests left, or fewer, that are a warning."""


def due_alerts(values: Mapping[str, Any], limits: CreditThresholds) -> list[dict[str, Any]]:
    """What a snapshot gives rise to; a figure that the provider did not say gives rise to nothing."""
    left, spent, requests = (values[key] for key in ("credits_remaining", "daily_spend", "rate_limit_remaining"))
    alerts = []
    for severity, limit in (
        (AlertSeverity.CRITICAL, limits.low_balance_critical),
        (AlertSeverity.WARNING, limits.low_balance_warning),
    ):
        if left is not None and limit is not None and left <= limit:
            message = f"only ${left:.2f} of credits are left"
            alerts.append(_alert(CreditAlertType.LOW_BALANCE, severity, limit, left, message))
            break
    if spent is not None and limits.daily_spend is not None and spent >= limits.daily_spend:
        message = f"${spent:.2f} were spent today"
        alerts.append(_alert(CreditAlertType.DAILY_LIMIT, AlertSeverity.WARNING, limits.daily_spend, spent, message))
    if requests is not None and limits.rate_limit is not None and requests <= limits.rate_limit:
        message = f"only {requests} requests are left until the rate limit"
        alerts.append(_alert(CreditAlertType.RATE_LIMIT, AlertSeverity.WARNING, limits.rate_limit, requests, message))
    return alerts


def _alert(kind: str, severity: AlertSeverity, limit: float, value: float, message: str) -> dict[str, Any]:
    return {
        "alert_type": str(kind),
        "severity": severity,
        "threshold_value": float(limit),
        "current_value": float(value),
        "message": message,
    }
