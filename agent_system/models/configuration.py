"""How the system is set up: capabilities, settings, flags, and what the first two were before."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index

from agent_system.models.base import TableModel, metadata
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    int_field,
    int_key,
    json_array_field,
    json_object_field,
    meta_field,
    moment_field,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.models.kept_functions import keep_functions
from agent_system.models.kept_histories import KEPT_BY_HISTORY, SYSTEM, HistoryTrigger
from agent_system.models.kept_times import NOW, keep_updated_at
from agent_system.models.naming import keep_keys
from agent_system.models.triggers import DatabaseKept, keep_in_database
from agent_system.types import ConfigType, Int64, JsonObject, Percentage, RowId, StringList

__all__ = ["Capability", "CapabilityHistory", "Config", "ConfigHistory", "FeatureFlag"]


class Capability(TableModel, table=True):
    """How a capability is set up; a trigger counts its configurations and writes each old one to the history."""

    __tablename__ = "capabilities_config"
    __table_args__ = (
        Index("idx_capabilities_name_enabled", "name", "is_enabled"),
        CheckConstraint("version >= 1", name="version"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the capability.")
    name_key: str = text_field("The name as it is compared (casefolded), unique; kept with `name`.", None, unique=True)
    name: str = text_field("Name of the capability.")
    version: Int64 = int_field("Counts the changes of `config` and `is_enabled`, from 1; kept by a trigger.", 1)
    config: JsonObject = json_object_field("The settings of the capability.")
    description: str | None = text_field("What the capability does; null when not said.", None)
    is_enabled: bool = flag_field("Whether the capability may be used.", default=True)
    meta: JsonObject = meta_field()
    created_by: str | None = text_field("Who wrote the first settings; null when not said.", None)
    changed_by: str | None = text_field(
        "Who changes the settings, in the statement that does; null in every row that is read.", None
    )
    change_reason: str | None = text_field(
        "Why, in the statement that changes the settings; null in every row that is read.", None
    )
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class CapabilityHistory(TableModel, table=True):
    """How a capability was set up once, and who replaced that."""

    __tablename__ = "capabilities_history"
    __table_args__ = (
        Index("idx_capabilities_history_version", "capability_id", "version", unique=True),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the entry.")
    capability_id: int = reference(
        "capabilities_config.id", "The capability.", ondelete="CASCADE", key=BigInt, default=REQUIRED
    )
    version: Int64 = int_field("The version that had these settings.")
    config: JsonObject = json_object_field("The settings that were replaced.")
    description: str | None = text_field("The capability's description at that time; null when it had none.", None)
    is_enabled: bool = flag_field("Whether the capability could be used.", default=True)
    began_at: datetime | None = moment_field("When the settings were written; null when not known.")
    changed_by: str = text_field("Who replaced them; `system` when nobody said.", SYSTEM)
    change_reason: str | None = text_field("Why they were replaced; null when not known.", None)
    created_at: datetime = created_at_field("When they were replaced, in UTC.")


class Config(TableModel, table=True):
    """One setting: a text under its key, with what the text is; triggers write each old value to the history."""

    __tablename__ = "config"
    __table_args__ = (
        enum_check("value_type", ConfigType),
        CheckConstraint("version >= 1", name="version"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the row.")
    config_key_key: str = text_field(
        "The setting's key as it is compared (casefolded), unique; kept with `config_key`.", None, unique=True
    )
    config_key: str = text_field("Key of the setting.")
    config_value: str = text_field("The value as text.")
    value_type: ConfigType = enum_field(ConfigType.STRING, "How the text is read.")
    notes: str | None = text_field("What the setting is for; null when not said.", None)
    version: Int64 = int_field("Counts the values, from 1; kept by a trigger.", 1)
    meta: JsonObject = meta_field()
    created_by: str | None = text_field("Who wrote the first value; null when not said.", None)
    changed_by: str | None = text_field(
        "Who changes the value, in the statement that does; null in every row that is read.", None
    )
    change_reason: str | None = text_field(
        "Why, in the statement that changes the value; null in every row that is read.", None
    )
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class ConfigHistory(TableModel, table=True):
    """A value that a setting had, and who replaced or deleted it; it outlives the setting."""

    __tablename__ = "config_history"
    __table_args__ = (
        Index("idx_config_history_version", "config_id", "version", unique=True),
        Index("idx_config_history_key", "config_key_key", "created_at"),
        enum_check("value_type", ConfigType),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the entry.")
    config_id: int | None = reference(
        "config.id", "The setting; null when it was deleted.", ondelete="SET NULL", key=BigInt
    )
    version: Int64 = int_field("The version that had this value.")
    config_key_key: str = text_field("The setting's key as it is compared.")
    config_key: str = text_field("Key of the setting.")
    config_value: str = text_field("The value that was replaced or deleted.")
    value_type: ConfigType = enum_field(ConfigType.STRING, "How its text is read.")
    notes: str | None = text_field("What the setting was for; null when not said.", None)
    began_at: datetime | None = moment_field("When the value was written; null when not known.")
    changed_by: str = text_field("Who replaced or deleted it; `system` when nobody said.", SYSTEM)
    change_reason: str | None = text_field("Why; null when not known.", None)
    created_at: datetime = created_at_field("When it was replaced or deleted, in UTC.")


class FeatureFlag(TableModel, table=True):
    """Whether, and for how many, something new is switched on."""

    __tablename__ = "feature_flags"
    __table_args__ = (
        CheckConstraint("rollout_percentage BETWEEN 0 AND 100", name="rollout_percentage"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the flag.")
    flag_name_key: str = text_field(
        "The name as it is compared (casefolded), unique; kept with `flag_name`.", None, unique=True
    )
    flag_name: str = text_field("Name of the flag.")
    enabled: bool = flag_field("Whether the flag is on at all; false: for nobody.", default=False)
    rollout_percentage: Percentage = int_field("For how many of a hundred users it is on, 0 to 100.", 0)
    allowed_users: StringList = json_array_field("Users for whom it is on whatever the percentage.")
    description: str | None = text_field("What the flag switches; null when not said.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_keys(Capability, "name")
keep_keys(Config, "config_key")
keep_keys(FeatureFlag, "flag_name")

HistoryTrigger(
    name="create_capabilities_history",
    table=metadata.tables["capabilities_config"],
    history=metadata.tables["capabilities_history"],
    owner="capability_id",
    watched=("config", "is_enabled"),
    remembered=("config", "description", "is_enabled"),
    reason="Configuration updated",
).keep()
keep_updated_at(metadata.tables["capabilities_config"], "update_capabilities_timestamp", kept=KEPT_BY_HISTORY)

_config_history = HistoryTrigger(
    name="create_config_history",
    table=metadata.tables["config"],
    history=metadata.tables["config_history"],
    owner="config_id",
    watched=("config_value", "value_type"),
    remembered=("config_key_key", "config_key", "config_value", "value_type", "notes"),
    reason="Value updated",
)
_config_history.keep()
keep_updated_at(metadata.tables["config"], "update_config_timestamp", kept=KEPT_BY_HISTORY)
keep_updated_at(metadata.tables["feature_flags"], "update_feature_flags_timestamp")

keep_functions()

# What a deleted setting was; the reference to it would be taken away by the deletion anyway.
_deletion = """
    INSERT INTO config_history (version, config_key_key, config_key, config_value, value_type, notes, began_at,
      changed_by, change_reason, created_at)
    VALUES (OLD.version, OLD.config_key_key, OLD.config_key, OLD.config_value, OLD.value_type, OLD.notes, {began},
      '{system}', 'Deleted', {now});
"""
keep_in_database(
    metadata,
    sqlite=DatabaseKept(
        create=(
            f"""
CREATE TRIGGER keep_deleted_config BEFORE DELETE ON config
  BEGIN{_deletion.format(began=_config_history.began, system=SYSTEM, now=NOW)}  END
""",
        )
    ),
    postgresql=DatabaseKept(
        create=(
            f"""
CREATE FUNCTION keep_deleted_config() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{_deletion.format(began=_config_history.began, system=SYSTEM, now="clock_timestamp()")}  RETURN OLD;
END $$
""",
            """
CREATE TRIGGER keep_deleted_config BEFORE DELETE ON config FOR EACH ROW EXECUTE FUNCTION keep_deleted_config()
""",
        ),
        drop=("DROP FUNCTION IF EXISTS keep_deleted_config() CASCADE",),
    ),
)
