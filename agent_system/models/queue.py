"""Work that is never lost: the queue, its rules, its periodic jobs, and the effects that jobs have outside."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field

from agent_system.clock import utc_now
from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt, Text, UtcDateTime
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    current_time,
    enum_check,
    enum_field,
    flag_field,
    int_field,
    int_key,
    json_array_field,
    json_field,
    json_object_field,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    real_field,
    reference,
    text_field,
    text_key,
    updated_at_field,
)
from agent_system.types import (
    Counter,
    EffectState,
    Fraction,
    Int64,
    JobStatus,
    JsonArray,
    JsonObject,
    JsonValue,
    PositiveCount,
    PositiveSeconds,
    Priority,
    RowId,
)

__all__ = ["Effect", "Job", "JobSchedule", "JobType", "QueueClock"]


def due_at_field() -> Any:
    """When a job that waits is looked at again; in a row that plain SQL has written, at once."""
    return Field(
        default_factory=utc_now,
        sa_type=cast("type[Any]", UtcDateTime),
        nullable=True,
        sa_column_kwargs={"server_default": current_time()},
        description="When it may become ready, while it waits for that; null: it is ready, was begun or is over.",
    )


class Job(TableModel, table=True):
    """A piece of work that waits for a worker, is being done by one, or is over."""

    __tablename__ = "queue"
    __table_args__ = (
        Index("idx_queue_status", "status"),
        # The conditions of the indexes name no status: SQLite has no statistics, and between two indexes that it could
        # use it would take that of the status, which a million rows may share.
        present_index("scheduled_for"),
        present_index("due_at"),
        partial_index("lease_expires_at", "task_type", where="lease_expires_at IS NOT NULL", name="idx_queue_running"),
        partial_index(
            "concurrency_key",
            where="concurrency_key IS NOT NULL AND lease_expires_at IS NOT NULL",
            name="idx_queue_running_key",
        ),
        partial_index(
            "dedupe_key",
            where="dedupe_key IS NOT NULL AND completed_at IS NULL",
            name="idx_queue_dedupe_key",
            unique=True,
        ),
        partial_index(
            "expires_at", where="expires_at IS NOT NULL AND completed_at IS NULL", name="idx_queue_expires_at"
        ),
        present_index("completed_at"),
        partial_index("response_id", where="response_id IS NOT NULL", name="idx_queue_response_id", unique=True),
        present_index("user_id"),
        present_index("chat_id"),
        enum_check("status", JobStatus),
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
        CheckConstraint("timeout_seconds > 0", name="timeout_seconds"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress"),
        *non_negative("retries", "max_retries", "lease_token"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the job; rises in the order of writing and is never used twice.")
    task_type: str = text_field("What kind of work it is; a worker has a handler for each type that it does.")
    payload: JsonValue = json_object_field("What the handler needs to know, as JSON of at most 1 MiB.")
    priority: Priority = int_field("From 1 to 10; of two jobs that are ready the higher one runs first.", 5)
    status: JobStatus = enum_field(
        JobStatus.PENDING, "Where it stands; failed is the end of a job whose retries are used up: a dead letter."
    )
    retries: Counter = count_field("How often it was begun and neither completed nor handed back, since it was new.")
    max_retries: Counter = count_field("How many of those are followed by another attempt.", 3)
    error_message: str | None = text_field("Why the last attempt failed, or the job ended; null: no reason.", None)
    result: JsonValue = json_field("What came out of it, as JSON; null when nothing did, or not yet.")
    progress: Fraction | None = real_field("How much of it is done, 0 to 1; null when its handler does not say.", None)
    assigned_to: str | None = text_field("The worker that has it or had it last; null: none yet.", None)
    created_by: str | None = text_field("Who put it here, in the caller's own words; null when not known.", None)
    user_id: str | None = reference(
        "user_identities.id", "On whose behalf it is done; null when on nobody's.", ondelete="CASCADE", key=Text
    )
    chat_id: Int64 | None = int_field("The chat that it belongs to, as the platform counts; null when to none.", None)
    respond_to: JsonValue = json_field("Where the answer goes, as JSON; null when nobody waits for one.")
    responded: bool = flag_field("Whether the answer was sent.", default=False)
    memorized: bool = flag_field("Whether what came out of it was remembered.", default=False)
    response_id: int | None = reference(
        "messages.id", "The message that answers it; null when there is none.", ondelete="SET NULL", key=BigInt
    )
    scheduled_for: datetime | None = moment_field("Not to be begun before this moment; null: at once.")
    due_at: datetime | None = due_at_field()
    ready_at: datetime | None = moment_field(
        "Since when it may be begun, by which jobs of one priority are ordered; null: it may not, or it was begun."
    )
    expires_at: datetime | None = moment_field("Not to be begun after this moment; null: never too late.")
    timeout_seconds: PositiveSeconds | None = real_field(
        "Longest run of one attempt, in seconds; null: as its worker says.", None
    )
    dedupe_key: str | None = text_field(
        "Of jobs that are not over, one at most has this key; null: any number of the same.", None
    )
    concurrency_key: str | None = text_field(
        "Of jobs with this key only so many run at once as the rules of their type say; null: no limit.", None
    )
    lease_token: Counter = count_field("Counts how often it was claimed; who completes it has to know the last count.")
    lease_expires_at: datetime | None = moment_field(
        "When another worker may take it, by the queue's own clock; null while nobody has it."
    )
    started_at: datetime | None = moment_field("When its last attempt began; null: none has.")
    completed_at: datetime | None = moment_field("When it ended, in whatever way; null: it has not.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


_job: Any = Job
# The order in which jobs are claimed. Only those that wait and may be begun are in these two indexes, so that they stay
# as small as the work that is left, whatever the table holds.
_is_ready = "ready_at IS NOT NULL"
_job_columns = _job.__table__.c
_order = (_job_columns.priority.desc(), _job_columns.ready_at, _job_columns.id)
partial_index(*_order, where=_is_ready, name="idx_queue_ready")
# The key is in it so that jobs whose key may not run now are passed over without a look at their rows.
partial_index(
    _job_columns.task_type, *_order, _job_columns.concurrency_key, where=_is_ready, name="idx_queue_ready_type"
)


class JobType(TableModel, table=True):
    """The rules of one type of jobs; a type without a row here has none."""

    __tablename__ = "queue_types"
    __table_args__ = (
        CheckConstraint("max_running >= 0", name="max_running"),
        CheckConstraint("max_running_per_key >= 1", name="max_running_per_key"),
        CheckConstraint("rate_limit >= 1", name="rate_limit"),
        CheckConstraint("rate_seconds > 0", name="rate_seconds"),
        CheckConstraint("(rate_limit IS NULL) = (rate_seconds IS NULL)", name="rate_is_whole"),
    )

    task_type: str = text_key("The type.")
    is_paused: bool = flag_field("Whether none of its jobs is begun.", default=False)
    paused_by: str | None = text_field("Who paused it, in the caller's own words; null when not known.", None)
    paused_at: datetime | None = moment_field("When it was paused; null while it is not.")
    max_running: Counter | None = int_field("So many of its jobs run at once; null: no limit.", None)
    max_running_per_key: PositiveCount = int_field("So many of its jobs with one concurrency key run at once.", 1)
    rate_limit: PositiveCount | None = int_field("So many of its jobs begin within rate_seconds; null: no limit.", None)
    rate_seconds: PositiveSeconds | None = real_field(
        "The window of the rate limit, in seconds; null when there is none.", None
    )
    recent_starts: JsonArray = json_array_field("When jobs began within the window, in microseconds since 1970.")
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class JobSchedule(TableModel, table=True):
    """A job that is put into the queue again and again, once for each of its times however many workers run."""

    __tablename__ = "queue_schedules"
    __table_args__ = (
        Index(None, "next_run_at"),
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
    )

    name: str = text_key("Name of the schedule.")
    cron: str = text_field("When: a cron expression of five fields.")
    timezone: str = text_field("The time zone in which the expression is read.", "UTC")
    task_type: str = text_field("The type of its jobs.")
    payload: JsonValue = json_object_field("The payload of its jobs, as JSON.")
    priority: Priority = int_field("The priority of its jobs, from 1 to 10.", 5)
    is_active: bool = flag_field("Whether it makes jobs.", default=True)
    next_run_at: datetime = moment_field("The next time for which it makes a job.", REQUIRED)
    last_run_at: datetime | None = moment_field("The last time for which it made a job; null: none yet.")
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class QueueClock(TableModel, table=True):
    """What the time was when a machine was started, so that leases go on when its clock is set to another time."""

    __tablename__ = "queue_clocks"

    boot: str = text_key("Identifies one start of one machine.")
    started_microseconds: Int64 = int_field("When that was, in microseconds since 1970.")
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class Effect(TableModel, table=True):
    """Something that a job does outside of the database, written down before it is done."""

    __tablename__ = "effect_log"
    __table_args__ = (
        partial_index("state", "id", where="state <> 'done'", name="idx_effect_log_unresolved"),
        enum_check("state", EffectState),
        CheckConstraint("attempt >= 1", name="attempt"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the effect.")
    key: str = text_field("Digest of the job, the step and the arguments, unique.", unique=True)
    job_id: int = reference(
        "queue.id", "The job that has the effect.", ondelete="CASCADE", key=BigInt, default=REQUIRED, index=True
    )
    step: str = text_field("What the job calls the effect, such as send_mail.")
    arguments: JsonValue = json_field("What it is done with, as JSON; null when with nothing.")
    state: EffectState = enum_field(EffectState.PENDING, "What is known of it.")
    attempt: PositiveCount = int_field("Which attempt at the job wrote it last, counted by the job's lease_token.", 1)
    result: JsonValue = json_field(
        "What came back, for every later attempt, as JSON; null when nothing did, or not yet."
    )
    note: str | None = text_field("What somebody found out about it, in words; null when nobody looked.", None)
    completed_at: datetime | None = moment_field("When it was known to be done; null: it is not.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When it was about to be made first, in UTC.")
    updated_at: datetime = updated_at_field()
