"""The references of a table to itself, set when all of its rows are here; trees get their roots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, update

from agent_system.database.plans import compile_plan
from agent_system.importers.legacy.references import reference_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.importers.legacy.description import Link, Table
    from agent_system.importers.legacy.references import References
    from agent_system.importers.legacy.targets import Target
    from agent_system.managers.imports.book import ImportBook

__all__ = ["Linking"]

# A chain that is longer is a mistake of whoever wrote it.
LONGEST_CHAIN = 100_000


class Linking:
    """Sets the links of one table.

    Args:
        table: The table's description.
        target: Our table.
        references: Where the rows of the file are here.
        book: The books, which tell whose links are still to be set.
    """

    def __init__(self, table: Table, target: Target, references: References, book: ImportBook) -> None:
        self._table = table
        self._target = target
        self._references = references
        self._book = book
        self._plans = [self._compile(link) for link in table.links]

    def remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep what rows refer to, for the way to the roots."""
        rows = list(rows)
        for link in self._table.links:
            pairs = [(reference_key(raw.get(self._table.key[0])), reference_key(raw.get(link.source))) for raw in rows]
            self._references.add(self._chain(link), [(key, parent) for key, parent in pairs if parent is not None])

    def lost(self, raw: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The links of a row that lead nowhere: column and why."""
        found = []
        for link in self._table.links:
            if reference_key(raw.get(link.source)) is None:
                continue
            if self._references.find(self._table.source, raw[link.source]) is None:
                found.append((link.source, f"refers to a row of {self._table.source} that is not there"))
            elif self._closes_circle(link, raw):
                found.append((link.source, "closes a circle"))
        return found

    def work(self, executor: Executor, rows: Sequence[tuple[UUID, Mapping[str, Any]]]) -> int:
        """Set the links of those of the rows (by their digests) that have not been linked yet; return how many."""
        known = self._book.find(executor, [key for key, _ in rows])
        open_rows = [(key, raw) for key, raw in rows if key in known and known[key][1] is not None]
        for link, plan in zip(self._table.links, self._plans, strict=True):
            parameters = [values for _, raw in open_rows if (values := self._values(link, raw)) is not None]
            executor.change_many(plan, [plan.encode(values) for values in parameters])
        self._book.link(executor, [key for key, _ in open_rows])
        return len(open_rows)

    def _values(self, link: Link, raw: Mapping[str, Any]) -> dict[str, Any] | None:
        source = self._table.source
        own = self._references.find(source, raw.get(self._table.key[0]))
        other = self._references.find(source, raw.get(link.source))
        if own is None or other is None or self._closes_circle(link, raw):
            return None
        values = {"own": own, "other": other}
        if link.tree is not None:
            values["tree"] = self._references.find(source, self._root(link, raw))
        return values

    def _chain(self, link: Link) -> str:
        return f"{self._table.source}.{link.source}"

    def _ancestors(self, link: Link, raw: Mapping[str, Any]) -> tuple[list[str], str | None]:
        """The keys from a row upwards, and the key at which they begin again, if they do."""
        key = reference_key(raw.get(self._table.key[0]))
        seen: dict[str, None] = {}
        while key is not None and len(seen) < LONGEST_CHAIN:
            if key in seen:
                return list(seen), key
            if self._references.find(self._table.source, key) is None:
                break
            seen[key] = None
            key = self._references.find(self._chain(link), key)
        return list(seen), None

    def _closes_circle(self, link: Link, raw: Mapping[str, Any]) -> bool:
        """Whether a row is where a circle is cut: the one with the smallest key of those in it."""
        if link.may_circle:
            return False
        keys, again = self._ancestors(link, raw)
        return again is not None and keys[0] == min(keys[keys.index(again) :])

    def _root(self, link: Link, raw: Mapping[str, Any]) -> str:
        keys, again = self._ancestors(link, raw)
        return keys[-1] if again is None else min(keys[keys.index(again) :])

    def _compile(self, link: Link) -> Plan:
        columns = self._target.columns
        key, column = columns[self._target.key], columns[link.column]
        values: dict[str, Any] = {column.name: bindparam("other", type_=column.type)}
        if "updated_at" in columns:
            # The row is as old as it was.
            values["updated_at"] = columns["updated_at"]
        if link.tree is not None:
            values[columns[link.tree].name] = bindparam("tree", type_=columns[link.tree].type)
        statement = update(self._target.table).where(key == bindparam("own", type_=key.type)).values(values)
        return compile_plan(statement, self._target.manager.plans.dialect)
