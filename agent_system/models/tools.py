"""What agents can use: the registry of tools."""

from datetime import datetime
from uuid import UUID

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    json_array_field,
    json_object_field,
    meta_field,
    moment_field,
    non_negative,
    real_field,
    text_field,
    updated_at_field,
    uuid_field,
    uuid_key,
    version_field,
)
from agent_system.models.naming import keep_keys
from agent_system.types import Counter, Int64, JsonObject, LifecycleStatus, StringList

__all__ = ["Tool"]


class Tool(TableModel, table=True):
    """A tool, with how often it ran."""

    __tablename__ = "tools"
    __table_args__ = (
        enum_check("status", LifecycleStatus),
        *non_negative("execution_count", "success_count", "failure_count", "total_duration_ms"),
    )

    id: UUID = uuid_key("Key of the tool, a UUIDv7.")
    name_key: str = text_field("The name as it is compared (casefolded), unique; kept with `name`.", None, unique=True)
    name: str = text_field("Name by which agents call the tool.")
    description: str | None = text_field("What the tool does, as agents read it; null when not given.", None)
    category: str = text_field("Group that the tool belongs to.", "general", index=True)
    implementation: str | None = text_field(
        "How it runs: internal, external, an MCP server, a path or JSON; null when only known by name.", None
    )
    parameters: JsonObject = json_object_field("JSON Schema of the parameters.")
    permissions: StringList = json_array_field("Permissions that a caller needs.")
    triggers: StringList = json_array_field("Names of the processes that a call sets off.")
    dependencies: StringList = json_array_field("Names of the tools and packages that it needs.")
    configuration: JsonObject = json_object_field("Settings, such as the address of an MCP server.")
    requires_validation: bool = flag_field("Whether a call has to be confirmed first.", default=False)
    status: LifecycleStatus = enum_field(LifecycleStatus.ACTIVE, "Whether the tool is in use; archived: deleted.")
    execution_count: Counter = count_field("Finished calls.")
    success_count: Counter = count_field("Calls that succeeded.")
    failure_count: Counter = count_field("Calls that failed.")
    total_duration_ms: float = real_field("Running time of all finished calls, in milliseconds.", 0.0)
    last_used_at: datetime | None = moment_field("When the tool was last called; null: never.")
    created_by_task_id: UUID | None = uuid_field(
        "The task that made the tool; no foreign key, for it may have been deleted. Null when no task did.", None
    )
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_keys(Tool, "name")
