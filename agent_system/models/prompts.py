"""What models are told: prompts, every content that they had, and the labels that point at their versions."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, UniqueConstraint

from agent_system.models.base import TableModel, metadata
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    created_at_field,
    flag_field,
    int_field,
    int_key,
    meta_field,
    moment_field,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.models.kept_histories import KEPT_BY_HISTORY, SYSTEM, HistoryTrigger
from agent_system.models.kept_times import keep_updated_at
from agent_system.models.naming import keep_keys
from agent_system.types import Int64, JsonObject, RowId

__all__ = ["Prompt", "PromptHistory", "PromptLabel", "PromptLabelMove"]


class Prompt(TableModel, table=True):
    """A prompt under its name; a trigger counts its contents and writes each old one to `prompt_history`."""

    __tablename__ = "prompts"
    __table_args__ = (
        Index("idx_prompts_category", "category", "is_active"),
        CheckConstraint("version >= 1", name="version"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the prompt.")
    name_key: str = text_field("The name as it is compared (casefolded), unique; kept with `name`.", None, unique=True)
    name: str = text_field("Name of the prompt.")
    version: Int64 = int_field("Counts the contents, from 1; a trigger raises it when the content changes.", 1)
    content: str = text_field("The text, with `{{name}}` where a value is to be filled in.")
    description: str | None = text_field("What the prompt is for; null when not said.", None)
    category: str = text_field("The group that it belongs to.", "general")
    is_active: bool = flag_field("Whether the prompt is in use.", default=True)
    meta: JsonObject = meta_field()
    created_by: str | None = text_field("Who wrote the first content; null when not said.", None)
    changed_by: str | None = text_field(
        "Who changes the content, in the statement that does; null in every row that is read.", None
    )
    change_reason: str | None = text_field(
        "Why, in the statement that changes the content; null in every row that is read.", None
    )
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class PromptHistory(TableModel, table=True):
    """A content that a prompt had, and who replaced it by the next one."""

    __tablename__ = "prompt_history"
    __table_args__ = (
        Index("idx_prompt_history_prompt_version", "prompt_id", "version", unique=True),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the entry.")
    prompt_id: int = reference("prompts.id", "The prompt.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    version: Int64 = int_field("The version that had this content.")
    content: str = text_field("The content that was replaced.")
    description: str | None = text_field("The prompt's description at that time; null when it had none.", None)
    category: str = text_field("The prompt's category at that time.", "general")
    meta: JsonObject = meta_field()
    began_at: datetime | None = moment_field("When the content was written; null when not known.")
    changed_by: str = text_field("Who replaced the content; `system` when nobody said.", SYSTEM)
    change_reason: str | None = text_field("Why it was replaced; null when not known.", None)
    created_at: datetime = created_at_field("When the content was replaced, in UTC.")


class PromptLabel(TableModel, table=True):
    """A name for one version of a prompt, such as `production`; it can be moved to another version."""

    __tablename__ = "prompt_labels"
    __table_args__ = (UniqueConstraint("prompt_id", "label"), COUNTED_KEY)

    id: RowId = int_key("Key of the label.")
    prompt_id: int = reference("prompts.id", "The prompt.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    label: str = text_field("The label, unique per prompt.")
    prompt_version: Int64 = int_field("The version that it points at.")
    is_protected: bool = flag_field("Whether it stays where it is until it is released.", default=False)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class PromptLabelMove(TableModel, table=True):
    """That somebody pointed a label at another version; never changed."""

    __tablename__ = "prompt_label_moves"
    __table_args__ = (Index(None, "prompt_id", "label"), COUNTED_KEY)

    id: RowId = int_key("Key of the move.")
    prompt_id: int = reference("prompts.id", "The prompt.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    label: str = text_field("The label that was moved.")
    from_version: Int64 | None = int_field("Where it pointed before; null when it was new.", None)
    to_version: Int64 | None = int_field("Where it points since; null when it was taken away.", None)
    moved_by: str = text_field("Who moved it; `system` when nobody said.", SYSTEM)
    reason: str | None = text_field("Why it was moved; null when not said.", None)
    created_at: datetime = created_at_field("When it was moved, in UTC.")


keep_keys(Prompt, "name")

HistoryTrigger(
    name="create_prompt_history",
    table=metadata.tables["prompts"],
    history=metadata.tables["prompt_history"],
    owner="prompt_id",
    watched=("content",),
    remembered=("content", "description", "category", "metadata"),
    reason="Content updated",
).keep()
keep_updated_at(metadata.tables["prompts"], "update_prompts_timestamp", kept=KEPT_BY_HISTORY)
keep_updated_at(metadata.tables["prompt_labels"], "update_prompt_labels_timestamp")
