"""`MessageStream`: the text of one message as a model says it, in steps that are neither too small nor too rare."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.database.lanes import uncancelled
from agent_system.database.transactions import current_transaction
from agent_system.errors import AgentSystemError, TransactionError, TransitionError, ValidationError
from agent_system.managers.conversations.streaming import check_text
from agent_system.models.codec import encode_text
from agent_system.types import StreamingState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.conversations.streaming import StreamStates
    from agent_system.models import Message

__all__ = ["FLUSH_CHARACTERS", "FLUSH_SECONDS", "FlushLimits", "MessageStream", "opened_stream"]

FLUSH_SECONDS = 0.25
"""How old the text that a crash may cost can be. Each step rewrites the row, so that a minute of a model that writes
100 KB costs 240 rewrites of 50 KB on average; seed 004's system writes every two seconds and loses as much."""
FLUSH_CHARACTERS = 4_000
"""How much text is written at once, however young it is."""
HEARTBEAT_SECONDS = 10.0
"""How often a stream without new text says that it is alive, and finds out whether it was stopped."""


@dataclass(frozen=True, slots=True)
class FlushLimits:
    """How much text may wait for being written, and for how long.

    Raises:
        ValidationError: The time is negative, or the text is less than a character.
    """

    seconds: float
    characters: int

    def __post_init__(self) -> None:
        if self.seconds < 0:
            message = f"flush_seconds must not be negative, not {self.seconds}"
            raise ValidationError(message, field="flush_seconds", entity="Message")
        if self.characters < 1:
            message = f"flush_characters must be at least 1, not {self.characters}"
            raise ValidationError(message, field="flush_characters", entity="Message")


class MessageStream:
    """Writes the text of one message in the order in which it comes; made by `em.messages.stream`.

    What `write` was given is in the database after `flush_seconds` at the latest. A step whose outcome nobody knows is
    repeated and still written once.
    """

    def __init__(self, db: DatabaseManager, states: StreamStates, message: Message, limits: FlushLimits) -> None:
        self.message = message
        """The message as it was begun, and when it has ended as it is then."""
        self._db = db
        self._states = states
        self._limits = limits
        self._waiting: list[str] = []
        self._waiting_characters = 0
        # The step that is on its way; it stays until its outcome is known.
        self._step: str | None = None
        self._offset = len(encode_text(message.content))
        self._is_open = True
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._is_beating = False
        self._background: asyncio.Task[None] | None = None
        self._arm()

    @property
    def is_open(self) -> bool:
        """Whether more can be written: False once it was finished, stopped or interrupted, as far as is known here."""
        return self._is_open

    async def write(self, text: str) -> bool:
        """Take the next text; False when the message was stopped, so that the model need not go on.

        Raises:
            ValidationError: It is no text.
            NotFoundError: The message was deleted.
            ConflictError: Somebody else has written to the message.
        """
        check_text(text)
        if not self._is_open:
            return False
        self._waiting.append(text)
        self._waiting_characters += len(text)
        if self._waiting_characters >= self._limits.characters:
            return await self.flush()
        if self._is_beating:
            self._arm()
        return True

    async def flush(self) -> bool:
        """Write what is waiting now; False when the message was stopped. Raises as `write` does."""
        check_no_transaction(self._db)
        async with self._turn:
            while self._is_open and (self._step is not None or self._waiting):
                await self._write_step()
        return self._is_open

    async def finish(self, **changes: Any) -> Message:
        """Write what is waiting and complete the message.

        When it was stopped meanwhile it stays stopped; the other columns are set all the same, for what the model has
        used was used.

        Args:
            changes: Other columns to set: output_tokens, tool_calls, response_time_ms ...

        Raises:
            NotFoundError: The message was deleted.
            ValidationError: A value was refused; the message is still being streamed.
        """
        await self.flush()
        try:
            self.message = await self._states.end(self.message.id or 0, StreamingState.COMPLETE, "", changes)
        except TransitionError:
            self.message = await self._states.amend(self.message.id or 0, changes)
        self._close()
        return self.message

    async def interrupt(self) -> None:
        """Write what is waiting and mark the message as interrupted, if it is still being streamed."""
        with suppress(TransitionError):
            await self.flush()
            self.message = await self._states.end(self.message.id or 0, StreamingState.INTERRUPTED, "", {})
        self._close()

    async def _write_step(self) -> None:
        if self._step is None:
            self._step = "".join(self._waiting)
            self._waiting.clear()
            self._waiting_characters = 0
        if await self._states.append(self.message.id or 0, self._step, self._offset):
            self._offset += len(encode_text(self._step))
            self._step = None
        else:
            self._close()

    # The timer.

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._is_beating = not self._waiting and self._step is None
        seconds = HEARTBEAT_SECONDS if self._is_beating else self._limits.seconds
        # A context of its own, so that it does not take part in a transaction of whoever writes at the moment.
        loop, context = asyncio.get_running_loop(), contextvars.Context()
        self._timer = loop.call_later(seconds, self._ring, context=context)

    def _ring(self) -> None:
        self._timer = None
        if not self._is_beating and self._step is None and not self._waiting:
            # What was to be written has been written already.
            self._arm()
            return
        self._background = asyncio.get_running_loop().create_task(self._flush_unheard())

    async def _flush_unheard(self) -> None:
        # What fails is tried again, and whoever writes next hears of it.
        with suppress(AgentSystemError):
            async with self._turn:
                if self._step is None and not self._waiting:
                    self._step = ""
                while self._is_open and (self._step is not None or self._waiting):
                    await self._write_step()
        if self._is_open:
            self._arm()

    async def close(self) -> None:
        """End the timer and wait for the step that is on its way; the message stays as it is."""
        self._close()
        if self._background is not None:
            await asyncio.wait([self._background])

    def _close(self) -> None:
        self._is_open = False
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def check_no_transaction(db: DatabaseManager) -> None:
    """Raise TransactionError when the running task has a transaction open."""
    if current_transaction(db) is not None:
        message = "a stream is written outside of transactions: a model talks for longer than one may last"
        raise TransactionError(message)


@asynccontextmanager
async def opened_stream(
    db: DatabaseManager,
    states: StreamStates,
    begin: Callable[[], Awaitable[Message]],
    limits: FlushLimits,
) -> AsyncIterator[MessageStream]:
    """Give a stream over a message for the block, at whose end it is complete; with an error it is interrupted.

    Raises:
        TransactionError: A transaction is open, which would have to last as long as the model talks.
    """
    check_no_transaction(db)
    stream = MessageStream(db, states, await begin(), limits)
    try:
        yield stream
        if stream.is_open:
            await stream.finish()
    except BaseException:
        # Should even this fail, the message is found by `recover_streams` some time later.
        with suppress(AgentSystemError):
            await uncancelled(stream.interrupt())
        raise
    finally:
        await uncancelled(stream.close())
