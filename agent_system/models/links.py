"""Links that people shared, and what was found out about them."""

from datetime import datetime

from sqlalchemy import Index

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    COUNTED_KEY,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    int_key,
    json_field,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    text_field,
    updated_at_field,
)
from agent_system.models.naming import keep_keys
from agent_system.models.urls import keep_url
from agent_system.types import Counter, JsonObject, JsonValue, LinkStatus, RowId

__all__ = ["Link"]


class Link(TableModel, table=True):
    """One page of the web; however its address was written, it has one row."""

    __tablename__ = "links"
    __table_args__ = (
        # On PostgreSQL no tree: it would hold no address of more than 2,704 bytes.
        Index("idx_links_url", "url", postgresql_using="hash"),
        Index("idx_links_domain", "domain", "timestamp"),
        Index("idx_links_timestamp", "timestamp"),
        Index("idx_links_status", "analysis_status"),
        Index("idx_links_topic", "main_topic_key", "timestamp"),
        partial_index("retry_at", where="analysis_status = 'error'", name="idx_links_retry"),
        enum_check("analysis_status", LinkStatus),
        *non_negative("attempts"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the link; survives every new analysis.")
    url: str = text_field("The address in its one spelling, in ASCII.")
    url_hash: str = text_field(
        "SHA-256 of `url` in hexadecimal digits, by which it is unique; kept with it.", unique=True
    )
    original_url: str | None = text_field(
        "The address as it was written first, without a password; null when nobody kept it.", None
    )
    domain: str = text_field("The host as people write it, without `www.` and port; kept with `url`.")
    timestamp: datetime = created_at_field("When it was shared first or analysed last, in UTC.")
    analysis_result: JsonValue = json_field("What the analysis found; null while there is none.")
    analysis_status: LinkStatus = enum_field(LinkStatus.PENDING, "Where the analysis stands.")
    title: str | None = text_field("Title of the page; null when not known.", None)
    main_topic_key: str | None = text_field("The topic as it is compared (casefolded); null without one.", None)
    main_topic: str | None = text_field("What the page is about; null when not known.", None)
    reasons_to_care: str | None = text_field("Why somebody should read it; null when not known.", None)
    error_message: str | None = text_field("Why the last analysis failed; null when it did not.", None)
    attempts: Counter = count_field("Analyses that failed since the last one that succeeded.")
    retry_at: datetime | None = moment_field("When a failed analysis is worth another try; null when none failed.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When it was saved first, in UTC.")
    updated_at: datetime = updated_at_field()


keep_keys(Link, "main_topic")
keep_url(Link)
