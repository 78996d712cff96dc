"""Token usage: the ledger of tokens and cost."""

from __future__ import annotations

import asyncio
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.steps import in_steps
from agent_system.managers.core.text_files import write_text_file
from agent_system.managers.ledger.export import format_of, format_rows, header, page_statement
from agent_system.managers.ledger.names import LedgerNames
from agent_system.managers.ledger.pricing import nano_usd
from agent_system.managers.ledger.repricing import Corrector, RepriceReport
from agent_system.managers.ledger.tracking import Recorder, collect, track
from agent_system.managers.ledger.usage_log import UsageLog
from agent_system.managers.ledger.usage_reports import UsageReports
from agent_system.types import LedgerEntryKind

if TYPE_CHECKING:
    import builtins
    import os
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from decimal import Decimal

    from agent_system.database.executor import Executor
    from agent_system.managers.core.where import Where
    from agent_system.managers.ledger.fields import UsageFields
    from agent_system.managers.ledger.filters import UsageFilters
    from agent_system.managers.ledger.tracking import TrackedCall, UsageBatch
    from agent_system.managers.ledger.usage import Usage
    from agent_system.managers.ledger.usage_log import LedgerEntry
    from agent_system.models import TokenUsage
    from agent_system.types import ExportFormat

__all__ = ["TokenUsageManager"]

P = ParamSpec("P")
R = TypeVar("R")


class TokenUsageManager(UsageReports):
    """Token usage: the ledger of tokens and cost.

    `log_usage` and what builds on it prices a call and makes what it names; `create` writes a row as it is given.
    """

    # Recording.

    async def log_usage(self, **fields: Unpack[UsageFields]) -> TokenUsage:
        """Record one call to a model and return its row.

        Project, host and model may be given by their names and are made where they are not there; callers at once get
        the same ones. The cost is computed by the price that held at `timestamp`; without one it stays None, which is
        counted as unpriced. A call with a `request_id` that is recorded already (with the same `attempt`) updates its
        row: counts replace and never add up, and late smaller ones are ignored (see `merging.py`).

        Args:
            fields: What is known of the call; see `UsageFields`.

        Raises:
            ValidationError: A field is unknown, has a wrong type, or contradicts another.
            ForeignKeyError: An agent, a task, a conversation, a message or the project does not exist.
            NotFoundError: There is no model or host with the key that was given.
        """
        entry = self._log.prepare(fields)
        row = await self.run_racing(lambda executor: self._log.write(executor, entry), entry.references)
        return self.plans.hydrate.build(row)

    async def log_many(self, calls: Iterable[UsageFields]) -> builtins.list[TokenUsage]:
        """Record many calls, all or none, and return their rows in order; see `log_usage`."""
        entries = await in_steps(self._log.prepare, calls)
        return await self._write(entries) if entries else []

    def batch(self, **fields: Unpack[UsageFields]) -> AbstractAsyncContextManager[UsageBatch]:
        """Collect calls in a block and record them together when it ends, also by an exception or a cancellation.

        Args:
            fields: What the calls have in common.

        Raises:
            ValidationError: A field was refused.

        Example:
            >>> async with em.token_usage.batch(project="site", host="openai", model="gpt-4o") as batch:
            ...     batch.add(input_tokens=1200, output_tokens=80)
        """
        return collect(self._recorder, fields)

    def track(self, **fields: Unpack[UsageFields]) -> AbstractAsyncContextManager[TrackedCall]:
        """Record the call that a block makes, with the time that it takes, also when it raises or is cancelled.

        A call that raised is recorded with `success` False and the name of the error's class. Inside a transaction it
        is recorded in the transaction, and goes with it.

        Args:
            fields: What is known of the call beforehand; it is checked before the block is entered.

        Raises:
            ValidationError: A field was refused.

        Example:
            >>> async with em.token_usage.track(project="site", host="anthropic", model="claude") as call:
            ...     response = await client.messages.create(...)
            ...     call.set_usage(Usage.from_anthropic(response.usage))
        """
        return track(self._recorder, fields)

    def tracked(
        self, read_usage: Callable[[Any], Usage | None] | None = None, /, **fields: Unpack[UsageFields]
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Decorate a coroutine function so that every call of it is recorded as `track` does it.

        Args:
            read_usage: Makes the usage of what the function returns; None: nobody tells, the usage is missing.
            fields: What the calls have in common.

        Example:
            >>> @em.token_usage.tracked(lambda r: Usage.from_openai(r.usage), host="openai", model="gpt-4o")
            ... async def ask(question: str) -> Any: ...
        """

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            @wraps(function)
            async def run(*args: P.args, **kwargs: P.kwargs) -> R:
                async with self.track(**fields) as call:
                    result = await function(*args, **kwargs)
                    if read_usage is not None:
                        call.set_usage(read_usage(result))
                return result

            return run

        return decorate

    # Correcting.

    async def reprice(self, where: Where = None, **filters: Unpack[UsageFilters]) -> RepriceReport:
        """Correct what calls cost by the prices that are known now, and tell what was done.

        Nothing is overwritten: an entry of the kind `correction` beside the call has the difference. To do it again
        changes nothing. Costs that were reported are left alone. Each page of calls is a unit of work of its own, so
        that others can write in between; broken off, it is gone on with by calling it again.

        Args:
            where: Which calls, as in `summary`.
            filters: The same in the words of the ledger, most of all `since` and `until`; see `UsageFilters`.

        Raises:
            ValidationError: There is no such column or filter, or a value is of another type.
        """
        wanted = self._wanted(where, filters)
        total, last = RepriceReport(), None
        while True:
            report, last = await self.run(partial(self._corrector.reprice, wanted=wanted, last=last))
            total += report
            if last is None:
                return total

    async def correct(self, usage_id: int, cost_usd: Decimal | float | str, *, reason: str | None = None) -> bool:
        """Make a call's cost what an invoice says, by a correcting entry; False when it is that already.

        From then on `reprice` leaves the call alone.

        Args:
            usage_id: The call.
            cost_usd: What it cost in all, in dollars.
            reason: Kept with the correction.

        Raises:
            NotFoundError: There is no such entry.
            ValidationError: It is a correction itself, or the amount is none.
        """
        key, cost = self.store.keys.existing(usage_id), nano_usd(cost_usd, "cost_usd")

        def work(executor: Executor) -> bool:
            row = self.store.get(executor, key, lock=True)
            if row is None:
                raise NotFoundError(self.store.name, usage_id)
            if row["kind"] != LedgerEntryKind.USAGE:
                message = f"token_usage {usage_id} is a correction: correct the call {row['corrects_id']} instead"
                raise ValidationError(message, field="usage_id", entity=self.store.name)
            return self._corrector.correct(executor, row, cost, reason)

        return await self.run(work)

    # Exporting.

    async def export(
        self, file_format: ExportFormat | str = "csv", where: Where = None, **filters: Unpack[UsageFilters]
    ) -> AsyncIterator[str]:
        """Yield entries as text, the newest first, a page at a time: constant memory, and nothing is held in between.

        The first ten columns are those of seed 000's export; see `export.COLUMNS`.

        Args:
            file_format: csv or jsonl.
            where: Which entries, as in `summary`.
            filters: The same in the words of the ledger; see `UsageFilters`.

        Raises:
            ValidationError: There is no such format, column or filter.
        """
        chosen, wanted = format_of(file_format), self._wanted(where, filters)
        if head := header(chosen):
            yield head
        last = None
        while rows := await self._read(page_statement(wanted, last)):
            last = rows[-1]
            yield await asyncio.to_thread(format_rows, chosen, rows)

    async def export_to(
        self,
        path: str | os.PathLike[str],
        file_format: ExportFormat | str | None = None,
        where: Where = None,
        **filters: Unpack[UsageFilters],
    ) -> None:
        """Write entries into a file, the newest first; a file that is there is replaced when all of them are written.

        Args:
            path: The file, in a folder that is there.
            file_format: csv or jsonl; None: as the file's name ends.
            where: Which entries, as in `summary`.
            filters: The same in the words of the ledger; see `UsageFilters`.

        Raises:
            ValidationError: There is no such format, column or filter, or the path is a file of the database.
            OSError: The file cannot be written; nothing is left of it.
        """
        chosen = format_of(file_format, Path(path))
        self._wanted(where, filters)
        await write_text_file(self._db, path, self.export(chosen, where, **filters))

    # What they are made of.

    async def _write(self, entries: builtins.list[LedgerEntry]) -> builtins.list[TokenUsage]:
        references = [entry.references for entry in entries]
        rows = await self.run_racing(lambda executor: self._log.write_all(executor, entries), references)
        return await in_steps(self.plans.hydrate.build, rows)

    @cached_property
    def _log(self) -> UsageLog:
        dialect = self._db.dialect
        return UsageLog(self.store, LedgerNames(dialect, self._clock), dialect, self.new_values)

    @cached_property
    def _corrector(self) -> Corrector:
        return Corrector(self.store, self._clock)

    @cached_property
    def _recorder(self) -> Recorder:
        return Recorder(db=self._db, clock=self._clock, prepare=self._log.prepare, write=self._write)
