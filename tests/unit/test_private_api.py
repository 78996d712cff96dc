"""What we use of others although their documentation does not promise it: each test names what breaks.

A new version of Python, aiosqlite, SQLAlchemy or pydantic that changes one of these fails here, with the place to look
at, before anything stranger happens elsewhere.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiosqlite
import pytest
from pydantic import BaseModel
from sqlalchemy import (
    Column,
    CompoundSelect,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    UpdateBase,
    and_,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_dbapi,
    SQLiteDialect_aiosqlite,
)
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import class_mapper, registry
from sqlalchemy.orm.base import instance_state
from sqlalchemy.orm.instrumentation import ClassManager
from sqlalchemy.orm.state import InstanceState
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.util import EMPTY_DICT, await_only, greenlet_spawn
from sqlmodel import Field, SQLModel

from agent_system.database.adapter import FusedConnection, FusedCursor, FusedDBAPI
from agent_system.database.driver import is_broken
from agent_system.database.hydration import STATE, Hydrator
from agent_system.database.statements import UnlessThere

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PACKAGE = Path(__file__).parents[2] / "agent_system"

# Private names that the package takes from others, and where. Whoever needs one more adds it here with its test below.
KNOWN_PRIVATE_NAMES = {
    ("database/lanes.py", "_conn"),
    ("database/lanes.py", "_connection"),
    ("database/lanes.py", "_execute"),
    ("database/lanes.py", "_running"),
    ("database/lanes.py", "_tx"),
    ("database/adapter.py", "_thread"),
    ("database/lanes.py", "_thread"),
    ("managers/core/condition_plans.py", "_generate_cache_key"),
    ("managers/isolation/rewriting.py", "_propagate_attrs"),
    ("managers/isolation/statements.py", "_multi_values"),
    ("managers/isolation/values.py", "_select_names"),
    ("managers/isolation/values.py", "_values"),
}

notes = Table("notes", MetaData(), Column("id", Integer, primary_key=True), Column("title", String))


class Base(SQLModel, registry=registry(metadata=MetaData())):
    """Keeps the tests' table apart from ours."""


class Private(Base, table=True):
    """A table class of this test."""

    id: int | None = Field(default=None, primary_key=True)
    title: str


class Unheard(Base, table=True):
    """A table class to whose events nobody listens."""

    id: int | None = Field(default=None, primary_key=True)


def test_no_private_name_is_used_that_is_not_tested_here() -> None:
    used = {
        (str(path.relative_to(PACKAGE)), node.attr)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"})
    }
    assert used == KNOWN_PRIVATE_NAMES


# asyncio: database/inline_writes.py asks a loop whether something else is to run in this round.


async def test_a_loop_tells_what_else_is_to_run_in_this_round() -> None:
    loop: Any = asyncio.get_running_loop()
    assert not loop._ready
    loop.call_later(60, print).cancel()
    assert not loop._ready
    one = loop.call_soon(print)
    assert list(loop._ready) == [one]
    one.cancel()
    task = asyncio.create_task(asyncio.sleep(0))
    assert len(loop._ready) == 2
    await task
    assert not loop._ready


# aiosqlite: database/lanes.py runs functions on a connection's thread, database/adapter.py makes the thread a daemon.


@pytest.fixture
async def connection() -> AsyncIterator[aiosqlite.Connection]:
    connection = aiosqlite.Connection(lambda: sqlite3.connect(":memory:", check_same_thread=False), iter_chunk_size=64)
    await connection
    yield connection
    await connection.close()


async def test_aiosqlite_has_one_thread_that_may_be_a_daemon() -> None:
    connection = aiosqlite.Connection(lambda: sqlite3.connect(":memory:"), iter_chunk_size=64)
    assert isinstance(connection._thread, threading.Thread)
    assert not connection._thread.is_alive()  # so that adapter.FusedDBAPI.connect may still change it
    connection._thread.daemon = True
    await connection
    assert connection._thread.is_alive()
    await connection.close()


async def test_aiosqlite_runs_a_function_on_its_thread(connection: aiosqlite.Connection) -> None:
    ran_on = await connection._execute(threading.get_ident)
    assert ran_on == connection._thread.ident != threading.get_ident()


async def test_aiosqlite_takes_pairs_of_a_future_and_a_function_from_its_queue(
    connection: aiosqlite.Connection,
) -> None:
    assert isinstance(connection._tx, SimpleQueue)
    future = asyncio.get_running_loop().create_future()
    connection._tx.put_nowait((future, threading.get_ident))
    assert await future == connection._thread.ident
    # Without a future nobody is told.
    answers: SimpleQueue[int] = SimpleQueue()
    connection._tx.put_nowait((None, lambda: answers.put(threading.get_ident())))
    assert answers.get(timeout=10) == connection._thread.ident


async def test_aiosqlite_hands_every_exception_to_the_future(connection: aiosqlite.Connection) -> None:
    def cancel() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await connection._execute(cancel)
    assert await connection._execute(int, "7") == 7


async def test_aiosqlite_answers_nobody_who_has_left(connection: aiosqlite.Connection) -> None:
    started, may_end = threading.Event(), threading.Event()

    def work() -> bool:
        started.set()
        return may_end.wait(20)

    task = asyncio.create_task(connection._execute(work))
    await asyncio.to_thread(started.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
    assert await connection._execute(int, "7") == 7


async def test_aiosqlite_keeps_the_drivers_connection_and_tells_when_it_is_closed() -> None:
    connection = aiosqlite.Connection(lambda: sqlite3.connect(":memory:"), iter_chunk_size=64)
    await connection
    assert isinstance(connection._conn, sqlite3.Connection)
    assert connection._connection is connection._conn
    assert connection._running
    await connection.close()
    assert connection._connection is None
    assert not connection._running
    with pytest.raises(ValueError, match="no active connection") as caught:
        assert connection._conn
    assert is_broken(caught.value)
    with pytest.raises(ValueError, match="Connection closed") as caught:
        await connection._execute(int)
    assert is_broken(caught.value)


def test_the_driver_tells_in_words_that_a_connection_is_closed() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        connection.execute("SELECT 1")
    assert is_broken(caught.value)


# SQLAlchemy's adapter: database/adapter.py puts its own cursor and connection in the place of SQLAlchemy's.


def test_sqlalchemys_adapter_is_made_of_an_aiosqlite_connection() -> None:
    for base in (AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_dbapi):
        assert list(inspect.signature(base.__init__).parameters)[:3] in (
            ["self", "dbapi", "connection"],
            ["self", "aiosqlite", "sqlite"],
        )
    assert {"commit", "rollback", "close", "terminate", "cursor"} <= set(dir(AsyncAdapt_aiosqlite_connection))
    assert "_cursor_cls" in dir(AsyncAdapt_aiosqlite_connection)


def test_the_fused_cursor_offers_what_sqlalchemy_asks_of_a_cursor() -> None:
    asked = {
        name
        for name in dir(AsyncAdapt_aiosqlite_connection._cursor_cls)
        if not name.startswith("_") and name not in {"nextset", "callproc"}
    }
    assert asked <= set(dir(FusedCursor)) | set(FusedCursor.__slots__)
    assert "_async_soft_close" in dir(FusedCursor)


async def test_an_engine_takes_the_module_that_it_is_given_and_its_cursors() -> None:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        module=FusedDBAPI(),
        connect_args={"connector": connect},
        poolclass=AsyncAdaptedQueuePool,
    )
    async with engine.connect() as connection:
        fairy = await connection.get_raw_connection()
        assert isinstance(fairy.dbapi_connection, FusedConnection)
        assert isinstance(fairy.dbapi_connection.cursor(), FusedCursor)
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await engine.dispose()


async def test_await_only_awaits_inside_the_greenlet_bridge() -> None:
    async def answer() -> int:
        return 7

    assert await greenlet_spawn(lambda: await_only(answer())) == 7


# SQLAlchemy's engine: database/engine.py.


def test_a_handler_of_errors_may_keep_the_connection_and_knows_a_ping() -> None:
    assert {"original_exception", "sqlalchemy_exception", "is_disconnect", "is_pre_ping"} <= set(
        ExceptionContext.__annotations__
    )


def test_an_error_of_commit_passes_through_do_commit_of_the_dialect_object() -> None:
    engine = create_engine("sqlite://")
    dialect: Any = engine.dialect

    def refuse(_connection: object) -> None:
        raise sqlite3.OperationalError("refused")

    dialect.do_commit = refuse
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(sa_exc.OperationalError, match="refused"):
            connection.commit()
    engine.dispose()


def test_a_connection_can_be_closed_when_it_comes_back_to_its_pool() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        event.listen(engine.pool, "checkin", lambda _connection, record: record.invalidate())
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        raw.execute("SELECT 1")
    engine.dispose()


# SQLAlchemy's statements: managers/isolation reads what they hold, and takes tables out of them.


def test_a_statement_tells_what_it_writes() -> None:
    one: Any = insert(notes).values(id=1, title=bindparam("title"))
    assert {key: value.key for key, value in one._values.items() if value.value is None} == {"title": "title"}
    named: Any = insert(notes).values({"title": bindparam("title")})
    assert {getattr(key, "name", key) for key in named._values} == {"title"}
    assert not one._multi_values
    assert len(insert(notes).values([{"id": 1}, {"id": 2}])._multi_values) == 1
    copied: Any = insert(notes).from_select(["id"], select(notes.c.id))
    assert [getattr(name, "name", name) for name in copied._select_names] == ["id"]
    assert one.select is None
    assert copied.select is not None
    changed: Any = update(notes).values({notes.c.title: None, "id": notes.c.id + 1})
    assert {getattr(key, "name", key) for key in changed._values} == {"title", "id"}
    literal = next(value for key, value in changed._values.items() if getattr(key, "name", key) == "title")
    assert literal.unique
    assert not bindparam("title").unique
    ordered: Any = update(notes).ordered_values((notes.c.title, "x"))
    pairs = getattr(ordered, "_ordered_values", None) or ordered._values.items()
    assert [getattr(key, "name", key) for key, _ in pairs] == ["title"]


def test_a_statement_tells_that_it_locks() -> None:
    statement: Any = select(notes)
    assert statement._for_update_arg is None
    assert statement.with_for_update()._for_update_arg is not None


def test_tables_are_taken_out_of_a_statement_wherever_they_stand() -> None:
    replaced = select(notes).where(notes.c.id > 1).subquery("notes")
    inner = select(notes.c.id).cte("inner_notes")
    statement = select(notes, inner.c.id).where(notes.c.id.in_(select(notes.c.id)), notes.c.title == "x")

    def replace(element: Any, **_: Any) -> Any:
        if element is notes:
            return replaced
        is_ours = isinstance(element, ColumnClause) and element.table is notes
        return replaced.c[element.key] if is_ours else None

    rewritten: Any = visitors.replacement_traverse(statement, {}, replace)
    assert str(rewritten).count("notes.id > ") == 3
    # Left over would be a table that no condition narrows.
    assert str(rewritten).count("FROM notes") == 3
    assert notes in list(visitors.iterate(statement))


def test_conditions_that_differ_in_their_values_alone_have_one_key_and_tell_the_values() -> None:
    one, other = (
        and_(notes.c.title == title, or_(notes.c.id.is_(None), notes.c.id > number))
        for title, number in (("a", 1), ("b", 2))
    )
    keys = [condition._generate_cache_key() for condition in (one, other)]
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0].key == keys[1].key
    assert hash(keys[0].key) == hash(keys[1].key)
    assert [[bind.effective_value for bind in key.bindparams] for key in keys if key] == [["a", 1], ["b", 2]]
    another = (notes.c.title == "a")._generate_cache_key()
    assert another is not None
    assert another.key != keys[0].key
    several = notes.c.id.in_([1, 2])._generate_cache_key()
    assert several is not None
    assert several.bindparams[0].expanding


def test_a_condition_over_a_class_makes_a_statement_one_of_the_orm_until_that_is_taken_back() -> None:
    statement: Any = select(notes).where(Private.title == "x")
    assert statement._propagate_attrs
    statement._propagate_attrs = EMPTY_DICT
    assert "WHERE" in str(statement)


# SQLAlchemy's compiler: database/plans.py reads compiled statements.


@pytest.mark.parametrize("dialect", [SQLiteDialect_aiosqlite(), PGDialect_asyncpg()], ids=["sqlite", "postgresql"])
def test_a_compiled_statement_tells_its_parameters_in_order(dialect: Any) -> None:
    statement = select(notes).where(notes.c.title == bindparam("title"), notes.c.id > bindparam("id")).limit(5)
    compiled: Any = statement.compile(dialect=dialect)
    names = list(compiled.positiontup)

    assert names[:2] == ["title", "id"]
    assert [compiled.binds[name].value for name in names][:3] == [None, None, 5]
    assert isinstance(compiled.binds["id"].type, Integer)


@pytest.mark.parametrize("dialect", [SQLiteDialect_aiosqlite(), PGDialect_asyncpg()], ids=["sqlite", "postgresql"])
def test_a_type_gives_its_processors_for_a_dialect(dialect: Any) -> None:
    implementation = Integer().dialect_impl(dialect)
    assert implementation.bind_processor(dialect) is None
    assert implementation.result_processor(dialect, None) is None


def test_only_sqlite_tells_a_counted_key_without_returning() -> None:
    assert SQLiteDialect_aiosqlite().postfetch_lastrowid
    assert not postgresql.dialect().postfetch_lastrowid


def test_a_table_tells_which_column_it_counts() -> None:
    assert notes.autoincrement_column is notes.c.id


def test_a_clause_can_stand_after_the_values_of_an_insert() -> None:
    statement = insert(notes).values(id=1).ext(UnlessThere())
    assert str(statement.compile(dialect=SQLiteDialect_aiosqlite())).endswith("VALUES (?) ON CONFLICT DO NOTHING")


# SQLAlchemy's and pydantic's instances: database/hydration.py makes them without their constructors.


def test_a_mapped_class_has_the_manager_and_the_events_that_an_instance_needs() -> None:
    manager = class_mapper(Private).class_manager
    loaded: list[object] = []
    event.listen(Private, "load", lambda instance, _context: loaded.append(instance))
    private = Private(title="x")
    assert isinstance(private.__dict__["_sa_instance_state"], InstanceState)
    state: Any = InstanceState(private, manager)
    state.key = (Private, (7,), None)
    manager.dispatch.load(state, None)

    assert loaded == [private]
    assert state.detached


@pytest.mark.parametrize("name", ["__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"])
def test_pydantics_models_keep_their_state_behind_descriptors(name: str) -> None:
    assert callable(BaseModel.__dict__[name].__set__)


def test_an_instance_of_sqlalchemys_own_holds_nothing_that_ours_lacks() -> None:
    theirs = class_mapper(Private).class_manager.new_instance()
    ours = Hydrator(Private, SQLiteDialect_aiosqlite()).build({"id": 7, "title": "x"})
    assert instance_state(ours).detached

    assert vars(theirs).keys() == vars(ours).keys() - {"id", "title"} == {"_sa_instance_state"}
    for name in {"__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"} | set(BaseModel.__slots__):
        if name != "__dict__":
            assert getattr(theirs, name) == getattr(ours, name)
    their_state, our_state = theirs.__dict__["_sa_instance_state"], ours.__dict__["_sa_instance_state"]
    assert type(their_state) is type(our_state)
    assert vars(their_state).keys() == vars(our_state).keys() - {"key"}
    assert their_state.manager is our_state.manager


def test_the_state_of_an_instance_is_looked_up_as_an_attribute() -> None:
    assert ClassManager.STATE_ATTR == STATE
    ours = Hydrator(Unheard, SQLiteDialect_aiosqlite()).build({"id": 7})
    assert STATE not in vars(ours)
    assert class_mapper(Unheard).class_manager.has_state(ours)
    assert vars(ours)[STATE] is instance_state(ours)


def test_an_instance_that_is_being_built_has_no_state_of_ours() -> None:
    Hydrator(Private, SQLiteDialect_aiosqlite())
    assert not class_mapper(Private).class_manager.has_state(Private.__new__(Private))
    assert instance_state(Private(id=7, title="x")).transient
    assert not hasattr(Private, STATE)


@pytest.mark.parametrize("statement", [insert(notes), update(notes), delete(notes)], ids=["insert", "update", "delete"])
def test_a_statement_that_writes_tells_its_table(statement: Any) -> None:
    # database/plans.py reads it off, or what a plan writes would stay in the hot cache.
    assert isinstance(statement, UpdateBase)
    assert statement.table is notes


def test_a_text_with_columns_is_no_select() -> None:
    # database/executor.py takes these two for statements that only read.
    assert not isinstance(text("DELETE FROM notes RETURNING id").columns(notes.c.id), (Select, CompoundSelect))
    assert isinstance(select(notes).union(select(notes)), CompoundSelect)


def test_a_uuid_is_made_of_two_slots() -> None:
    # models/columns.py fills them without the constructor.
    assert set(UUID.__slots__) - {"__weakref__"} == {"int", "is_safe"}


# The standard library's JSON encoder and decoder: models/codec.py makes the one once, and scans without the other's
# searches for spaces.


def test_the_json_encoder_is_made_once() -> None:
    inner: Any = vars(json.encoder)
    make, quote = inner["c_make_encoder"], inner["encode_basestring"]
    chunks = make(None, json.JSONEncoder().default, quote, None, ":", ",", False, False, False)  # noqa: FBT003 (no names)
    assert "".join(chunks({"a": [1, "ü", None, 0.5]}, 0)) == '{"a":[1,"ü",null,0.5]}'
    with pytest.raises(ValueError, match="Out of range"):
        chunks([float("nan")], 0)


def test_the_json_scanner_tells_where_a_value_ends() -> None:
    scan: Any = vars(json.JSONDecoder())["scan_once"]
    assert scan('{"a": [1]} x', 0) == ({"a": [1]}, 10)
    for malformed in ("", " 1", "x"):
        with pytest.raises(StopIteration):
            scan(malformed, 0)
    with pytest.raises(ValueError, match="Expecting"):
        scan('{"a" 1}', 0)


# The standard library's driver.


def test_the_drivers_errors_have_the_names_of_sqlite() -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect("/nowhere/at/all.db")
    assert caught.value.sqlite_errorname == "SQLITE_CANTOPEN"


def test_the_drivers_connection_counts_changes_and_knows_its_transaction() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE notes (written_at)")
    before = connection.total_changes
    connection.execute("BEGIN")
    connection.execute("INSERT INTO notes VALUES (?)", (datetime.now(UTC).isoformat(),))

    assert connection.total_changes == before + 1
    assert connection.in_transaction
    connection.commit()
    assert not connection.in_transaction
    connection.close()
