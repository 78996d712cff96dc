"""`Understanding`: from pages of a table there to complete rows that can be written here; off the event loop."""

from __future__ import annotations

from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.errors import ValidationError
from agent_system.importers.legacy.converters import OWN_ID
from agent_system.importers.legacy.description import Placeholder
from agent_system.importers.legacy.pages import REJECTED, Fate, ReadyRow
from agent_system.importers.legacy.rows import RejectedError, SourceRow
from agent_system.managers.core.steps import uncollected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from agent_system.importers.legacy.description import Table
    from agent_system.importers.legacy.rows import Reading
    from agent_system.importers.legacy.targets import Target

__all__ = ["Understanding"]

# A key of the books, from its highest bits: 16 of the table, 40 of the row's number there, 72 of the digest.
SCOPE_SHIFT = 112
NUMBER_SHIFT = 72
MOST_NUMBERS = 1 << 40
DIGEST_BITS = (1 << NUMBER_SHIFT) - 1
# https://www.rfc-editor.org/rfc/rfc9562#section-5.7
VERSION_7 = 0x7 << 76
VARIANT = 0x2 << 62
NOTHING: Mapping[str, Placeholder] = MappingProxyType({})
SEQUENCE = 0xFFF
RANDOM = (1 << 62) - 1


class Understanding:
    """Understands the rows of one table.

    Args:
        system: The name of the older system.
        table: The table's description.
        target: Our table.
        reading: What is known while the file is read.
    """

    def __init__(self, system: str, table: Table, target: Target, reading: Reading) -> None:
        self._prefix = (system, table.label)
        self._scope = int.from_bytes(blake2b(repr(self._prefix).encode(), digest_size=2).digest(), "big")
        self._table = table
        self._target = target
        self._reading = reading
        self._columns = [(name, convert) for name, convert in table.columns.items() if convert is not OWN_ID]
        self._own = [name for name, convert in table.columns.items() if convert is OWN_ID]
        if target.own_key and target.key not in table.columns:
            self._own.append(target.key)
        self._links = [link.source for link in table.links]

    def page(self, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[ReadyRow | Fate]:
        """Understand rows; those that cannot be brought over have met their fate."""
        with uncollected():
            return [self._understand(SourceRow(number, raw, self._reading)) for number, raw in rows]

    def _understand(self, row: SourceRow) -> ReadyRow | Fate:
        try:
            data = {name: convert(row) for name, convert in self._columns}
            key = self.key(row.raw)
            if self._own:
                row.target_id = _ordered_id(data.get("created_at") or self._reading.now, row.number, key)
                data.update(dict.fromkeys(self._own, row.target_id))
            standing = NOTHING
            for value in data.values():
                if value.__class__ is Placeholder:
                    standing = {name: value for name, value in data.items() if isinstance(value, Placeholder)}
                    # Any key will do until the row that stands for it is made.
                    data |= {name: self._target.any_key(name) for name in standing}
                    break
            values = self._target.complete(data)
        except RejectedError as exc:
            return Fate(row, REJECTED, why=str(exc))
        except ValidationError as exc:
            return Fate(row, REJECTED, why=str(exc))
        links = any(row.raw.get(name) is not None for name in self._links)
        return ReadyRow(row, key, values, links, standing)

    @property
    def keys(self) -> tuple[UUID, UUID]:
        """The smallest and the largest key that a row of the table can have in the books."""
        scope = self._scope << SCOPE_SHIFT
        return UUID(int=scope), UUID(int=scope | (1 << SCOPE_SHIFT) - 1)

    def key(self, raw: Mapping[str, Any]) -> UUID:
        """The digest of what a row is known by, whatever file it stands in.

        It begins with the table and, where the row has one, with its number there: rows that are written together stand
        together in the books. By digests alone each of a thousand rows would change a page of its own: 800 MB of log
        for 100,000 rows.
        """
        known_by = tuple(map(raw.get, self._table.identity))
        text = repr((*self._prefix, *known_by))
        digest = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=14).digest(), "big")
        number = known_by[0]
        if number.__class__ is int and 0 <= number < MOST_NUMBERS:
            digest = number << NUMBER_SHIFT | digest & DIGEST_BITS
        return UUID(int=self._scope << SCOPE_SHIFT | digest)


def _ordered_id(moment: datetime, number: int, key: UUID) -> UUID:
    """A UUIDv7 that is the same at every import, and whose order is that of time and then of the file."""
    milliseconds = max(int(moment.timestamp() * 1000), 0)
    return UUID(int=milliseconds << 80 | VERSION_7 | (number & SEQUENCE) << 64 | VARIANT | key.int & RANDOM)
