"""What people want to reach."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index

from agent_system.models.base import TableModel, metadata
from agent_system.models.columns import Text
from agent_system.models.fields import (
    COUNTED_KEY,
    created_at_field,
    enum_check,
    enum_field,
    int_field,
    int_key,
    meta_field,
    moment_field,
    partial_index,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.models.kept_times import keep_updated_at
from agent_system.types import GoalStatus, JsonObject, Priority, RowId

__all__ = ["Goal"]

# Written out, because an index must not follow later changes of the enumeration.
_OPEN = "status IN ('not_started', 'in_progress', 'blocked')"


class Goal(TableModel, table=True):
    """What somebody wants to reach, perhaps by a deadline."""

    __tablename__ = "goals"
    __table_args__ = (
        Index("idx_goals_user_id", "user_id", "updated_at"),
        partial_index("user_id", "deadline_at", where=_OPEN, name="idx_goals_status"),
        partial_index("deadline_at", where=_OPEN, name="idx_goals_deadline"),
        enum_check("status", GoalStatus),
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the goal.")
    user_id: str | None = reference(
        "user_identities.id", "Whose goal it is; null: of nobody in particular.", ondelete="CASCADE", key=Text
    )
    objective: str = text_field("What is to be reached.")
    status: GoalStatus = enum_field(GoalStatus.NOT_STARTED, "Where it stands.")
    priority: Priority = int_field("How much it matters, 1 to 10; higher first.", 5)
    deadline_at: datetime | None = moment_field("By when; null when there is no hurry.")
    completed_at: datetime | None = moment_field("When it was reached; null while it was not.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_updated_at(metadata.tables["goals"], "update_goals_timestamp")
