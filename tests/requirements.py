"""What only one of the two engines has, each with the reason why the other one has no such test.

A test that uses a fixture of both engines runs on both. One that cannot says so by a name from here:

    from tests import requirements as requires

    @requires.file_locks
    async def test_...

No test asks for the engine's name, and none is skipped: it is not generated for the engine that lacks the thing.
"""

from __future__ import annotations

import pytest


def _only_on(engine: str, reason: str) -> pytest.MarkDecorator:
    return pytest.mark.only_on(engine, reason)


database_file = _only_on("sqlite", "a PostgreSQL database is behind a server, no path of ours leads to it")
file_locks = _only_on("sqlite", "PostgreSQL locks rows in the server's memory, closing a file of ours drops nothing")
one_writer = _only_on("sqlite", "PostgreSQL lets many transactions write at once, none of them waits for the file")
write_ahead_log = _only_on("sqlite", "checkpoints of PostgreSQL are the server's own business")
sqlite_library = _only_on("sqlite", "PostgreSQL is no library inside our process")
page_limit = _only_on("sqlite", "PRAGMA max_page_count fills a disk on demand; a server's disk cannot be filled safely")
inline_reads = _only_on("sqlite", "a server is never asked on the event loop's own thread")
inline_writes = _only_on("sqlite", "what is sent to a server is never written on the event loop's own thread")
hot_cache = _only_on("sqlite", "a server does not tell a client that something was committed")
batch_migrations = _only_on("sqlite", "PostgreSQL alters a table in place, alembic does not recreate it")
statements_that_end_transactions = _only_on(
    "sqlite", "no statement, full disk or interrupt ends a transaction of PostgreSQL but COMMIT and ROLLBACK"
)
fts5 = _only_on("sqlite", "FTS5 is SQLite's; the words of PostgreSQL's index are asked for by tsquery")
untyped_columns = _only_on("sqlite", "PostgreSQL refuses a value of another type before we could read it back")

server_connection = _only_on("postgresql", "SQLite has no connection that a server or a network could end")
row_locks = _only_on("postgresql", "SQLite has one writer: no deadlock and no serialisation failure between rows")
native_types = _only_on("postgresql", "SQLite has neither a timestamp, a uuid nor a json column type")
vector_index = _only_on("postgresql", "pgvector is an extension of PostgreSQL; SQLite keeps no index of vectors")
