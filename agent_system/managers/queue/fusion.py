"""Doing what many callers ask for at one time at once, as one unit of work."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Fusion"]

Request = TypeVar("Request")
Answer = TypeVar("Answer")

# More in one transaction keeps others from their turn for longer than it saves.
MOST_AT_ONCE = 512


class Fusion(Generic[Request, Answer]):
    """Gathers requests while the ones before are being answered.

    Args:
        run: Answers requests, in order; an error concerns all of them.
        discard: What becomes of the answer to somebody who is no longer there.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]],
        discard: Callable[[Answer], Awaitable[None]] | None = None,
    ) -> None:
        self._run = run
        self._discard = discard
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __copy__(self) -> Fusion[Request, Answer]:
        # A copy works for somebody else, who must not be served together with the callers of this one.
        return Fusion(self._run, self._discard)

    async def submit(self, request: Request) -> Answer:
        """Answer one request; a caller that is cancelled before it was sent takes it back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        if self._task is None or self._task.done():
            # In a context of its own: it works for everybody, so it is in nobody's transaction.
            self._task = loop.create_task(self._answer_all(), context=Context())
        return await future

    async def _answer_all(self) -> None:
        while self._waiting:
            batch: list[tuple[Request, asyncio.Future[Answer]]] = []
            while self._waiting and len(batch) < MOST_AT_ONCE:
                waiting = self._waiting.popleft()
                if not waiting[1].done():
                    batch.append(waiting)
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[tuple[Request, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._run([request for request, _ in batch])
        except BaseException as exc:
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc if isinstance(exc, Exception) else asyncio.CancelledError())
            if not isinstance(exc, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
            elif self._discard is not None:
                await self._discard(answer)
