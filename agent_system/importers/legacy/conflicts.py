"""What happens to a row that cannot be here because another one has what must be unique."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from sqlalchemy import bindparam, func, literal, select, update

from agent_system.managers.core.steps import in_chunks
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.importers.legacy.rows import SourceRow
    from agent_system.importers.legacy.targets import Target

__all__ = ["Abandon", "Attempts", "Conflict", "Conflicts", "InPages", "Known", "Merge", "Pending", "Suffix"]


@dataclass(slots=True)
class Pending:
    """A row that is about to be written."""

    row: SourceRow
    key: UUID
    """The digest that it is known by in the books."""
    values: dict[str, Any]
    links: bool = False
    """Whether it refers to rows of its own table."""
    merged_into: Any = None
    """The row here that it is the same as: a key, or another pending row; None: it is written."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """What had to be changed: column and reason."""


class Conflict(Protocol):
    """One rule about what must be unique; a part of a unit of work, which may run more than once."""

    def settle(self, executor: Executor, target: Target, rows: Sequence[Pending]) -> None:
        """Merge or change those of the rows that cannot be written as they are."""


@runtime_checkable
class InPages(Protocol):
    """A rule that also settles the rows of a page of columns, all of which are written."""

    def settle_page(
        self, executor: Executor, target: Target, cells: dict[str, Sequence[Any]]
    ) -> dict[int, list[tuple[str, str]]]:
        """Change encoded columns, and tell what was changed and why: column and reason by place in the page."""


Conflicts: TypeAlias = "tuple[Conflict, ...]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """A row with the same values is the same thing: nothing is written, and references lead to the one that is there.

    Args:
        on: The columns that are unique together, the most telling one first.
        same: Columns that have to be equal, too; where they differ, the next rule decides.
        when: For which rows the rule holds; None is all.
        fills: Columns that are filled in the row that is there where they are null.
    """

    on: tuple[str, ...]
    same: tuple[str, ...] = ()
    when: Callable[[Mapping[str, Any]], bool] | None = None
    fills: tuple[str, ...] = ()

    def settle(self, executor: Executor, target: Target, rows: Sequence[Pending]) -> None:
        """Merge rows into those that are there, or that come before them."""
        concerned = [row for row in rows if row.merged_into is None and (self.when is None or self.when(row.values))]
        there = self._find(executor, target, concerned)
        for row in concerned:
            values = self._of(row.values)
            if values is None:
                continue
            same = [row.values[name] for name in self.same]
            candidates = there.setdefault(values, [])
            row.merged_into = next((key for key, theirs in candidates if theirs == same), None)
            if row.merged_into is None:
                candidates.append((row, same))
        if self.fills:
            self._fill(executor, target, [row for row in concerned if row.merged_into is not None])

    def _of(self, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        key = tuple(values[name] for name in self.on)
        # A null in the column that tells most is equal to nothing.
        return None if key[0] is None else key

    def _find(
        self, executor: Executor, target: Target, rows: Sequence[Pending]
    ) -> dict[tuple[Any, ...], list[tuple[Any, list[Any]]]]:
        first = target.columns[self.on[0]]
        telling = list(dict.fromkeys(values[0] for row in rows if (values := self._of(row.values)) is not None))
        names = (target.key, *self.on, *self.same)
        found: dict[tuple[Any, ...], list[tuple[Any, list[Any]]]] = {}
        for part in in_chunks(telling):
            statement = select(*(target.columns[name] for name in names)).where(first.in_(part))
            for row in executor.execute(statement):
                if self.when is None or self._holds(executor, target, row[0]):
                    split = 1 + len(self.on)
                    found.setdefault(tuple(row[1:split]), []).append((row[0], list(row[split:])))
        return found

    def _holds(self, executor: Executor, target: Target, key: Any) -> bool:
        values = target.manager.store.get(executor, {target.key: key})
        return values is not None and self.when is not None and self.when(values)

    def _fill(self, executor: Executor, target: Target, rows: Iterable[Pending]) -> None:
        for row in rows:
            if isinstance(row.merged_into, Pending):
                first = row.merged_into.values
                first.update({name: row.values[name] for name in self.fills if first[name] is None})
                continue
            values = {name: row.values[name] for name in self.fills if row.values[name] is not None}
            if values:
                columns = target.columns
                filled = {
                    columns[name]: func.coalesce(columns[name], literal(value, columns[name].type))
                    for name, value in values.items()
                }
                statement = update(target.table).where(columns[target.key] == bindparam("wanted"))
                executor.execute(statement.values(filled), {"wanted": row.merged_into})


@dataclass(frozen=True, kw_only=True, slots=True)
class Suffix:
    """Things of one name stay as many as they are: the second one is called `name (2)`.

    Args:
        column: The name; the column that it is compared by is `<column>_key`.
        owner: The column within whose value names are unique; None: altogether.
    """

    column: str
    owner: str | None = None

    def settle(self, executor: Executor, target: Target, rows: Sequence[Pending]) -> None:
        """Give rows whose name is taken another one."""
        taken: dict[tuple[Any, str], set[str]] = {}
        for row in rows:
            if row.merged_into is not None:
                continue
            values, name = row.values, row.values[self.column]
            owner = None if self.owner is None else values[self.owner]
            base = name_key(name)
            if (owner, base) not in taken:
                taken[owner, base] = self._taken(executor, target, owner, base)
            used = taken[owner, base]
            number, wanted = 1, name
            while name_key(wanted) in used:
                number += 1
                wanted = f"{name.rstrip()} ({number})"
            used.add(name_key(wanted))
            if wanted != name:
                values[self.column], values[f"{self.column}_key"] = wanted, name_key(wanted)
                row.notes.append((self.column, "the name is taken, a number was added"))
                row.row.kept[self.column] = name

    def _taken(self, executor: Executor, target: Target, owner: Any, base: str) -> set[str]:
        key = target.columns[f"{self.column}_key"]
        statement = select(key).where((key == base) | key.startswith(f"{base} (", autoescape=True))
        if self.owner is not None:
            column = target.columns[self.owner]
            statement = statement.where(column.is_(None) if owner is None else column == owner)
        return set(executor.execute(statement).scalars())


@dataclass(frozen=True, kw_only=True, slots=True)
class Abandon:
    """A row that cannot have what another one has does without it.

    Args:
        on: The columns that are unique together, the most telling one first.
        changes: What the row gets instead.
        why: The reason, for people.
        when: For which rows the rule holds; None is all.
    """

    on: tuple[str, ...]
    changes: Mapping[str, Any]
    why: str
    when: Callable[[Mapping[str, Any]], bool] | None = None

    def settle(self, executor: Executor, target: Target, rows: Sequence[Pending]) -> None:
        """Change rows that collide with those that are there, or that come before them."""
        rule = Merge(on=self.on, when=self.when)
        trial = [Pending(row.row, row.key, row.values) for row in rows if row.merged_into is None]
        rule.settle(executor, target, trial)
        collides = {id(each.row) for each in trial if each.merged_into is not None}
        for row in rows:
            if id(row.row) in collides:
                row.row.kept |= {name: row.values[name] for name in self.changes if isinstance(row.values[name], str)}
                row.values.update(self.changes)
                row.notes.append((self.on[0], self.why))


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A row of a second list of the same things: those that are here already are not written again.

    Args:
        source: The table there with the things themselves.
        column: The column of this list with their key.
    """

    source: str
    column: str

    def settle(self, executor: Executor, target: Target, rows: Sequence[Pending]) -> None:  # noqa: ARG002
        """Merge rows into the things that they name."""
        for row in rows:
            if row.merged_into is None:
                row.merged_into = row.row.reading.references.find(self.source, row.row.get(self.column))


REPEATED = ("request_id", "used before, now another attempt at the same request")


@dataclass(frozen=True, slots=True)
class Attempts:
    """Calls with one request id are attempts at it, counted from 1 in the order of the file."""

    def settle(self, executor: Executor, target: Target, rows: Sequence[Pending]) -> None:
        """Number the attempts behind those that are there."""
        last = self._last(executor, target, [row.values["request_id"] for row in rows])
        for row in rows:
            name = row.values["request_id"]
            if name is None:
                continue
            number = last[name] = last.get(name, 0) + 1
            row.values["attempt"] = number
            if number > 1:
                row.notes.append(REPEATED)

    def settle_page(
        self, executor: Executor, target: Target, cells: dict[str, Sequence[Any]]
    ) -> dict[int, list[tuple[str, str]]]:
        """Number the attempts of a page of columns."""
        # As they are stored, so that nothing of them has to be decoded.
        names = cells.get("request_id", ())
        if not any(name is not None for name in names):
            return {}
        last: dict[str, int] = {}
        for name, number in target.lookups.having(executor, "request_id", names, ("request_id", "attempt")):
            last[name] = max(number, last.get(name, 0))
        numbers = []
        for name in names:
            number = 1
            if name is not None:
                number = last[name] = last.get(name, 0) + 1
            numbers.append(number)
        notes = {place: [REPEATED] for place, number in enumerate(numbers) if number > 1}
        if notes:
            cells["attempt"] = numbers
        return notes

    def _last(self, executor: Executor, target: Target, names: Iterable[str | None]) -> dict[str, int]:
        """The number of the last attempt at each of these requests that is here."""
        request, attempt = target.columns["request_id"], target.columns["attempt"]
        wanted = [name for name in dict.fromkeys(names) if name is not None]
        last: dict[str, int] = {}
        for part in in_chunks(wanted):
            statement = select(request, func.max(attempt)).where(request.in_(part)).group_by(request)
            numbered: Sequence[Any] = executor.execute(statement).all()
            last |= {row[0]: int(row[1]) for row in numbered}
        return last
