"""What models cost Coach Artie, and what was left at the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.importers.legacy.accounts import person
from agent_system.importers.legacy.converters import (
    NOW,
    count,
    flag,
    integer,
    json_value,
    moment,
    number,
    text,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.keeping import metadata
from agent_system.types import CREDIT_ALERT_TYPE_LEGACY, AlertSeverity

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

# What the provider gives away has this at the end of its name.
FREE = ":free"

_cost = number("estimated_cost", negative=False)
_tokens = [count(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]


def _estimated_cost(row: SourceRow) -> float | None:
    """The cost; their price list gave 0 to every model that it did not know, which is no price."""
    found: float | None = _cost(row)
    model = str(row.raw.get("model_name") or "")
    if found == 0 and not model.endswith(FREE) and any(each(row) for each in _tokens):
        row.mend("estimated_cost", "0 for a model that has a price, now not known")
        return None
    return found


def _alert_type(row: SourceRow) -> str:
    found = text("alert_type", "")(row) or ""
    return CREDIT_ALERT_TYPE_LEGACY.get(found, found)


MODEL_USAGE = Table(
    source="model_usage_stats",
    target="model_usage",
    identity=("id", "model_name", "user_id", "message_id", "timestamp"),
    needs=frozenset({"model_name", "user_id"}),
    columns={
        "model_name": text("model_name", "unknown", empty=False),
        "user_id": person("user_id", "user_identities"),
        "message_id": text("message_id"),
        "input_length": count("input_length"),
        "output_length": count("output_length"),
        "response_time_ms": count("response_time_ms"),
        "capabilities_detected": count("capabilities_detected", 0),
        "capabilities_executed": count("capabilities_executed", 0),
        "capability_types": text("capability_types", ""),
        "success": flag("success", default=True),
        "error_type": text("error_type"),
        "prompt_tokens": _tokens[0],
        "completion_tokens": _tokens[1],
        "total_tokens": _tokens[2],
        "estimated_cost": _estimated_cost,
        "timestamp": moment("timestamp", NOW),
        "created_at": moment("timestamp", NOW),
        "meta": metadata(
            (
                "id",
                "model_name",
                "user_id",
                "message_id",
                "input_length",
                "output_length",
                "response_time_ms",
                "capabilities_detected",
                "capabilities_executed",
                "capability_types",
                "success",
                "error_type",
                "prompt_tokens",
                "completion_tokens",
                "total_tokens",
                "estimated_cost",
                "timestamp",
            )
        ),
    },
    is_referenced=False,
)
CREDIT_BALANCE = Table(
    source="credit_balance",
    target="credits",
    identity=("id", "provider", "credits_remaining", "credits_used", "last_updated"),
    needs=frozenset({"provider", "credits_remaining"}),
    columns={
        "provider": text("provider", "openrouter", empty=False),
        "credits_remaining": number("credits_remaining"),
        "credits_used": number("credits_used"),
        "daily_spend": number("daily_spend"),
        "monthly_spend": number("monthly_spend"),
        "rate_limit_remaining": integer("rate_limit_remaining"),
        "rate_limit_reset": moment("rate_limit_reset"),
        "last_updated": moment("last_updated", NOW),
        "raw_response": json_value("raw_response"),
        "created_at": moment("last_updated", NOW),
        "meta": metadata(
            (
                "id",
                "provider",
                "credits_remaining",
                "credits_used",
                "daily_spend",
                "monthly_spend",
                "rate_limit_remaining",
                "rate_limit_reset",
                "last_updated",
                "raw_response",
            )
        ),
    },
    is_referenced=False,
)
CREDIT_ALERTS = Table(
    source="credit_alerts",
    target="alerts",
    identity=("id", "alert_type", "message", "created_at"),
    needs=frozenset({"alert_type", "severity"}),
    columns={
        "alert_type": _alert_type,
        "threshold_value": number("threshold_value"),
        "current_value": number("current_value"),
        "message": text("message"),
        "severity": word("severity", AlertSeverity, AlertSeverity.INFO),
        "acknowledged": flag("acknowledged", default=False),
        "created_at": moment("created_at", NOW),
        "meta": metadata(
            (
                "id",
                "alert_type",
                "threshold_value",
                "current_value",
                "message",
                "severity",
                "acknowledged",
                "created_at",
            )
        ),
    },
    is_referenced=False,
)
TABLES = (MODEL_USAGE, CREDIT_BALANCE, CREDIT_ALERTS)
