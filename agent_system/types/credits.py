"""The words of credits and their alerts."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CREDIT_ALERT_TYPE_LEGACY", "AlertSeverity", "CreditAlertType"]


class AlertSeverity(StrEnum):
    """How urgent an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class CreditAlertType(StrEnum):
    """The alerts that the layer raises itself; a caller may raise others."""

    LOW_BALANCE = "low_balance"
    RATE_LIMIT = "rate_limit"
    DAILY_LIMIT = "daily_limit"


# Seed 003's document says daily_limit, its code daily_spend.
CREDIT_ALERT_TYPE_LEGACY: Mapping[str, CreditAlertType] = MappingProxyType({"daily_spend": CreditAlertType.DAILY_LIMIT})
