"""Messages whose text grows: each step is one statement that holds only while the message is still being streamed.

```
streaming ─► complete      by the one who streams it
          ─► stopped       by whoever wants it to end
          ─► interrupted   by what went wrong, or because its process is gone
```

None of the three is ever left again, so a chunk that comes late changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, func, literal_column, select, update

from agent_system.database.plans import compile_plan
from agent_system.errors import ConflictError, NotFoundError, TransitionError, ValidationError
from agent_system.models.codec import encode_text
from agent_system.search.text import extra_terms
from agent_system.types import StreamingState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Update

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore
    from agent_system.models import Message

__all__ = ["StreamStates", "check_text"]

# The partial index over what is being streamed is found only by its own words.
IS_STREAMING: ColumnElement[Any] = literal_column(f"'{StreamingState.STREAMING.value}'")

# What a message says: it stays as it was when the message was stopped.
SAID = frozenset({"content", "parts", "tool_calls"})


class StreamStates:
    """Writes the steps of streamed messages.

    Args:
        store: The messages.
        run: What runs a writing unit of work, as `Manager.run` does.
        clock: Where the moments come from.
    """

    def __init__(
        self, store: RowStore[Message], run: Callable[..., Awaitable[Any]], clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._run = run
        self._clock = clock
        self._endings: dict[tuple[str, ...], Plan] = {}

    async def append(self, id_: int, text: str, offset: int | None = None) -> bool:
        """Add text to a message; False when it is not being streamed any more.

        What is stored of a text is what is stored of its parts, one after the other, wherever it was cut.

        Args:
            id_: Key of the message.
            text: What comes next; nothing at all still tells others that the stream is alive.
            offset: How long the stored text has to be, in stored characters, so that a repetition is found out.

        Raises:
            NotFoundError: There is no such message.
            ConflictError: Somebody else has written to it.
            ValidationError: The text is none.
        """
        check_text(text)
        plan = self._append_plan if offset is None else self._append_at_plan
        parameters = plan.encode({"id": id_, "chunk": text, "now": self._clock(), "offset": offset})
        expected = None if offset is None else offset + len(encode_text(text))

        def work(executor: Executor) -> bool:
            return executor.change(plan, parameters) > 0 or self._was_appended(executor, id_, expected)

        return bool(await self._run(work))

    async def end(self, id_: int, state: StreamingState, text: str, changes: Mapping[str, Any]) -> Message:
        """End a stream and return the message; one that has ended in this way already stays as it is.

        Args:
            id_: Key of the message.
            state: How it ends.
            text: What still comes.
            changes: Other columns to set.

        Raises:
            NotFoundError: There is no such message.
            TransitionError: It has ended in another way, or was never streamed.
            ValidationError: A value was refused.
        """
        check_text(text)
        values = self._store.validator.change_values(changes) if changes else {}
        plan = self._ending(tuple(values))
        given = {f"set_{key}": value for key, value in values.items()}
        ending = {"id": id_, "chunk": text, "now": self._clock(), "state": state}
        parameters = self._store.encode(plan, given | ending)

        def work(executor: Executor) -> dict[str, Any]:
            rows = executor.fetch(plan, parameters)
            if rows:
                return self._indexed(executor, self._store.plans.hydrate.decode(rows[0]))
            found = self._found(executor, id_)
            if found["streaming_state"] is not state:
                raise _ended(found, state)
            return found

        return self._store.plans.hydrate.build(await self._run(work, values))

    async def amend(self, id_: int, changes: Mapping[str, Any]) -> Message:
        """Set what is known of a message that has ended in another way, but nothing of what it says; return it.

        Raises:
            NotFoundError: There is no such message.
            ValidationError: A value was refused.
        """
        values = self._store.validator.change_values(changes) if changes else {}
        values = {key: value for key, value in values.items() if key not in SAID}
        key = {"id": id_}

        def work(executor: Executor) -> dict[str, Any]:
            return self._store.change(executor, key, values) if values else self._found(executor, id_)

        return self._store.plans.hydrate.build(await self._run(work, values))

    async def recover(self, older_than: timedelta) -> list[Message]:
        """Mark as interrupted what is being streamed and has not grown for so long; return it.

        Raises:
            ValidationError: The time is negative.
        """
        if older_than < timedelta(0):
            message = f"older_than must not be negative, not {older_than}"
            raise ValidationError(message, field="older_than", entity=self._store.name)
        columns = self._store.plans.columns
        now = self._clock()
        statement = update(self._store.plans.table).where(columns["streaming_state"] == IS_STREAMING)
        statement = statement.where(columns["updated_at"] <= now - older_than)
        changes = {columns["streaming_state"]: StreamingState.INTERRUPTED, columns["updated_at"]: now}
        marking = statement.values(changes).returning(*self._store.plans.table.columns)
        hydrate = self._store.plans.hydrate

        def work(executor: Executor) -> list[dict[str, Any]]:
            rows = executor.execute(marking).all()
            return [self._indexed(executor, dict(zip(hydrate.keys, row, strict=True))) for row in rows]

        found = [hydrate.build(values) for values in await self._run(work)]
        return sorted(found, key=lambda message: message.id or 0)

    def _indexed(self, executor: Executor, found: dict[str, Any]) -> dict[str, Any]:
        """Say what the full-text index would not find in the whole text, which only now is known."""
        extra = extra_terms(found["content"])
        if extra == found["extra_terms"]:
            return found
        key = {"id": found["id"]}
        changes = {"extra_terms": extra, "updated_at": found["updated_at"]}
        return self._store.change(executor, key, changes)

    def _was_appended(self, executor: Executor, id_: int, expected: int | None) -> bool:
        rows = executor.fetch(self._look_plan, self._look_plan.encode({"id": id_}))
        if not rows:
            raise NotFoundError(self._store.name, id_)
        state, length = rows[0]
        if state != StreamingState.STREAMING.value:
            return False
        if length == expected:
            # The chunk is there: its first try was committed, though nobody heard of it.
            return True
        message = f"Message {id_} was written to by somebody else while it was streamed"
        raise ConflictError(message, entity=self._store.name, entity_id=id_)

    def _found(self, executor: Executor, id_: int) -> dict[str, Any]:
        found = self._store.get(executor, {"id": id_})
        if found is None:
            raise NotFoundError(self._store.name, id_)
        return found

    # Statements.

    def _step(self) -> Update:
        columns = self._store.plans.columns
        key = columns["id"] == bindparam("id", type_=columns["id"].type)
        statement = update(self._store.plans.table).where(key, columns["streaming_state"] == IS_STREAMING)
        grown = columns["content"] + bindparam("chunk", type_=columns["content"].type)
        now = bindparam("now", type_=columns["updated_at"].type)
        return statement.values({columns["content"]: grown, columns["updated_at"]: now})

    @cached_property
    def _append_plan(self) -> Plan:
        return compile_plan(self._step(), self._store.plans.dialect)

    @cached_property
    def _append_at_plan(self) -> Plan:
        length = func.length(self._store.plans.columns["content"])
        at = length == bindparam("offset", type_=Integer())
        return compile_plan(self._step().where(at), self._store.plans.dialect)

    @cached_property
    def _look_plan(self) -> Plan:
        columns = self._store.plans.columns
        wanted = (columns["streaming_state"], func.length(columns["content"]))
        key = columns["id"] == bindparam("id", type_=columns["id"].type)
        return compile_plan(select(*wanted).where(key), self._store.plans.dialect)

    def _ending(self, keys: tuple[str, ...]) -> Plan:
        plan = self._endings.get(keys)
        if plan is None:
            columns = self._store.plans.columns
            state = bindparam("state", type_=columns["streaming_state"].type)
            changes = {columns[key]: bindparam(f"set_{key}", type_=columns[key].type) for key in keys}
            statement = self._step().values({columns["streaming_state"]: state, **changes})
            statement = statement.returning(*self._store.plans.table.columns)
            plan = self._endings[keys] = compile_plan(statement, self._store.plans.dialect)
        return plan


def check_text(text: object) -> None:
    """Raise ValidationError unless what a message is to say next is a text."""
    if not isinstance(text, str):
        message = f"messages.content: expected a text, got {type(text).__name__}"
        raise ValidationError(message, field="content", entity="Message")


def _ended(found: Mapping[str, Any], wanted: StreamingState) -> TransitionError:
    current = found["streaming_state"]
    message = f"Message {found['id']} is not being streamed: it is {current} and cannot become {wanted}"
    return TransitionError(
        message, entity="Message", entity_id=found["id"], current=str(current), wanted=wanted.value, allowed=()
    )
