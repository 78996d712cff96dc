"""`ModelHistory`: of what was said, what a model's API accepts: every tool call with its results right behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.managers.conversations.tool_calls import (
    calls_of,
    is_synthetic,
    missing_result,
    only,
    results_of,
    says_something,
    without,
)
from agent_system.models import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.managers.conversations.tool_calls import ToolCall

__all__ = ["ModelHistory"]


class ModelHistory:
    """A history, with its tool calls matched to their results.

    A result belongs to the last message before it that has asked for its call. Of several results the first one counts,
    but one that was made up gives way to a real one. Messages that are still being streamed, or say nothing, are no
    part of it.

    Args:
        messages: What was said, the oldest first; any piece of a conversation.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = [message for message in messages if says_something(message)]
        self._calls = [calls_of(message) for message in self._messages]
        self._results = [results_of(message) for message in self._messages]
        # By the place of the asking message: which of its calls is answered where.
        self._answers: dict[int, dict[str, int]] = {}
        # By the place of the answering message: which asking message each of its results belongs to.
        self._asked: dict[int, dict[str, int]] = {}
        self._match()

    @property
    def unanswered(self) -> list[ToolCall]:
        """The calls that have no result, in the order in which they were asked for."""
        return [
            call
            for place, calls in enumerate(self._calls)
            for call in calls
            if call.id not in self._answers.get(place, {})
        ]

    @property
    def orphans(self) -> list[Message]:
        """The messages with results that belong to no call, or to one that has its result already."""
        return [
            message
            for place, message in enumerate(self._messages)
            if len(self._asked.get(place, {})) < len(self._results[place])
        ]

    @property
    def superfluous(self) -> list[Message]:
        """Those of the orphans that say nothing else, so that the accepted history has nothing of them."""
        return [
            message
            for place, message in enumerate(self._messages)
            if self._results[place] and not self._asked.get(place) and without(message, self._results[place]) is None
        ]

    def messages(self) -> list[Message]:
        """The history that a model accepts.

        Results come right behind their calls, wherever they were stored; calls without a result get one that was made
        up and is not stored; results without a call are left out. A history that is valid comes back as it was.
        """
        accepted: list[Message] = []
        kept_whole: set[int] = set()
        for place, message in enumerate(self._messages):
            if not self._results[place]:
                accepted.append(message)
                accepted += self._block(place, kept_whole) if self._calls[place] else []
            elif place not in kept_whole:
                rest = without(message, self._results[place])
                accepted += [] if rest is None else [rest]
        return accepted

    def _match(self) -> None:
        asking: dict[str, int] = {}
        for place, message in enumerate(self._messages):
            asking |= {call.id: place for call in self._calls[place]}
            for id_ in self._results[place]:
                if id_ not in asking:
                    continue
                answers = self._answers.setdefault(asking[id_], {})
                other = answers.get(id_)
                if other is not None:
                    if not is_synthetic(self._messages[other]) or is_synthetic(message):
                        continue
                    del self._asked[other][id_]
                answers[id_] = place
                self._asked.setdefault(place, {})[id_] = asking[id_]

    def _block(self, place: int, kept_whole: set[int]) -> list[Message]:
        """What answers the calls of one message: first what was made up, then what is stored, in its order."""
        answers = self._answers.get(place, {})
        block = [Message(**missing_result(call)) for call in self._calls[place] if call.id not in answers]
        carriers = sorted(set(answers.values()))
        for carrier in carriers:
            message = self._messages[carrier]
            mine = {id_ for id_, asked in self._asked[carrier].items() if asked == place}
            is_all = len(mine) == len(self._results[carrier])
            # What else it says has its place here only if it is the last of what directly follows.
            is_last = carriers[-1] == carrier == place + len(carriers)
            if is_all and (is_last or without(message, mine) is None):
                kept_whole.add(carrier)
                block.append(message)
            else:
                block.append(only(message, mine))
        return block
