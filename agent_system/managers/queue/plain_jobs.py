"""`PlainJobs`: the short way into the queue, for jobs of which callers say little, as they do of most.

A job has 32 columns, and callers give two of them. From a few depends what else is written (its schedule, its status,
whose it is); as long as none of these is named, the same keys lead to the same statement, and what is to be checked,
filled in and encoded are the keys that are given: 6 µs instead of 12. `Intake` goes the long way with all others, and
with those that are refused here, so that one place explains why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from agent_system.managers.core.insertion import Insertion
from agent_system.managers.queue.new_jobs import NewJob
from agent_system.models.codec import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.queue.payloads import PayloadModels
    from agent_system.models import Job

__all__ = ["PlainJobs"]

NEEDED = frozenset({"task_type", "payload"})
# Nothing follows from these but what is written to their own columns.
PLAIN = NEEDED | {
    "priority",
    "max_retries",
    "created_by",
    "chat_id",
    "respond_to",
    "timeout_seconds",
    "concurrency_key",
    "meta",
    "metadata",
}
ALIASES = {"metadata": "meta"}
JSON = frozenset({"payload", "respond_to", "meta"})
NOW = ("ready_at", "created_at", "updated_at")
# Callers with ever different keys, in ever different order, shall not fill the memory.
MOST_SHAPES = 100


@dataclass(frozen=True, eq=False, slots=True)
class _Shape:
    """What is the same for all jobs of which the same keys are given."""

    plan: Plan
    encode: Callable[[Mapping[str, Any], datetime], list[Any]]
    """Makes the parameters of the plan, of what is given and the moment that it is."""
    is_renamed: bool
    """Whether a column is given by another name."""
    json: tuple[tuple[str, int], ...]
    """What of the given is JSON, and its place among the parameters."""


class PlainJobs:
    """Makes rows of what callers give, where nothing else follows from it."""

    def __init__(self, store: RowStore[Job], clock: Callable[[], datetime], payloads: PayloadModels) -> None:
        self._store = store
        self._clock = clock
        self._payloads = payloads
        self._check = store.validator.check_given
        self._counted = store.plans.counted
        self._template = store.validator.constants | {"due_at": None}
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}

    def prepare(self, data: Mapping[str, Any]) -> NewJob | None:
        """What writes a new job; None: it goes the long way.

        Args:
            data: The arguments of `enqueue` by name.

        Raises:
            ValidationError: The model of its type refuses the payload, or it is too large.
        """
        keys = tuple(data)
        shape = self._shapes.get(keys) or self._learn(keys)
        if shape is None:
            return None
        payload = self._payloads.dump(data["task_type"], data["payload"])
        if payload is not data["payload"]:
            data = {**data, "payload": payload}
        if shape.is_renamed:
            data = {ALIASES.get(key, key): value for key, value in data.items()}
        now = self._clock()
        try:
            given = self._check(data)
            parameters = shape.encode(given, now)
        except (ValueError, TypeError, RecursionError):
            # Pydantic's error is one of these; the long way says what is wrong.
            return None
        for key, place in shape.json:
            if given[key] is not None:
                # Not the caller's own object, and as a read would give it.
                given[key] = decode_json(parameters[place])
                if key == "payload":
                    self._payloads.check_encoded(parameters[place])
        if now.tzinfo is not UTC:
            now = now.astimezone(UTC)
        values = self._template | given
        values["ready_at"] = values["created_at"] = values["updated_at"] = now
        if "meta" not in given:
            values["meta"] = {}
        insert = Insertion(self._store, shape.plan, parameters, values, self._counted, (), None)
        # The plan is that of all facades of a database, so that they are written together whoever enqueues them.
        return NewJob(values, insert, shape.plan)

    def _learn(self, keys: tuple[str, ...]) -> _Shape | None:
        if keys in self._shapes or len(self._shapes) >= MOST_SHAPES or not PLAIN.intersection(keys) >= NEEDED:
            return None
        self._shapes[keys] = shape = self._shape(keys) if PLAIN.issuperset(keys) else None
        return shape

    def _shape(self, keys: tuple[str, ...]) -> _Shape:
        names = [ALIASES.get(key, key) for key in keys]
        plan = self._store.plans.insert_counted((*names, "due_at", *NOW))
        json = tuple((name, plan.positions[name]) for name in names if name in JSON)
        return _Shape(plan, _generate_encode(plan), not ALIASES.keys().isdisjoint(keys), json)


def _generate_encode(plan: Plan) -> Callable[[Mapping[str, Any], datetime], list[Any]]:
    """One function for one plan, as `RowEncoder` makes them: a loop over its columns takes twice as long."""
    scope: dict[str, Any] = {}
    places = []
    for place, (key, process) in enumerate(zip(plan.parameters, plan.processors, strict=True)):
        if key == "due_at":
            places.append("None")
        elif key in NOW:
            scope["encode_moment"] = process
            places.append("moment")
        elif process is None:
            places.append(f"given[{key!r}]")
        else:
            scope[f"process_{place}"] = process
            places.append(f"None if (value := given[{key!r}]) is None else process_{place}(value)")
    lines = ["def encode(given, now):", "    moment = encode_moment(now)", f"    return [{', '.join(places)}]"]
    exec("\n".join(lines), scope)  # noqa: S102 (made of attribute names of our own classes)
    encode: Callable[[Mapping[str, Any], datetime], list[Any]] = scope["encode"]
    return encode
