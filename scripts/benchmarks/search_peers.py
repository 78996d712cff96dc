"""Who `scripts/bench search` measures: ours on both engines, and others over the same memories and vectors."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
import struct
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent_system import DatabaseManager, EntityManager

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from agent_system.search.embedding.embedder import Embedder
    from scripts.benchmarks.search_corpus import Corpus, Question

    Vectors = npt.NDArray[np.float32]

__all__ = ["OTHER", "Chroma", "LangGraph", "Ours", "Peer", "RawFts", "SqliteVec"]

LOT = 1_000
FOUND = 10
OTHER = "other"


class Known:
    """An embedder that looks its vectors up, so that a search is timed without the embedding."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self._embedder = embedder
        self._vectors: dict[str, Any] = {}

    async def learn(self, texts: Sequence[str]) -> Vectors:
        """Embed texts and remember their vectors."""
        vectors: Any = await self._embedder.embed(texts)
        self._vectors |= {text: vector[np.newaxis] for text, vector in zip(texts, vectors, strict=True)}
        return vectors  # type: ignore[no-any-return]

    async def embed(self, texts: Sequence[str]) -> Any:
        """The vectors of texts, which are mostly known."""
        unknown = [text for text in texts if text not in self._vectors]
        if unknown:
            await self.learn(unknown)
        found = [self._vectors[text] for text in texts]
        return found[0] if len(found) == 1 else np.concatenate(found)


class Peer(ABC):
    """Somebody who stores memories and finds them."""

    name: str
    kind: str
    """`text`, `vector`, `hybrid`, `user`, or `other` durability."""
    adds = True
    """Whether its inserts are measured; those of one store are once."""

    @abstractmethod
    async def fill(self, corpus: Corpus, vectors: Vectors) -> None:
        """Store all memories; the key of each is its position, from 1."""

    @abstractmethod
    async def add(self, key: int, text: str, vector: Any) -> None:
        """Store one more."""

    async def add_together(self, rows: Sequence[tuple[int, str, Any]]) -> None:
        """Store some more, each by itself; at the same time, where that is possible."""
        for row in rows:
            await self.add(*row)

    @abstractmethod
    async def find(self, question: Question, vector: Any) -> list[int]:
        """The keys of the ten best."""

    async def close(self) -> None:  # noqa: B027 (not everybody has something open)
        """Close what is open."""

    @property
    def memory_bytes(self) -> int | None:
        """What it keeps in memory for searching; None where it does not tell."""
        return None


class Store:
    """Our database with all memories, which several contenders search in their own ways."""

    def __init__(self, url: str | Path, durability: str, embedder: Known) -> None:
        self.db = DatabaseManager(url, durability=durability)
        self._file = url if isinstance(url, Path) else None
        # A copy: two that write to one file by turns have its pages to read again after each other's commits.
        self._copy = url.with_name("copy.db") if isinstance(url, Path) else url
        self.other = DatabaseManager(self._copy, durability="normal" if durability == "full" else "full")
        self.em = EntityManager(self.db, embedder=embedder)
        self.other_em = EntityManager(self.other, embedder=embedder)
        self.users: list[str] = []
        self._is_filled = False

    async def fill(self, corpus: Corpus) -> None:
        """Store all memories, once."""
        if self._is_filled:
            return
        self._is_filled = True
        await self.db.connect()
        self.users = corpus.users
        for start in range(0, len(corpus.texts), LOT):
            part = slice(start, start + LOT)
            pairs = zip(corpus.texts[part], corpus.users[part], strict=True)
            await self.em.memories.create_many([{"content": text, "user_id": user} for text, user in pairs])
        await self.em.memories.index.warm()
        if self._file is not None:
            await asyncio.to_thread(_copy_file, self._file, self._copy)
        await self.other.connect()

    async def close(self) -> None:
        """Close the database."""
        if self._is_filled:
            self._is_filled = False
            await self.other.disconnect()
            await self.db.disconnect()


def _copy_file(file: Path, copy: Path | str) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


class Ours(Peer):
    """Our search in one mode."""

    def __init__(self, store: Store, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self._store = store
        self._mode = "text" if kind in {"user", OTHER} else kind
        self.adds = kind in {"text", OTHER}

    async def fill(self, corpus: Corpus, vectors: Vectors) -> None:  # noqa: ARG002
        """Store all memories."""
        await self._store.fill(corpus)

    async def add(self, key: int, text: str, vector: Any) -> None:  # noqa: ARG002
        """Remember one more, with its place in the index and its vector."""
        em = self._store.other_em if self.kind == OTHER else self._store.em
        await em.memories.remember(self._store.users[key % len(self._store.users)], text)

    async def add_together(self, rows: Sequence[tuple[int, str, Any]]) -> None:
        """Store some more at the same time."""
        await asyncio.gather(*(self.add(*row) for row in rows))

    async def find(self, question: Question, vector: Any) -> list[int]:  # noqa: ARG002
        """The keys of the ten best."""
        filters: Any = {"user_id": question.user} if self.kind == "user" else {}
        hits = await self._store.em.memories.search(question.text, mode=self._mode, **filters)
        return [hit.item.id for hit in hits]

    async def close(self) -> None:
        """Close the database."""
        await self._store.close()

    @property
    def memory_bytes(self) -> int | None:
        """What is kept in memory of words and vectors together."""
        return self._store.em.memories.index.used_bytes


class RawFts(Peer):
    """The plain driver: FTS5 with OR between the words, ranked by its own bm25."""

    name, kind = "raw FTS5 OR", "text"

    def __init__(self, folder: Path, durability: str) -> None:
        self._connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {durability}")
        self._connection.execute("CREATE VIRTUAL TABLE memories USING fts5(content)")

    async def fill(self, corpus: Corpus, vectors: Vectors) -> None:  # noqa: ARG002
        """Store all memories."""
        self._connection.execute("BEGIN")
        rows = ((key, text) for key, text in enumerate(corpus.texts, 1))
        self._connection.executemany("INSERT INTO memories (rowid, content) VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    async def add(self, key: int, text: str, vector: Any) -> None:  # noqa: ARG002
        """Store one more."""
        self._connection.execute("INSERT INTO memories (rowid, content) VALUES (?, ?)", (key, text))

    async def find(self, question: Question, vector: Any) -> list[int]:  # noqa: ARG002
        """The keys of the ten best."""
        wanted = " OR ".join(f'"{word}"' for word in question.text.split())
        statement = f"SELECT rowid FROM memories WHERE memories MATCH ? ORDER BY rank LIMIT {FOUND}"
        return [row[0] for row in self._connection.execute(statement, (wanted,))]

    async def close(self) -> None:
        """Close the file."""
        self._connection.close()


class SqliteVec(Peer):
    """sqlite-vec, which compares all vectors."""

    name, kind = "sqlite-vec", "vector"

    def __init__(self, folder: Path, durability: str, dimensions: int) -> None:
        vec: Any = importlib.import_module("sqlite_vec")
        self._connection = sqlite3.connect(folder / "vec.db", isolation_level=None)
        self._connection.enable_load_extension(True)  # noqa: FBT003
        vec.load(self._connection)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {durability}")
        self._connection.execute(f"CREATE VIRTUAL TABLE memories USING vec0(vector float[{dimensions}])")

    async def fill(self, corpus: Corpus, vectors: Vectors) -> None:  # noqa: ARG002
        """Store all vectors."""
        self._connection.execute("BEGIN")
        rows = ((key, vector.tobytes()) for key, vector in enumerate(vectors, 1))
        self._connection.executemany("INSERT INTO memories (rowid, vector) VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    async def add(self, key: int, text: str, vector: Any) -> None:  # noqa: ARG002
        """Store one more."""
        packed = struct.pack(f"<{len(vector)}f", *vector)
        self._connection.execute("INSERT INTO memories (rowid, vector) VALUES (?, ?)", (key, packed))

    async def find(self, question: Question, vector: Any) -> list[int]:  # noqa: ARG002
        """The keys of the ten best."""
        statement = f"SELECT rowid FROM memories WHERE vector MATCH ? AND k = {FOUND} ORDER BY distance"
        return [row[0] for row in self._connection.execute(statement, (vector.tobytes(),))]

    async def close(self) -> None:
        """Close the file."""
        self._connection.close()


class Chroma(Peer):
    """chromadb, embedded and persistent, with the same vectors."""

    name, kind = "chromadb", "vector"

    def __init__(self, folder: Path) -> None:
        chroma: Any = importlib.import_module("chromadb")
        settings = chroma.config.Settings(anonymized_telemetry=False)
        self._client = chroma.PersistentClient(path=str(folder / "chroma"), settings=settings)
        self._memories = self._client.create_collection("memories", embedding_function=None)

    async def fill(self, corpus: Corpus, vectors: Vectors) -> None:
        """Store all memories with their vectors."""
        for start in range(0, len(corpus.texts), LOT):
            part = slice(start, start + LOT)
            keys = [str(key) for key in range(start + 1, start + 1 + len(corpus.texts[part]))]
            self._memories.add(ids=keys, documents=corpus.texts[part], embeddings=vectors[part])

    async def add(self, key: int, text: str, vector: Any) -> None:
        """Store one more."""
        self._memories.add(ids=[str(key)], documents=[text], embeddings=[vector])

    async def find(self, question: Question, vector: Any) -> list[int]:  # noqa: ARG002
        """The keys of the ten best."""
        found = self._memories.query(query_embeddings=[vector], n_results=FOUND, include=[])
        return [int(key) for key in found["ids"][0]]


class LangGraph(Peer):
    """langgraph's AsyncSqliteStore with an index, which wants sqlite-vec."""

    name, kind = "langgraph", "vector"

    def __init__(self, folder: Path, embedder: Known) -> None:
        aio: Any = importlib.import_module("langgraph.store.sqlite.aio")
        importlib.import_module("sqlite_vec")
        # It loads sqlite-vec, which a Python built without extensions cannot: an AttributeError, right now.
        sqlite3.Connection.enable_load_extension  # noqa: B018
        self._embedder = embedder
        index = {"dims": embedder.dimensions, "embed": self._embed, "fields": ["text"]}
        self._opening = aio.AsyncSqliteStore.from_conn_string(str(folder / "langgraph.db"), index=index)
        self._store: Any = None

    async def _embed(self, texts: Sequence[str]) -> Any:
        return [[float(number) for number in vector] for vector in await self._embedder.embed(texts)]

    async def fill(self, corpus: Corpus, vectors: Vectors) -> None:  # noqa: ARG002
        """Store all memories; it makes the vectors by itself."""
        base: Any = importlib.import_module("langgraph.store.base")
        self._store = await self._opening.__aenter__()
        await self._store.setup()
        for start in range(0, len(corpus.texts), LOT):
            rows = enumerate(corpus.texts[start : start + LOT], start + 1)
            await self._store.abatch([base.PutOp(("memories",), str(key), {"text": text}) for key, text in rows])

    async def add(self, key: int, text: str, vector: Any) -> None:  # noqa: ARG002
        """Store one more."""
        await self._store.aput(("memories",), str(key), {"text": text})

    async def add_together(self, rows: Sequence[tuple[int, str, Any]]) -> None:
        """Store some more at the same time."""
        await asyncio.gather(*(self.add(*row) for row in rows))

    async def find(self, question: Question, vector: Any) -> list[int]:  # noqa: ARG002
        """The keys of the ten best."""
        found = await self._store.asearch(("memories",), query=question.text, limit=FOUND)
        return [int(item.key) for item in found]

    async def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            await self._opening.__aexit__(None, None, None)
