"""Create logs, goals and to-do lists.

The downgrade drops the tables logs, goals, todos and todo_items with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

KEPT: dict[str, tuple[str, ...]] = {
    "sqlite": (
        """
CREATE TRIGGER update_goals_timestamp AFTER UPDATE OF user_id, objective, status, priority, deadline_at,
  completed_at, metadata, created_at ON goals
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE goals SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER update_todos_timestamp AFTER UPDATE OF user_id, name_key, name, description, data, goal_id, metadata,
  created_at ON todos
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE todos SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER update_todo_items_timestamp AFTER UPDATE OF todo_id, position, content, status, priority,
  assigned_to, due_at, completed_at, metadata, created_at ON todo_items
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE todo_items SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
    ),
    "postgresql": (
        """
CREATE FUNCTION update_goals_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_goals_timestamp BEFORE UPDATE ON goals FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_goals_timestamp()
""",
        """
CREATE FUNCTION update_todos_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_todos_timestamp BEFORE UPDATE ON todos FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_todos_timestamp()
""",
        """
CREATE FUNCTION update_todo_items_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_todo_items_timestamp BEFORE UPDATE ON todo_items FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_todo_items_timestamp()
""",
    ),
}
# With the tables go their triggers, but not what these call.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "sqlite": (),
    "postgresql": (
        "update_goals_timestamp",
        "update_todos_timestamp",
        "update_todo_items_timestamp",
    ),
}


def upgrade() -> None:
    create_logs()
    create_goals()
    create_todos()
    create_todo_items()
    for statement in KEPT[op.get_context().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("todo_items")
    op.drop_table("todos")
    op.drop_table("goals")
    op.drop_table("logs")
    for function in FUNCTIONS[op.get_context().dialect.name]:
        op.execute(f"DROP FUNCTION {function}()")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_logs() -> None:
    op.create_table(
        "logs",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("level", TEXT, server_default="info", nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("service", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("level IN ('debug', 'info', 'warn', 'error', 'fatal')", name=op.f("ck_logs_level")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logs")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_logs_level"), "logs", ["level", "timestamp"])
    op.create_index(op.f("idx_logs_service"), "logs", ["service", "timestamp"])
    op.create_index(op.f("idx_logs_timestamp"), "logs", ["timestamp"])


def create_goals() -> None:
    op.create_table(
        "goals",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("objective", TEXT, nullable=False),
        sa.Column("status", TEXT, server_default="not_started", nullable=False),
        sa.Column("priority", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("deadline_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('not_started', 'in_progress', 'blocked', 'completed', 'cancelled')",
            name=op.f("ck_goals_status"),
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ck_goals_priority")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_goals_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goals")),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_goals_deadline"),
        "goals",
        ["deadline_at"],
        where="status IN ('not_started', 'in_progress', 'blocked')",
    )
    partial_index(
        op.f("idx_goals_status"),
        "goals",
        ["user_id", "deadline_at"],
        where="status IN ('not_started', 'in_progress', 'blocked')",
    )
    op.create_index(op.f("idx_goals_user_id"), "goals", ["user_id", "updated_at"])


def create_todos() -> None:
    op.create_table(
        "todos",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("data", JSON, server_default="{}", nullable=False),
        sa.Column("goal_id", INTEGER),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(["goal_id"], ["goals.id"], name=op.f("fk_todos_goal_id_goals"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_todos_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_todos")),
        sqlite_autoincrement=True,
    )
    partial_index(op.f("idx_todos_goal_id"), "todos", ["goal_id"], where="goal_id IS NOT NULL")
    op.create_index(op.f("idx_todos_user_id_name_key"), "todos", ["user_id", "name_key"], unique=True)
    partial_index(op.f("uq_todos_shared_name_key"), "todos", ["name_key"], where="user_id IS NULL", unique=True)


def create_todo_items() -> None:
    op.create_table(
        "todo_items",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("todo_id", INTEGER, nullable=False),
        sa.Column("position", INTEGER, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("priority", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("assigned_to", TEXT),
        sa.Column("due_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'cancelled')", name=op.f("ck_todo_items_status")
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ck_todo_items_priority")),
        sa.ForeignKeyConstraint(
            ["todo_id"], ["todos.id"], name=op.f("fk_todo_items_todo_id_todos"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_todo_items")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_todo_items_todo_id"), "todo_items", ["todo_id", "position"])
