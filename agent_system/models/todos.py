"""Lists of things to do."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Relationship

from agent_system.models.base import TableModel, metadata
from agent_system.models.columns import BigInt, Text
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    created_at_field,
    enum_check,
    enum_field,
    int_field,
    int_key,
    json_object_field,
    meta_field,
    moment_field,
    partial_index,
    present_index,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.models.kept_times import keep_updated_at
from agent_system.models.naming import keep_keys
from agent_system.types import Int64, JsonObject, Priority, RowId, TodoStatus

__all__ = ["TodoItem", "TodoList"]


class TodoItem(TableModel, table=True):
    """One thing to do."""

    __tablename__ = "todo_items"
    __table_args__ = (
        Index("idx_todo_items_todo_id", "todo_id", "position"),
        enum_check("status", TodoStatus),
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the item.")
    todo_id: int = reference("todos.id", "The list.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    position: Int64 = int_field("Its place in the list: rising, with gaps where items were taken away.")
    content: str = text_field("What is to be done.")
    status: TodoStatus = enum_field(TodoStatus.PENDING, "Where it stands.")
    priority: Priority = int_field("How much it matters, 1 to 10; higher first.", 5)
    assigned_to: str | None = text_field("Who is to do it, in the caller's own words; null when nobody is.", None)
    due_at: datetime | None = moment_field("By when; null when there is no hurry.")
    completed_at: datetime | None = moment_field("When it was done; null while it was not.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class TodoList(TableModel, table=True):
    """A list of things to do; its name is unique per owner."""

    __tablename__ = "todos"
    __table_args__ = (
        Index(None, "user_id", "name_key", unique=True),
        partial_index("name_key", where="user_id IS NULL", name="uq_todos_shared_name_key", unique=True),
        present_index("goal_id"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the list.")
    user_id: str | None = reference(
        "user_identities.id", "Whose list it is; null: shared by all.", ondelete="CASCADE", key=Text
    )
    name_key: str = text_field("The name as it is compared (casefolded), unique per owner; kept with `name`.", None)
    name: str = text_field("Name of the list.")
    description: str | None = text_field("What the list is for; null when not said.", None)
    data: JsonObject = json_object_field("Whatever the caller's program keeps with the list.")
    goal_id: int | None = reference(
        "goals.id", "The goal that the list leads to; null when none.", ondelete="SET NULL", key=BigInt
    )
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    # Not `items`: SQLModel would take the method of a dictionary for it.
    entries: list[TodoItem] = Relationship(
        sa_relationship_kwargs={"viewonly": True, "lazy": "raise", "order_by": "[TodoItem.position, TodoItem.id]"}
    )


keep_keys(TodoList, "name")
keep_updated_at(metadata.tables["todos"], "update_todos_timestamp")
keep_updated_at(metadata.tables["todo_items"], "update_todo_items_timestamp")
