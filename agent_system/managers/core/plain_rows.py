"""`PlainRows`: the short way to a new row, for rows of which callers say little, as they do of most.

A message has 39 columns, a job 32, a memory 30, and callers give two or three of them. As long as nothing follows from
these but what is written to the same columns, the same keys lead to the same statement, and what is to be checked,
filled in and encoded are the keys that are given: 6 µs instead of 12 for a job, 5 instead of 10 for a message, 9
instead of 15 for a memory with its digests. All others go the long way (`new_values` and `prepare_insert`), and those
that are refused here, so that one place explains why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from agent_system.managers.core.insertion import Insertion
from agent_system.models.codec import decode_json
from agent_system.models.columns import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore

__all__ = ["PlainRows", "Plainness", "Shape"]

# Callers with ever different keys, in ever different order, shall not fill the memory.
MOST_SHAPES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Plainness:
    """Which rows of a table without an audit trail are plain."""

    needed: frozenset[str]
    """What has to be given."""
    more: frozenset[str]
    """What may be given besides; of neither follows anything for another column but a computed one."""
    moments: tuple[str, ...]
    """Columns with the moment of the writing."""
    computed: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    """What is written besides, made of what is given."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Columns that callers may give by another name."""
    normalise: Callable[[dict[str, Any]], None] | None = None
    """Changes what is given, once it is checked, into what is written."""


@dataclass(frozen=True, eq=False, slots=True)
class Shape:
    """What is the same for all rows of which the same keys are given."""

    plan: Plan
    check: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Checks what is given by attribute and returns it; raises pydantic's error."""
    encode: Callable[[Mapping[str, Any], datetime], list[Any]]
    """Makes the parameters of the plan, of what is given and computed and of the moment that it is."""
    is_renamed: bool
    """Whether a column is given by another name."""
    json: tuple[tuple[str, int], ...]
    """What of the given is JSON, and its place among the parameters."""
    empty: tuple[tuple[str, Callable[[], Any]], ...]
    """The columns that are left to the database, whose value is another object in each row, and what makes it."""


class PlainRows:
    """Makes rows of what callers give, where nothing else follows from it."""

    def __init__(self, store: RowStore[Any], clock: Callable[[], datetime], plainness: Plainness) -> None:
        self._store = store
        self._clock = clock
        self._rules = plainness
        self._computed = tuple(plainness.computed.items())
        self._moments = plainness.moments
        self._normalise = plainness.normalise
        self._template = store.validator.constants
        self._possible = plainness.needed | plainness.more | plainness.aliases.keys()
        self._shapes: dict[tuple[str, ...], Shape] = {}

    def make(self, data: Mapping[str, Any]) -> Insertion | None:
        """What writes a new row; None: it goes the long way."""
        shape = self.shape(data)
        return None if shape is None else self.prepare(data, shape)

    def shape(self, data: Mapping[str, Any]) -> Shape | None:
        """What rows of these keys have in common; None: they go the long way."""
        keys = tuple(data)
        return self._shapes.get(keys) or self._learn(keys)

    def prepare(self, data: Mapping[str, Any], shape: Shape) -> Insertion | None:
        """What writes a new row of such a shape; None: it goes the long way."""
        if shape.is_renamed:
            aliases = self._rules.aliases
            data = {aliases.get(key, key): value for key, value in data.items()}
        now = self._clock()
        try:
            given = shape.check(data)
            if self._normalise is not None:
                self._normalise(given)
            for key, compute in self._computed:
                given[key] = compute(given)
            parameters = shape.encode(given, now)
        except (ValueError, TypeError, RecursionError):
            # Pydantic's error is one of these; the long way says what is wrong.
            return None
        for key, place in shape.json:
            if given[key] is not None:
                # Not the caller's own object, and as a read would give it.
                given[key] = decode_json(parameters[place])
        if now.tzinfo is not UTC:
            now = now.astimezone(UTC)
        values = self._template | given
        for key in self._moments:
            values[key] = now
        for key, make in shape.empty:
            values[key] = make()
        return Insertion(self._store, shape.plan, parameters, values, self._store.plans.counted, (), None)

    def _learn(self, keys: tuple[str, ...]) -> Shape | None:
        is_plain = self._rules.needed.issubset(keys) and self._possible.issuperset(keys)
        if not is_plain or len(self._shapes) >= MOST_SHAPES:
            return None
        return self._shapes.setdefault(keys, self._make(keys))

    def _make(self, keys: tuple[str, ...]) -> Shape:
        store, rules = self._store, self._rules
        given = {rules.aliases.get(key, key) for key in keys}
        written = {*given, *rules.computed, *rules.moments}
        # In the order of the table, as on the long way: what is alike is written together, however it was given.
        plan = store.plans.insert_counted([key for key in store.plans.columns if key in written])
        json = {key for key, column in store.plans.columns.items() if isinstance(column.type, Json)}
        return Shape(
            plan=plan,
            check=store.validator.checker(given),
            encode=_generate_encode(plan, rules.moments),
            is_renamed=not rules.aliases.keys().isdisjoint(keys),
            json=tuple((key, plan.positions[key]) for key in given & json),
            empty=tuple((key, make) for key, make in store.validator.factories if key not in written),
        )


def _generate_encode(plan: Plan, moments: tuple[str, ...]) -> Callable[[Mapping[str, Any], datetime], list[Any]]:
    """One function for one plan, as `RowEncoder` makes them: a loop over its columns takes twice as long."""
    scope: dict[str, Any] = {}
    places = []
    for place, (key, process) in enumerate(zip(plan.parameters, plan.processors, strict=True)):
        if key in moments:
            scope["encode_moment"] = process
            places.append("moment")
        elif process is None:
            places.append(f"given[{key!r}]")
        else:
            scope[f"process_{place}"] = process
            places.append(f"None if (value := given[{key!r}]) is None else process_{place}(value)")
    moment = "encode_moment(now)" if scope.get("encode_moment") else "now"
    lines = ["def encode(given, now):", f"    moment = {moment}", f"    return [{', '.join(places)}]"]
    exec("\n".join(lines), scope)  # noqa: S102 (made of attribute names of our own classes)
    encode: Callable[[Mapping[str, Any], datetime], list[Any]] = scope["encode"]
    return encode
