"""The stored vectors of one table: what units of work read and write of `embeddings` and `embedding_models`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, delete, func, insert, literal_column, select

from agent_system.database.dialects.batches import dump_rows, json_item, json_rows
from agent_system.database.plans import compile_plan
from agent_system.database.statements import UnlessThere
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Dialect, Select

    from agent_system.database.executor import Executor
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.index import TextIndex

__all__ = ["LOCAL", "NewVector", "TextRow", "VectorRows", "model_key", "text_hash"]

LOCAL = "local"
"""The provider of a model whose name does not say."""

MODEL_KEY = ("provider", "name", "dimensions")

_EMBEDDINGS = metadata.tables["embeddings"]
_MODELS = metadata.tables["embedding_models"]


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row whose text is to have a vector."""

    key: Any
    text: str
    user_id: str | None
    """The identity whose it is."""


@dataclass(frozen=True, slots=True)
class NewVector:
    """The vector of a row."""

    row: TextRow
    vector: bytes
    """float32, little-endian."""


def text_hash(text: str) -> str:
    """By what it is known of which text a vector was made."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def model_key(embedder: Embedder) -> dict[str, Any]:
    """What a model is known by: who computes it, its name, and how many numbers its vectors have."""
    provider, slash, name = embedder.name.partition("/")
    known = {"provider": provider, "name": name} if slash and name else {"provider": LOCAL, "name": embedder.name}
    return {**known, "dimensions": embedder.dimensions}


class VectorRows:
    """The vectors of one table.

    Args:
        index: The table.
        dialect: SQLAlchemy's dialect.
        clock: Where the time of new rows comes from.
    """

    def __init__(self, index: TextIndex, dialect: Dialect, clock: Callable[[], datetime]) -> None:
        self.index = index
        self._clock = clock
        self.owner = _EMBEDDINGS.c[index.vectors_by]
        names = ("model_id", index.vectors_by, "user_id", "text_hash", "vector", "created_at", "updated_at")
        values = {name: bindparam(name, type_=_EMBEDDINGS.c[name].type) for name in names}
        statement = insert(_EMBEDDINGS).values(values).inline()
        self._insert_new = compile_plan(statement, dialect, adds_rows=True, is_plain_insert=True)
        # A vector that is there is one of the same text: it goes when the text changes.
        self._insert = compile_plan(statement.ext(UnlessThere()), dialect, adds_rows=True)
        is_known = (_MODELS.c[name] == bindparam(name, type_=_MODELS.c[name].type) for name in MODEL_KEY)
        self._model = compile_plan(select(_MODELS.c.id).where(*is_known), dialect)
        # The name and the size of the model that was asked for last, encoded.
        self._asked: tuple[str, int, tuple[Any, ...]] | None = None
        # One parameter, however many they are: a thousand parameters take longer than what they ask for.
        asked = json_rows(bindparam("ids", type_=Text())).table_valued("value")
        found = select(_EMBEDDINGS.c.id, _EMBEDDINGS.c.vector).where(
            _EMBEDDINGS.c.id.in_(select(json_item(asked.c.value, 0, _EMBEDDINGS.c.id.type))),
            _EMBEDDINGS.c.model_id == bindparam("model_id", type_=_EMBEDDINGS.c.model_id.type),
        )
        self._of_numbers = compile_plan(found, dialect)

    # Models.

    def model(self, executor: Executor, embedder: Embedder) -> int | None:
        """The key of an embedder's model; None when nothing was written with it yet."""
        asked = self._asked
        # Compared by its name, because an embedder may become another one.
        if asked is None or asked[:2] != (embedder.name, embedder.dimensions):
            asked = embedder.name, embedder.dimensions, self._model.encode(model_key(embedder))
            self._asked = asked
        rows = executor.fetch(self._model, asked[2])
        return rows[0][0] if rows else None

    def ensure_model(self, executor: Executor, embedder: Embedder) -> int:
        """The key of an embedder's model, which is made unless it is there."""
        found = self.model(executor, embedder)
        if found is None:
            executor.execute(insert(_MODELS).values(model_key(embedder)).ext(UnlessThere()).inline())
            found = self.model(executor, embedder)
        assert found is not None  # noqa: S101 (it was made or was there)
        return found

    # Writing.

    def write(self, executor: Executor, model_id: int, vectors: Iterable[NewVector]) -> int:
        """Write the vectors of rows that have none; returns how many there were."""
        return sum(executor.change(self._insert, row) for row in self._encoded(model_id, vectors))

    def write_new(self, executor: Executor, model_id: int, vectors: Iterable[NewVector]) -> None:
        """Write the vectors of rows that were not there before this transaction, many in one statement."""
        executor.change_many(self._insert_new, self._encoded(model_id, vectors))

    def _encoded(self, model_id: int, vectors: Iterable[NewVector]) -> list[tuple[Any, ...]]:
        now = self._clock()
        same = {"model_id": model_id, "created_at": now, "updated_at": now}
        return [
            self._insert.encode(
                {
                    **same,
                    self.index.vectors_by: one.row.key,
                    "user_id": one.row.user_id,
                    "text_hash": text_hash(one.row.text),
                    "vector": one.vector,
                }
            )
            for one in vectors
        ]

    def has(self, executor: Executor, model_id: int, key: Any) -> bool:
        """Whether a row has a vector."""
        wanted: Select[Any] = select(literal_column("1")).where(self.owner == key, _EMBEDDINGS.c.model_id == model_id)
        return executor.execute(wanted).first() is not None

    # Texts without vectors, and vectors without their texts.

    def without(self, executor: Executor, model_id: int, behind: Any, limit: int) -> list[TextRow]:
        """The next rows in the order of the keys that have a text and no vector."""
        key, statement = self.index.key, self._texts()
        statement = statement.where(self._has_none(model_id)).order_by(key).limit(limit)
        return self._rows(executor, statement if behind is None else statement.where(key > behind))

    def count_without(self, executor: Executor, model_id: int) -> int:
        """How many rows have a text and no vector."""
        counted = select(func.count()).select_from(self.index.table).where(self._has_text(), self._has_none(model_id))
        return int(executor.execute(counted).scalar_one())

    def unchanged(self, executor: Executor, rows: Sequence[TextRow]) -> list[TextRow]:
        """Those of these rows that are there and still say the same, locked until the end of the transaction."""
        key = self.index.key
        statement = self._texts().where(key.in_([row.key for row in rows])).order_by(key).with_for_update()
        now = {row.key: row for row in self._rows(executor, statement)}
        return [now[row.key] for row in rows if row.key in now and now[row.key].text == row.text]

    def drop_stale(self, executor: Executor, behind: int, limit: int) -> tuple[int | None, int]:
        """Look at the next vectors and delete those of another text; returns the last one looked at, and how many."""
        content = self.index.table.c.content
        statement = (
            select(_EMBEDDINGS.c.id, _EMBEDDINGS.c.text_hash, content)
            .join_from(_EMBEDDINGS, self.index.table, self.owner == self.index.key)
            .where(_EMBEDDINGS.c.id > behind)
            .order_by(_EMBEDDINGS.c.id)
            .limit(limit)
        )
        rows: Any = executor.execute(statement).all()
        stale = [row[0] for row in rows if row[1] is not None and row[1] != text_hash(row[2])]
        if stale:
            executor.execute(delete(_EMBEDDINGS).where(_EMBEDDINGS.c.id.in_(stale)))
        return (rows[-1][0] if len(rows) == limit else None), len(stale)

    # Searching.

    def of_scope(
        self, executor: Executor, model_id: int, condition: ColumnElement[bool], limit: int | None
    ) -> dict[int, Any]:
        """Keys of the rows that have a vector and for which a condition holds, by its number.

        Args:
            executor: The unit of work's.
            model_id: Key of the model.
            condition: What must hold for a row.
            limit: At most so many, of the newest rows. None: all.
        """
        chosen = self._joined(_EMBEDDINGS.c.id, self.owner).where(_EMBEDDINGS.c.model_id == model_id, condition)
        newest = chosen if limit is None else chosen.order_by(self.index.key.desc()).limit(limit)
        rows: Any = executor.execute(newest).all()
        return {row[0]: row[1] for row in rows}

    def keys_of(self, executor: Executor, numbers: Sequence[int], condition: ColumnElement[bool]) -> Mapping[int, Any]:
        """The keys of the rows of these vectors, by number, for which a condition holds."""
        statement = self._joined(_EMBEDDINGS.c.id, self.owner).where(_EMBEDDINGS.c.id.in_(numbers), condition)
        rows: Any = executor.execute(statement).all()
        return {row[0]: row[1] for row in rows}

    def vectors(
        self, executor: Executor, model_id: int, *, behind: int = 0, limit: int | None = None, among: Any = None
    ) -> list[tuple[int, bytes]]:
        """Numbers and bytes of vectors in the order of their numbers: behind one, or those of some numbers."""
        number = _EMBEDDINGS.c.id
        statement = select(number, _EMBEDDINGS.c.vector).order_by(number)
        statement = statement.where(_EMBEDDINGS.c.model_id == model_id, self.owner.is_not(None))
        statement = statement.where(number > behind) if among is None else statement.where(number.in_(among))
        rows: Any = executor.execute(statement if limit is None else statement.limit(limit)).all()
        return [(row[0], row[1]) for row in rows]

    def of_numbers(self, executor: Executor, model_id: int, numbers: Sequence[int]) -> list[Any]:
        """Numbers and bytes of the vectors of some numbers, in any order."""
        ids = dump_rows((number,) for number in numbers)
        return executor.fetch(self._of_numbers, self._of_numbers.encode({"model_id": model_id, "ids": ids}))

    def count(self, executor: Executor, model_id: int) -> int:
        """How many vectors there are."""
        counted = select(func.count()).where(_EMBEDDINGS.c.model_id == model_id, self.owner.is_not(None))
        return int(executor.execute(counted).scalar_one())

    def _joined(self, *columns: Any) -> Select[Any]:
        return select(*columns).join_from(_EMBEDDINGS, self.index.table, self.owner == self.index.key)

    def _texts(self) -> Select[Any]:
        table = self.index.table
        return select(self.index.key, table.c.content, table.c.user_id).where(self._has_text())

    def _has_text(self) -> ColumnElement[bool]:
        has_text: ColumnElement[bool] = self.index.table.c.content != ""
        return has_text

    def _has_none(self, model_id: int) -> ColumnElement[bool]:
        there: Select[Any] = select(literal_column("1")).where(
            self.owner == self.index.key, _EMBEDDINGS.c.model_id == model_id
        )
        return ~there.exists()

    def _rows(self, executor: Executor, statement: Select[Any]) -> list[TextRow]:
        rows: Any = executor.execute(statement).all()
        return [TextRow(row[0], row[1], None if row[2] is None else str(row[2])) for row in rows]
