"""`ImportBook`: which rows of older systems are here, written in the transaction that writes the rows themselves."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, null, select, update

from agent_system.database.plans import compile_plan, shared_plans
from agent_system.managers.core.steps import in_chunks
from agent_system.models import Import, ImportedRow, metadata
from agent_system.models.uuids import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor

__all__ = ["BookEntry", "ImportBook"]

_imports = metadata.tables["imports"].c
_rows = metadata.tables["imported_rows"].c
WRITTEN = (
    "id",
    "import_id",
    "source_table",
    "target_table",
    "target_key",
    "is_merged",
    "unlinked_in",
    "created_at",
)


class BookEntry(NamedTuple):
    """A row of an older system that is here."""

    key: UUID
    """The digest that it is known by."""
    source_table: str
    target_table: str
    target_key: str | None
    """Its key here, as text."""
    is_merged: bool
    """Whether the row here was there before."""
    unlinked_in: str | None
    """The table whose rows it still has to be linked to."""


class ImportBook:
    """The book of one import; every method is a part of a unit of work.

    Args:
        dialect: The engine's own dialect.
        clock: Tells when something was written.
        system: The older system.
        file_name: The file, without its folder.
        digest: SHA-256 of the file, hexadecimal.
    """

    def __init__(
        self, dialect: Dialect, clock: Callable[[], datetime], *, system: str, file_name: str, digest: str
    ) -> None:
        self._clock = clock
        self._id = uuid7()
        self._import = {"id": self._id, "system": system, "file_name": file_name, "source_digest": digest}
        imports, rows = shared_plans(Import, dialect), shared_plans(ImportedRow, dialect)
        self._begin = imports.insert((*self._import, "created_at", "updated_at"))
        self._insert = rows.insert(WRITTEN)
        self._encoders = dict(zip(self._insert.parameters, self._insert.processors, strict=True))
        key: Any = bindparam("key", type_=_rows.id.type)
        self._link = compile_plan(update(_rows.id.table).where(_rows.id == key).values(unlinked_in=null()), dialect)

    def find(self, executor: Executor, keys: Sequence[UUID]) -> dict[UUID, tuple[str | None, str | None]]:
        """Return the target's key and what is still to be linked, of those of the rows that are here."""
        found: dict[UUID, tuple[str | None, str | None]] = {}
        for part in in_chunks(keys):
            wanted = select(_rows.id, _rows.target_key, _rows.unlinked_in).where(_rows.id.in_(part))
            rows: Sequence[Any] = executor.execute(wanted).all()
            found |= {row[0]: (row[1], row[2]) for row in rows}
        return found

    def holds_any(self, executor: Executor, first: UUID, last: UUID) -> bool:
        """Whether any row with a key from one to another is here."""
        wanted = select(_rows.id).where(_rows.id.between(first, last)).limit(1)
        return executor.execute(wanted).first() is not None

    def write(self, executor: Executor, entries: Iterable[BookEntry]) -> None:
        """Write down rows that are written in this unit of work."""
        now = self._clock()
        self._open(executor, now)
        own, moment = self._encode("import_id", self._id), self._encode("created_at", now)
        encode = self._encoders["id"] or _as_it_is
        # What is not encoded here is a word of ours, a key's text or a truth value, which every driver takes.
        parameters = [(encode(each.key), own, *each[1:], moment) for each in entries]
        executor.change_many(self._insert, parameters)

    def write_written(
        self, executor: Executor, keys: Sequence[str], source: str, target: str, target_keys: Sequence[str] | None
    ) -> None:
        """Write down rows of one table that are written in this unit of work and were not there before.

        Args:
            executor: Of the unit of work.
            keys: The digests that they are known by, as texts of UUIDs.
            source: The table of the older system.
            target: The table here.
            target_keys: Their keys here, as text; None where they are the same texts as in the older system.
        """
        now = self._clock()
        self._open(executor, now)
        own, moment = self._encode("import_id", self._id), self._encode("created_at", now)
        rest = repeat(None) if target_keys is None else target_keys
        executor.change_many(
            self._insert,
            [
                (key, own, source, target, target_key, False, None, moment)
                for key, target_key in zip(keys, rest, strict=False)
            ],
        )

    def _encode(self, name: str, value: Any) -> Any:
        process = self._encoders[name]
        return value if process is None else process(value)

    def _open(self, executor: Executor, now: datetime) -> None:
        # Whether an earlier unit of work has written it is asked, not remembered: that one may have been rolled back.
        if executor.execute(select(_imports.id).where(_imports.id == self._id)).first() is None:
            executor.change(self._begin, self._begin.encode({**self._import, "created_at": now, "updated_at": now}))

    def count_unlinked(self, executor: Executor, table: str) -> int:
        """Count the rows, of all imports, that still have to be linked to rows of a table."""
        statement = select(func.count()).select_from(_rows.id.table).where(_rows.unlinked_in == table)
        return int(executor.execute(statement).scalar_one())

    def link(self, executor: Executor, keys: Iterable[UUID]) -> None:
        """Say that nothing is left to be linked in these rows."""
        executor.change_many(self._link, [self._link.encode({"key": key}) for key in keys])

    def finish(self, executor: Executor, report: Mapping[str, Any]) -> bool:
        """Say that the import is over; False when it has written nothing and so is not in the books."""
        now = self._clock()
        statement = update(_imports.id.table).where(_imports.id == self._id)
        return executor.execute(statement.values(report=report, finished_at=now, updated_at=now)).rowcount > 0


def _as_it_is(value: Any) -> Any:
    return value
