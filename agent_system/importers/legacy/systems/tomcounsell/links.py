"""What people shared: links.db, whose table was taken over by system.db as it was."""

from __future__ import annotations

from agent_system.importers.legacy.conflicts import Merge
from agent_system.importers.legacy.converters import NOW, constant, json_value, moment, text, word
from agent_system.importers.legacy.description import Table
from agent_system.types import LINK_STATUS_LEGACY, LinkStatus

__all__ = ["TABLES"]

LINKS = Table(
    source="links",
    target="links",
    # Saving an address again gave its row another number and another time.
    identity=("url",),
    needs=frozenset({"url", "analysis_status"}),
    columns={
        "url": text("url", ""),
        # They follow from the address when it is brought into its one spelling.
        "url_hash": constant(""),
        "domain": constant(""),
        "timestamp": moment("timestamp", "created_at", "updated_at", NOW),
        # Their writer stored what Python prints for a dictionary.
        "analysis_result": json_value("analysis_result"),
        "analysis_status": word("analysis_status", LinkStatus, LinkStatus.PENDING, LINK_STATUS_LEGACY),
        "title": text("title"),
        "main_topic": text("main_topic"),
        "reasons_to_care": text("reasons_to_care"),
        "error_message": text("error_message"),
        "created_at": moment("created_at", "timestamp", "updated_at", NOW),
        "updated_at": moment("updated_at", "created_at", "timestamp", NOW),
    },
    conflicts=(
        Merge(
            on=("url_hash",),
            fills=("title", "main_topic", "main_topic_key", "reasons_to_care", "analysis_result"),
        ),
    ),
    is_referenced=False,
)
TABLES = (LINKS,)
