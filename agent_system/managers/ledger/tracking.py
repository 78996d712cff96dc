"""Recording calls to models while they are made: one with its time and its end, or many at once."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Unpack

from agent_system.database.lanes import uncancelled
from agent_system.database.transactions import current_transaction
from agent_system.errors import AgentSystemError, IntegrityError
from agent_system.managers.ledger.fields import TOKEN_CLASSES, known_fields
from agent_system.managers.ledger.reports import TokenSummary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from datetime import datetime

    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.ledger.fields import UsageFields
    from agent_system.managers.ledger.usage import Usage
    from agent_system.managers.ledger.usage_log import LedgerEntry
    from agent_system.models import TokenUsage

__all__ = ["Recorder", "TrackedCall", "UsageBatch", "collect", "track"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorder:
    """What is needed to record calls."""

    db: DatabaseManager
    clock: Callable[[], datetime]
    prepare: Callable[[Mapping[str, Any]], LedgerEntry]
    """Checks what is known of a call."""
    write: Callable[[list[LedgerEntry]], Awaitable[list[TokenUsage]]]
    """Writes calls in one unit of work."""

    async def to_the_end(self, work: Awaitable[None]) -> None:
        """Await something that must not be abandoned, also when the caller is cancelled (again) meanwhile."""
        if current_transaction(self.db) is not None:
            # A transaction belongs to its task, so the work cannot have a task of its own.
            await work
        else:
            await uncancelled(work)


class TrackedCall:
    """A call to a model that is being made; what is said of it here is recorded when it ends."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        """What is known of the call so far, by the names of `UsageFields`."""
        self.row: TokenUsage | None = None
        """The row in the ledger; None until the call has ended."""

    def set(self, **fields: Unpack[UsageFields]) -> None:
        """Say more of the call, or something else: its request, the model that really answered, its usage.

        Raises:
            ValidationError: There is no such field.
        """
        self.fields |= known_fields(fields)

    def set_usage(self, usage: Usage | None) -> None:
        """Say what the call used, in place of what was said before; None: the provider did not tell."""
        for name in (*TOKEN_CLASSES, "raw_usage", "cost_usd"):
            self.fields.pop(name, None)
        self.set(usage=usage)

    def add_usage(self, usage: Usage) -> None:
        """Add what one more request used, where one call makes several."""
        for name, count in usage.as_fields().items():
            known = self.fields.get(name)
            if name == "raw_usage":
                self.fields[name] = [*(known or []), count]
            elif name == "cost_usd":
                self.fields[name] = _dollars(count) + _dollars(known or 0)
            else:
                self.fields[name] = count + (known or 0)


@asynccontextmanager
async def track(recorder: Recorder, fields: UsageFields) -> AsyncIterator[TrackedCall]:
    """Record a call when the block ends, however it ends; see `TokenUsageManager.track`."""
    known = known_fields(fields)
    # What is refused shall be refused before the model is paid.
    recorder.prepare(known)
    call = TrackedCall({"timestamp": recorder.clock(), **known})
    began = time.perf_counter()

    async def record(end: Mapping[str, Any]) -> None:
        measured = {"response_time_ms": (time.perf_counter() - began) * 1000}
        (call.row,) = await recorder.write([recorder.prepare({**measured, **call.fields, **end})])

    try:
        yield call
    except BaseException as error:
        try:
            await recorder.to_the_end(record({"success": False, "error_type": type(error).__name__}))
        except AgentSystemError as failure:
            error.add_note(f"the call to the model could not be recorded either: {failure}")
        raise
    await recorder.to_the_end(record({}))


class UsageBatch:
    """Calls that are collected and recorded together."""

    def __init__(self, recorder: Recorder, fields: dict[str, Any]) -> None:
        self._recorder = recorder
        self._fields = fields
        self._pending: list[LedgerEntry] = []
        self.rows: list[TokenUsage] = []
        """What has been recorded, in the order of the calls."""

    def __len__(self) -> int:
        """How many calls wait to be recorded."""
        return len(self._pending)

    def add(self, **fields: Unpack[UsageFields]) -> None:
        """Collect a call; what it does not say is as the batch says.

        Raises:
            ValidationError: A field was refused; the call is not collected.
        """
        known = {"timestamp": self._recorder.clock(), **self._fields, **known_fields(fields)}
        self._pending.append(self._recorder.prepare(known))

    async def flush(self) -> None:
        """Record what has been collected, in one unit of work.

        When one of the calls is refused by the database (its task is gone, say), the others are recorded all the same.

        Raises:
            IntegrityError: A call was refused; it stays collected.
            DatabaseError: Nothing could be recorded; everything stays collected, for another attempt.
        """
        entries, self._pending = self._pending, []
        if not entries:
            return
        try:
            self.rows += await self._recorder.write(entries)
        except IntegrityError:
            await self._flush_one_by_one(entries)
        except BaseException:
            self._pending = entries + self._pending
            raise

    @property
    def summary(self) -> TokenSummary:
        """What the recorded calls of this batch add up to."""
        return TokenSummary.of_calls(self.rows)

    async def _flush_one_by_one(self, entries: list[LedgerEntry]) -> None:
        refused: list[IntegrityError] = []
        while entries:
            entry = entries.pop(0)
            try:
                self.rows += await self._recorder.write([entry])
            except IntegrityError as error:
                refused.append(error)
                self._pending.append(entry)
            except BaseException:
                self._pending += [entry, *entries]
                raise
        for other in refused[1:]:
            refused[0].add_note(f"another call was refused too: {other}")
        if refused:
            raise refused[0]


@asynccontextmanager
async def collect(recorder: Recorder, fields: UsageFields) -> AsyncIterator[UsageBatch]:
    """Record the collected calls when the block ends, however it ends; see `TokenUsageManager.batch`."""
    known = known_fields(fields)
    recorder.prepare(known)
    batch = UsageBatch(recorder, known)
    try:
        yield batch
    except BaseException as error:
        try:
            await recorder.to_the_end(batch.flush())
        except AgentSystemError as failure:
            error.add_note(f"{len(batch)} calls of the batch could not be recorded either: {failure}")
        raise
    await recorder.to_the_end(batch.flush())


def _dollars(amount: Decimal | float) -> Decimal:
    # By its shortest text: Decimal(0.1) would carry the binary error into the ledger.
    return Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
