"""Create workspaces, projects and the agents of a project.

Projects of seeds 000 and 004 are one table. Which agents take part is a table and no JSON list, so that it has
foreign keys; one default workspace per owner is held by a partial unique index.

The downgrade drops the tables workspaces, projects and project_agents with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    create_workspaces()
    create_projects()
    create_project_agents()


def downgrade() -> None:
    op.drop_table("project_agents")
    op.drop_table("projects")
    op.drop_table("workspaces")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_workspaces() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", UUID, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("workspace_type", TEXT, server_default="local", nullable=False),
        sa.Column("path", TEXT),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("current_project_id", UUID),
        sa.Column("config", JSON, server_default="{}", nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_workspaces_user_id_users"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("idx_workspaces_user_id_name"), "workspaces", ["user_id", "name"])
    partial_index(
        op.f("uq_workspaces_default_shared"),
        "workspaces",
        ["is_default"],
        where="is_default AND user_id IS NULL",
        unique=True,
    )
    partial_index(op.f("uq_workspaces_default_user_id"), "workspaces", ["user_id"], where="is_default", unique=True)


def create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", UUID, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("repository_url", TEXT),
        sa.Column("local_path", TEXT),
        sa.Column("framework", TEXT),
        sa.Column("language", TEXT),
        sa.Column("workspace_id", UUID),
        sa.Column("volume_name", TEXT),
        sa.Column("volume_path", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'archived', 'deleted')", name=op.f("ck_projects_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_projects_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_projects_workspace_id_workspaces"), ondelete="SET NULL"
        ),
    )
    op.create_index(op.f("idx_projects_user_id_name_key"), "projects", ["user_id", "name_key"], unique=True)
    op.create_index(op.f("idx_projects_workspace_id"), "projects", ["workspace_id"])
    partial_index(op.f("uq_projects_shared_name_key"), "projects", ["name_key"], where="user_id IS NULL", unique=True)


def create_project_agents() -> None:
    op.create_table(
        "project_agents",
        sa.Column("project_id", UUID, nullable=False),
        sa.Column("agent_id", UUID, nullable=False),
        sa.Column("role", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "agent_id", name=op.f("pk_project_agents")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_agents_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_project_agents_agent_id_agents"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("idx_project_agents_agent_id"), "project_agents", ["agent_id"])
