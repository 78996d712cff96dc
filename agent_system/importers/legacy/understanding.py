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
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from agent_system.importers.legacy.description import Table
    from agent_system.importers.legacy.rows import Reading
    from agent_system.importers.legacy.targets import Target

__all__ = ["Understanding"]

# A key of the books: 2 bytes of the table, 5 of the row's number there, 9 of the digest.
SCOPE_BYTES = 2
NUMBER_BYTES = 5
DIGEST_BYTES = 14
MOST_NUMBERS = 1 << 8 * NUMBER_BYTES
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
        self._scope = blake2b(repr(self._prefix).encode(), digest_size=SCOPE_BYTES).digest()
        self._table = table
        self._target = target
        self._reading = reading
        self._columns = [(name, convert) for name, convert in table.columns.items() if convert is not OWN_ID]
        self.own = [name for name, convert in table.columns.items() if convert is OWN_ID]
        """The columns that get the key that the importer makes."""
        if target.own_key and target.key not in table.columns:
            self.own.append(target.key)
        self._links = [link.source for link in table.links]

    def page(self, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> list[ReadyRow | Fate]:
        """Understand rows; those that cannot be brought over have met their fate."""
        with uncollected():
            return [self._understand(SourceRow(number, raw, self._reading)) for number, raw in rows]

    def _understand(self, row: SourceRow) -> ReadyRow | Fate:
        try:
            data = {name: convert(row) for name, convert in self._columns}
            key = self.key(row.raw)
            if self.own:
                row.target_id = _ordered_id(data.get("created_at") or self._reading.now, row.number, key)
                data.update(dict.fromkeys(self.own, row.target_id))
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
        return UUID(bytes=self._scope + bytes(DIGEST_BYTES)), UUID(bytes=self._scope + b"\xff" * DIGEST_BYTES)

    def key(self, raw: Mapping[str, Any]) -> UUID:
        """The digest of what a row is known by, whatever file it stands in.

        It begins with the table and, where the row has one, with its number there: rows that are written together stand
        together in the books. By digests alone each of a thousand rows would change a page of its own: 800 MB of log
        for 100,000 rows.
        """
        return UUID(bytes=self._digest(tuple(map(raw.get, self._table.identity))))

    def digests(self, columns: Sequence[Sequence[Any]]) -> list[bytes]:
        """The keys of rows as 16 bytes each, from the columns that they are known by."""
        return list(map(self._digest, zip(*columns, strict=True)))

    def own_ids(
        self, moments: Iterable[datetime | None], numbers: Iterable[int], digests: Iterable[bytes]
    ) -> list[UUID]:
        """The keys that the importer makes for rows, from when they were made, their rowids and their digests."""
        now = self._reading.now
        made = zip(moments, numbers, digests, strict=True)
        return [_ordered_id(moment or now, number, UUID(bytes=digest)) for moment, number, digest in made]

    def _digest(self, known_by: tuple[Any, ...]) -> bytes:
        text = repr(self._prefix + known_by)
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
        number = known_by[0]
        if number.__class__ is int and 0 <= number < MOST_NUMBERS:
            return self._scope + number.to_bytes(NUMBER_BYTES, "big") + digest[NUMBER_BYTES:]
        return self._scope + digest


def _ordered_id(moment: datetime, number: int, key: UUID) -> UUID:
    """A UUIDv7 that is the same at every import, and whose order is that of time and then of the file."""
    milliseconds = max(int(moment.timestamp() * 1000), 0)
    return UUID(int=milliseconds << 80 | VERSION_7 | (number & SEQUENCE) << 64 | VARIANT | key.int & RANDOM)
