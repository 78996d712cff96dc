"""Create prompts, configuration and flags with their histories.

On PostgreSQL a function `json_merge_patch` does what `json_patch` does on SQLite.

Triggers count the versions of prompts, capabilities and settings and write what they were, whoever writes; others keep
`updated_at`.

The downgrade drops the tables prompts, prompt_history, prompt_labels, prompt_label_moves, capabilities_config,
capabilities_history, config, config_history and feature_flags with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
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
CREATE TRIGGER create_capabilities_history AFTER UPDATE OF config, is_enabled ON capabilities_config
  WHEN NEW.config IS NOT OLD.config OR NEW.is_enabled IS NOT OLD.is_enabled
  BEGIN
    INSERT INTO capabilities_history (capability_id, version, config, description, is_enabled, began_at,
      changed_by, change_reason, created_at)
    VALUES (OLD.id, OLD.version, OLD.config, OLD.description, OLD.is_enabled, coalesce(
      (SELECT created_at FROM capabilities_history WHERE capability_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at), coalesce(NEW.changed_by, 'system'), coalesce(NEW.change_reason, 'Configuration updated'),
      CASE WHEN NEW.updated_at IS NOT OLD.updated_at AND NEW.updated_at GLOB '????-??-?? ??:??:??.??????'
        THEN NEW.updated_at ELSE strftime('%Y-%m-%d %H:%M:%f000', 'now') END);
    UPDATE capabilities_config SET version = OLD.version + 1 WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER create_capabilities_history_clear AFTER UPDATE OF changed_by, change_reason ON capabilities_config
  WHEN NEW.changed_by IS NOT NULL OR NEW.change_reason IS NOT NULL
  BEGIN
    UPDATE capabilities_config SET changed_by = NULL, change_reason = NULL WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER update_capabilities_timestamp AFTER UPDATE OF name_key, name, config, description, is_enabled,
  metadata, created_by, created_at ON capabilities_config
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE capabilities_config SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER create_config_history AFTER UPDATE OF config_value, value_type ON config
  WHEN NEW.config_value IS NOT OLD.config_value OR NEW.value_type IS NOT OLD.value_type
  BEGIN
    INSERT INTO config_history (config_id, version, config_key_key, config_key, config_value, value_type, notes,
      began_at, changed_by, change_reason, created_at)
    VALUES (OLD.id, OLD.version, OLD.config_key_key, OLD.config_key, OLD.config_value, OLD.value_type, OLD.notes,
      coalesce(
      (SELECT created_at FROM config_history WHERE config_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at), coalesce(NEW.changed_by, 'system'), coalesce(NEW.change_reason, 'Value updated'),
      CASE WHEN NEW.updated_at IS NOT OLD.updated_at AND NEW.updated_at GLOB '????-??-?? ??:??:??.??????'
        THEN NEW.updated_at ELSE strftime('%Y-%m-%d %H:%M:%f000', 'now') END);
    UPDATE config SET version = OLD.version + 1 WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER create_config_history_clear AFTER UPDATE OF changed_by, change_reason ON config
  WHEN NEW.changed_by IS NOT NULL OR NEW.change_reason IS NOT NULL
  BEGIN
    UPDATE config SET changed_by = NULL, change_reason = NULL WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER update_config_timestamp AFTER UPDATE OF config_key_key, config_key, config_value, value_type, notes,
  metadata, created_by, created_at ON config
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE config SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER update_feature_flags_timestamp AFTER UPDATE OF flag_name_key, flag_name, enabled, rollout_percentage,
  allowed_users, description, metadata, created_at ON feature_flags
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE feature_flags SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER keep_deleted_config BEFORE DELETE ON config
  BEGIN
    INSERT INTO config_history (version, config_key_key, config_key, config_value, value_type, notes, began_at,
      changed_by, change_reason, created_at)
    VALUES (OLD.version, OLD.config_key_key, OLD.config_key, OLD.config_value, OLD.value_type, OLD.notes, coalesce(
      (SELECT created_at FROM config_history WHERE config_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at),
      'system', 'Deleted', strftime('%Y-%m-%d %H:%M:%f000', 'now'));
  END
""",
        """
CREATE TRIGGER create_prompt_history AFTER UPDATE OF content ON prompts
  WHEN NEW.content IS NOT OLD.content
  BEGIN
    INSERT INTO prompt_history (prompt_id, version, content, description, category, metadata, began_at, changed_by,
      change_reason, created_at)
    VALUES (OLD.id, OLD.version, OLD.content, OLD.description, OLD.category, OLD.metadata, coalesce(
      (SELECT created_at FROM prompt_history WHERE prompt_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at), coalesce(NEW.changed_by, 'system'), coalesce(NEW.change_reason, 'Content updated'),
      CASE WHEN NEW.updated_at IS NOT OLD.updated_at AND NEW.updated_at GLOB '????-??-?? ??:??:??.??????'
        THEN NEW.updated_at ELSE strftime('%Y-%m-%d %H:%M:%f000', 'now') END);
    UPDATE prompts SET version = OLD.version + 1 WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER create_prompt_history_clear AFTER UPDATE OF changed_by, change_reason ON prompts
  WHEN NEW.changed_by IS NOT NULL OR NEW.change_reason IS NOT NULL
  BEGIN
    UPDATE prompts SET changed_by = NULL, change_reason = NULL WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER update_prompts_timestamp AFTER UPDATE OF name_key, name, content, description, category, is_active,
  metadata, created_by, created_at ON prompts
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE prompts SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER update_prompt_labels_timestamp AFTER UPDATE OF prompt_id, label, prompt_version, metadata,
  created_at ON prompt_labels
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE prompt_labels SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
    ),
    "postgresql": (
        """
CREATE FUNCTION json_merge_patch(target json, patch json) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF json_typeof(patch) <> 'object' THEN
    RETURN patch;
  END IF;
  IF target IS NULL OR json_typeof(target) <> 'object' THEN
    target := '{}';
  END IF;
  RETURN (
    SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value::text, ',' ORDER BY part, place), '') || '}'
    FROM (
      SELECT 1 AS part, t.place, t.key,
        CASE WHEN p.key IS NULL THEN t.value ELSE json_merge_patch(t.value, p.value) END AS value
      FROM json_each(target) WITH ORDINALITY AS t(key, value, place)
      LEFT JOIN json_each(patch) AS p(key, value) ON p.key = t.key
      WHERE p.key IS NULL OR json_typeof(p.value) <> 'null'
      UNION ALL
      SELECT 2, p.place, p.key, json_merge_patch(NULL, p.value)
      FROM json_each(patch) WITH ORDINALITY AS p(key, value, place)
      WHERE json_typeof(p.value) <> 'null' AND NOT EXISTS (SELECT 1 FROM json_object_keys(target) AS k WHERE k = p.key)
    ) AS items
  )::json;
END $$
""",
        """
CREATE FUNCTION create_capabilities_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.config::text IS DISTINCT FROM OLD.config::text OR NEW.is_enabled IS DISTINCT FROM OLD.is_enabled THEN
    INSERT INTO capabilities_history (capability_id, version, config, description, is_enabled, began_at,
      changed_by, change_reason, created_at)
    VALUES (OLD.id, OLD.version, OLD.config, OLD.description, OLD.is_enabled, coalesce(
      (SELECT created_at FROM capabilities_history WHERE capability_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at), coalesce(NEW.changed_by, 'system'), coalesce(NEW.change_reason, 'Configuration updated'),
      CASE WHEN NEW.updated_at IS DISTINCT FROM OLD.updated_at THEN NEW.updated_at ELSE clock_timestamp() END);
    NEW.version := OLD.version + 1;
  END IF;
  NEW.changed_by := NULL;
  NEW.change_reason := NULL;
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER create_capabilities_history BEFORE UPDATE ON capabilities_config FOR EACH ROW EXECUTE FUNCTION
  create_capabilities_history()
""",
        """
CREATE FUNCTION update_capabilities_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_capabilities_timestamp BEFORE UPDATE ON capabilities_config FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_capabilities_timestamp()
""",
        """
CREATE FUNCTION create_config_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.config_value IS DISTINCT FROM OLD.config_value OR NEW.value_type IS DISTINCT FROM OLD.value_type THEN
    INSERT INTO config_history (config_id, version, config_key_key, config_key, config_value, value_type, notes,
      began_at, changed_by, change_reason, created_at)
    VALUES (OLD.id, OLD.version, OLD.config_key_key, OLD.config_key, OLD.config_value, OLD.value_type, OLD.notes,
      coalesce(
      (SELECT created_at FROM config_history WHERE config_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at), coalesce(NEW.changed_by, 'system'), coalesce(NEW.change_reason, 'Value updated'),
      CASE WHEN NEW.updated_at IS DISTINCT FROM OLD.updated_at THEN NEW.updated_at ELSE clock_timestamp() END);
    NEW.version := OLD.version + 1;
  END IF;
  NEW.changed_by := NULL;
  NEW.change_reason := NULL;
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER create_config_history BEFORE UPDATE ON config FOR EACH ROW EXECUTE FUNCTION create_config_history()
""",
        """
CREATE FUNCTION update_config_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_config_timestamp BEFORE UPDATE ON config FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_config_timestamp()
""",
        """
CREATE FUNCTION update_feature_flags_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_feature_flags_timestamp BEFORE UPDATE ON feature_flags FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_feature_flags_timestamp()
""",
        """
CREATE FUNCTION keep_deleted_config() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO config_history (version, config_key_key, config_key, config_value, value_type, notes, began_at,
      changed_by, change_reason, created_at)
    VALUES (OLD.version, OLD.config_key_key, OLD.config_key, OLD.config_value, OLD.value_type, OLD.notes, coalesce(
      (SELECT created_at FROM config_history WHERE config_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at),
      'system', 'Deleted', clock_timestamp());
  RETURN OLD;
END $$
""",
        """
CREATE TRIGGER keep_deleted_config BEFORE DELETE ON config FOR EACH ROW EXECUTE FUNCTION keep_deleted_config()
""",
        """
CREATE FUNCTION create_prompt_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.content IS DISTINCT FROM OLD.content THEN
    INSERT INTO prompt_history (prompt_id, version, content, description, category, metadata, began_at, changed_by,
      change_reason, created_at)
    VALUES (OLD.id, OLD.version, OLD.content, OLD.description, OLD.category, OLD.metadata, coalesce(
      (SELECT created_at FROM prompt_history WHERE prompt_id = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at), coalesce(NEW.changed_by, 'system'), coalesce(NEW.change_reason, 'Content updated'),
      CASE WHEN NEW.updated_at IS DISTINCT FROM OLD.updated_at THEN NEW.updated_at ELSE clock_timestamp() END);
    NEW.version := OLD.version + 1;
  END IF;
  NEW.changed_by := NULL;
  NEW.change_reason := NULL;
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER create_prompt_history BEFORE UPDATE ON prompts FOR EACH ROW EXECUTE FUNCTION create_prompt_history()
""",
        """
CREATE FUNCTION update_prompts_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_prompts_timestamp BEFORE UPDATE ON prompts FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_prompts_timestamp()
""",
        """
CREATE FUNCTION update_prompt_labels_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_prompt_labels_timestamp BEFORE UPDATE ON prompt_labels FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION update_prompt_labels_timestamp()
""",
    ),
}
# With the tables go their triggers, but not what these call.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "sqlite": (),
    "postgresql": (
        "json_merge_patch",
        "create_capabilities_history",
        "update_capabilities_timestamp",
        "create_config_history",
        "update_config_timestamp",
        "update_feature_flags_timestamp",
        "keep_deleted_config",
        "create_prompt_history",
        "update_prompts_timestamp",
        "update_prompt_labels_timestamp",
    ),
}


def upgrade() -> None:
    create_prompts()
    create_prompt_history()
    create_prompt_labels()
    create_prompt_label_moves()
    create_capabilities_config()
    create_capabilities_history()
    create_config()
    create_config_history()
    create_feature_flags()
    for statement in KEPT[op.get_context().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("feature_flags")
    op.drop_table("config_history")
    op.drop_table("config")
    op.drop_table("capabilities_history")
    op.drop_table("capabilities_config")
    op.drop_table("prompt_label_moves")
    op.drop_table("prompt_labels")
    op.drop_table("prompt_history")
    op.drop_table("prompts")
    for function in FUNCTIONS[op.get_context().dialect.name]:
        op.execute(f"DROP FUNCTION {function}")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def create_prompts() -> None:
    op.create_table(
        "prompts",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_by", TEXT),
        sa.Column("changed_by", TEXT),
        sa.Column("change_reason", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_prompts_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
        sa.UniqueConstraint("name_key", name=op.f("uq_prompts_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_prompts_category"), "prompts", ["category", "is_active"])


def create_prompt_history() -> None:
    op.create_table(
        "prompt_history",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("prompt_id", INTEGER, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("began_at", MOMENT),
        sa.Column("changed_by", TEXT, server_default="system", nullable=False),
        sa.Column("change_reason", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_id"], ["prompts.id"], name=op.f("fk_prompt_history_prompt_id_prompts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_history")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_prompt_history_prompt_version"), "prompt_history", ["prompt_id", "version"], unique=True)


def create_prompt_labels() -> None:
    op.create_table(
        "prompt_labels",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("prompt_id", INTEGER, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("prompt_version", INTEGER, nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_id"], ["prompts.id"], name=op.f("fk_prompt_labels_prompt_id_prompts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_labels")),
        sa.UniqueConstraint("prompt_id", "label", name=op.f("uq_prompt_labels_prompt_id_label")),
        sqlite_autoincrement=True,
    )


def create_prompt_label_moves() -> None:
    op.create_table(
        "prompt_label_moves",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("prompt_id", INTEGER, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("from_version", INTEGER),
        sa.Column("to_version", INTEGER),
        sa.Column("moved_by", TEXT, server_default="system", nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_id"], ["prompts.id"], name=op.f("fk_prompt_label_moves_prompt_id_prompts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_label_moves")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_prompt_label_moves_prompt_id_label"), "prompt_label_moves", ["prompt_id", "label"])


def create_capabilities_config() -> None:
    op.create_table(
        "capabilities_config",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("config", JSON, server_default="{}", nullable=False),
        sa.Column("description", TEXT),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_by", TEXT),
        sa.Column("changed_by", TEXT),
        sa.Column("change_reason", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_capabilities_config_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capabilities_config")),
        sa.UniqueConstraint("name_key", name=op.f("uq_capabilities_config_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_capabilities_name_enabled"), "capabilities_config", ["name", "is_enabled"])


def create_capabilities_history() -> None:
    op.create_table(
        "capabilities_history",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("capability_id", INTEGER, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("config", JSON, server_default="{}", nullable=False),
        sa.Column("description", TEXT),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("began_at", MOMENT),
        sa.Column("changed_by", TEXT, server_default="system", nullable=False),
        sa.Column("change_reason", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["capability_id"],
            ["capabilities_config.id"],
            name=op.f("fk_capabilities_history_capability_id_capabilities_config"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capabilities_history")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("idx_capabilities_history_version"),
        "capabilities_history",
        ["capability_id", "version"],
        unique=True,
    )


def create_config() -> None:
    op.create_table(
        "config",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("config_key_key", TEXT, nullable=False),
        sa.Column("config_key", TEXT, nullable=False),
        sa.Column("config_value", TEXT, nullable=False),
        sa.Column("value_type", TEXT, server_default="string", nullable=False),
        sa.Column("notes", TEXT),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_by", TEXT),
        sa.Column("changed_by", TEXT),
        sa.Column("change_reason", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "value_type IN ('string', 'int', 'float', 'bool', 'json')", name=op.f("ck_config_value_type")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_config_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config")),
        sa.UniqueConstraint("config_key_key", name=op.f("uq_config_config_key_key")),
        sqlite_autoincrement=True,
    )


def create_config_history() -> None:
    op.create_table(
        "config_history",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("config_id", INTEGER),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("config_key_key", TEXT, nullable=False),
        sa.Column("config_key", TEXT, nullable=False),
        sa.Column("config_value", TEXT, nullable=False),
        sa.Column("value_type", TEXT, server_default="string", nullable=False),
        sa.Column("notes", TEXT),
        sa.Column("began_at", MOMENT),
        sa.Column("changed_by", TEXT, server_default="system", nullable=False),
        sa.Column("change_reason", TEXT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "value_type IN ('string', 'int', 'float', 'bool', 'json')", name=op.f("ck_config_history_value_type")
        ),
        sa.ForeignKeyConstraint(
            ["config_id"], ["config.id"], name=op.f("fk_config_history_config_id_config"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config_history")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_config_history_key"), "config_history", ["config_key_key", "created_at"])
    op.create_index(op.f("idx_config_history_version"), "config_history", ["config_id", "version"], unique=True)


def create_feature_flags() -> None:
    op.create_table(
        "feature_flags",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("flag_name_key", TEXT, nullable=False),
        sa.Column("flag_name", TEXT, nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("rollout_percentage", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("allowed_users", JSON, server_default="[]", nullable=False),
        sa.Column("description", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("rollout_percentage BETWEEN 0 AND 100", name=op.f("ck_feature_flags_rollout_percentage")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature_flags")),
        sa.UniqueConstraint("flag_name_key", name=op.f("uq_feature_flags_flag_name_key")),
        sqlite_autoincrement=True,
    )
