"""How work is done: processes, and each run of one."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Relationship

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    REQUIRED,
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
    partial_index,
    real_field,
    reference,
    text_field,
    updated_at_field,
    uuid_field,
    uuid_key,
    version_field,
)
from agent_system.models.naming import keep_keys
from agent_system.types import (
    Counter,
    Int64,
    JsonArray,
    JsonObject,
    LifecycleStatus,
    ProcessInstanceStatus,
    StringList,
)

__all__ = ["Process", "ProcessInstance"]


class ProcessInstance(TableModel, table=True):
    """One run of a process."""

    __tablename__ = "process_instances"
    __table_args__ = (enum_check("status", ProcessInstanceStatus),)

    id: UUID = uuid_key("Key of the run, a UUIDv7.")
    process_id: UUID = reference("processes.id", "The process.", ondelete="CASCADE", default=REQUIRED, index=True)
    task_id: UUID | None = uuid_field(
        "The task that set it off; no foreign key (tasks refer to runs). Null when no task did.", None, index=True
    )
    status: ProcessInstanceStatus = enum_field(ProcessInstanceStatus.RUNNING, "Where the run stands.")
    parameters: JsonObject = json_object_field("What the run was started with.")
    state: JsonObject = json_object_field("What the run has to remember between its steps.")
    current_step_id: str | None = text_field("The step that it is at; null before the first and after the last.", None)
    result: JsonObject = json_object_field("What came out.")
    error: str | None = text_field("What went wrong; null when nothing did.", None)
    started_at: datetime | None = moment_field("When it began to run; null: it has not.")
    completed_at: datetime | None = moment_field("When it ended, in whatever way; null: it has not.")
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class Process(TableModel, table=True):
    """A framework for work: what sets it off, what it needs, its steps and how to undo them."""

    __tablename__ = "processes"
    __table_args__ = (
        partial_index("process_type", where="is_default", name="idx_processes_default"),
        enum_check("status", LifecycleStatus),
        *non_negative("usage_count", "success_count", "failure_count", "total_execution_seconds"),
    )

    id: UUID = uuid_key("Key of the process, a UUIDv7.")
    name_key: str = text_field("The name as it is looked up (casefolded); kept with `name`.", None, index=True)
    name: str = text_field("Name of the process.")
    description: str | None = text_field("What the process is for; null when not given.", None)
    process_type: str = text_field("Kind of process.", "general", index=True)
    category: str = text_field("Group that the process belongs to.", "general")
    triggers: StringList = json_array_field("Names of what sets the process off.")
    required_tools: StringList = json_array_field("Names of the tools that it needs.")
    required_documents: StringList = json_array_field("Names of the context documents that it needs.")
    steps: JsonArray = json_array_field("What is done, in order.")
    rollback_steps: JsonArray = json_array_field("How it is undone, in order; empty: it cannot be.")
    parameters_schema: JsonObject = json_object_field("JSON Schema of the parameters of a run.")
    success_criteria: JsonArray = json_array_field("When a run counts as a success.")
    permissions: StringList = json_array_field("Permissions that a run needs.")
    is_default: bool = flag_field("Whether it is used when none of its type is asked for by name.", default=False)
    status: LifecycleStatus = enum_field(LifecycleStatus.ACTIVE, "Whether the process is in use; archived: deleted.")
    usage_count: Counter = count_field("Runs that were started.")
    success_count: Counter = count_field("Runs that succeeded.")
    failure_count: Counter = count_field("Runs that failed.")
    total_execution_seconds: float = real_field("Running time of all ended runs, in seconds.", 0.0)
    created_by_task_id: UUID | None = uuid_field(
        "The task that made it; no foreign key, for it may have been deleted. Null when no task did.", None
    )
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    instances: list[ProcessInstance] = Relationship(
        sa_relationship_kwargs={"viewonly": True, "lazy": "raise", "order_by": "ProcessInstance.id"}
    )


keep_keys(Process, "name")
