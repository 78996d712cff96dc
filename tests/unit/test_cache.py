"""The hot cache by itself: every order in which reads, fills, own commits and foreign ones can come."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections import OrderedDict
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Integer, column, delete, insert, select, table, text, update
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from agent_system.database.cache import CommitJournal, HotCache, TableEffects
from agent_system.database.executor import SqliteExecutor
from agent_system.database.plans import Plan, compile_plan
from agent_system.database.schema_watch import SchemaWatch
from agent_system.database.wal_index import COUNTER, HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

ADA, GRACE, LINUS = ("users", "ada"), ("users", "grace"), ("users", "linus")
TOOL = ("tools", "hammer")


class Index:
    """A WAL index whose header the test writes."""

    def __init__(self) -> None:
        self.commits = 0
        self.salt = b"\0"
        self.is_closed = False

    def header(self) -> bytes:
        return (
            bytes(COUNTER.start) + self.commits.to_bytes(4, sys.byteorder) + self.salt * (HEADER_BYTES - COUNTER.stop)
        )

    def close(self) -> None:
        self.is_closed = True


class Hydrate:
    """Makes instances, from a row and from what was made of it."""

    def __init__(self) -> None:
        self.moulded = 0

    def __call__(self, row: Any) -> str:
        return f"instance of {row}"

    def mould(self, row: Any) -> Any:
        self.moulded += 1
        return SimpleNamespace(hydrate=self, row=row)

    def another(self, mould: Any) -> str:
        return self(mould.row)


class Effects:
    """The effects of a schema in which no table has any but those that the test names."""

    def __init__(self) -> None:
        self.tables: dict[str, frozenset[str]] = {}

    def of(self, plan: Plan) -> frozenset[str]:
        return self.tables.get(plan.writes or "", frozenset())

    def refresh(self, raw: sqlite3.Connection, version: int) -> None:
        pass


class Cached:
    """A cache with three rows at one state of a file, and what a test does to it."""

    def __init__(self, limit: int = 10) -> None:
        self.index = Index()
        self.effects = Effects()
        index: Any = self.index
        effects: Any = self.effects
        self.cache = HotCache(index, effects, limit)
        for key in (ADA, GRACE, TOOL):
            self.fill(key)

    def fill(self, key: Any, row: Any = "row") -> None:
        self.cache.put(key, row, self.index.header())

    def commit(self, *touched: tuple[Plan, Any]) -> None:
        """Commit as the writer does: the file first, then the cache."""
        before = self.index.header()
        self.index.commits += 1
        self.cache.adopt(before, touched)

    def found(self) -> set[Any]:
        return {key for key in (ADA, GRACE, LINUS, TOOL) if self.cache.get(key) is not None}


@pytest.fixture
def cached() -> Cached:
    return Cached()


def change(name: str, *, key_position: int | None = 0, **facts: Any) -> Plan:
    return Plan(sql="", parameters=(), processors=(), constants={}, writes=name, key_position=key_position, **facts)


UPDATE_USER = change("users")


class TestReading:
    def test_a_row_is_found_again_while_nothing_was_committed(self, cached: Cached) -> None:
        assert cached.cache.get(ADA) == "row"
        assert (cached.cache.hits, cached.cache.misses) == (1, 0)

    def test_instances_are_made_of_rows_that_are_valid_and_few_are_kept_decoded(
        self, cached: Cached, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("agent_system.database.cache.MOST_MOULDS", 2)
        hydrate: Any = Hydrate()
        for _ in range(30):
            for key in (ADA, GRACE, TOOL):
                assert cached.cache.instance(key, hydrate) == "instance of row"
        assert cached.cache.hits == 90
        assert sum(entry.mould is not None for rows in cached.cache._tables.values() for entry in rows.values()) == 2
        assert hydrate.moulded < 30
        cached.commit((UPDATE_USER, ["ada"]))
        assert cached.cache.instance(ADA, hydrate) is None
        assert cached.cache.instance(GRACE, hydrate) == "instance of row"

    def test_no_row_is_found_after_a_commit_that_nobody_adopted(self, cached: Cached) -> None:
        cached.index.commits += 1
        assert cached.found() == set()
        assert (cached.cache.hits, cached.cache.misses) == (0, 4)

    def test_no_row_is_found_when_anything_else_of_the_header_is_different(self, cached: Cached) -> None:
        cached.index.salt = b"\1"
        assert cached.found() == set()

    def test_what_has_not_been_read_for_longest_makes_room(self) -> None:
        cached = Cached(limit=3)
        cached.cache.get(ADA)
        cached.fill(LINUS)
        assert cached.found() == {ADA, LINUS, TOOL}
        assert len(cached.cache) == 3

    def test_the_bound_holds_over_many_rows(self) -> None:
        cached = Cached(limit=5)
        for number in range(1_000):
            cached.fill(("users", number))
            assert len(cached.cache) <= 5

    def test_nothing_is_found_after_close(self, cached: Cached) -> None:
        cached.cache.close()
        assert cached.found() == set()
        assert cached.index.is_closed


class TestFilling:
    def test_a_row_is_not_taken_in_when_something_was_committed_since_before_it_was_read(self, cached: Cached) -> None:
        before = cached.index.header()
        cached.index.commits += 1
        cached.cache.put(LINUS, "row", before)
        assert cached.found() == set()

    def test_a_row_that_was_overtaken_by_an_own_commit_leaves_the_others_alone(self, cached: Cached) -> None:
        before = cached.index.header()
        cached.commit((UPDATE_USER, ["linus"]))
        cached.cache.put(LINUS, "old", before)
        assert cached.found() == {ADA, GRACE, TOOL}

    def test_a_row_of_a_newer_state_starts_afresh(self, cached: Cached) -> None:
        cached.index.commits += 1
        cached.fill(LINUS)
        assert cached.found() == {LINUS}

    def test_a_fill_before_an_expected_adoption_leaves_the_others_alone(self, cached: Cached) -> None:
        before = cached.index.header()
        cached.cache.expect(before)
        cached.index.commits += 1
        cached.fill(LINUS)
        assert cached.found() == set()
        cached.cache.adopt(before, [(UPDATE_USER, ["ada"])])
        assert cached.found() == {GRACE, TOOL}

    def test_an_expected_adoption_that_cannot_come_keeps_nobody_from_starting_afresh(self, cached: Cached) -> None:
        before = cached.index.header()
        cached.cache.expect(before)
        cached.index.commits += 2
        cached.fill(LINUS)
        assert cached.found() == {LINUS}

    def test_a_fill_between_commit_and_adoption_survives_it(self, cached: Cached) -> None:
        before = cached.index.header()
        cached.index.commits += 1
        cached.fill(ADA, "new")
        cached.cache.adopt(before, [(UPDATE_USER, ["ada"])])
        assert cached.cache.get(ADA) == "new"
        assert cached.found() == {ADA}


class TestAdopting:
    def test_an_own_commit_keeps_all_but_the_touched_rows(self, cached: Cached) -> None:
        cached.commit((UPDATE_USER, ["ada"]))
        assert cached.found() == {GRACE, TOOL}

    def test_two_own_commits_one_after_the_other_are_both_adopted(self, cached: Cached) -> None:
        cached.commit((UPDATE_USER, ["ada"]))
        cached.commit((UPDATE_USER, ["grace"]))
        assert cached.found() == {TOOL}

    def test_the_second_of_two_adoptions_is_refused_when_the_first_was(self, cached: Cached) -> None:
        first = cached.index.header()
        cached.index.commits += 2
        cached.cache.adopt(first, [(UPDATE_USER, ["ada"])])
        cached.commit((UPDATE_USER, ["grace"]))
        assert cached.found() == set()

    def test_a_foreign_commit_behind_ours_is_not_adopted_with_it(self, cached: Cached) -> None:
        before = cached.index.header()
        cached.index.commits += 2
        cached.cache.adopt(before, [(UPDATE_USER, ["ada"])])
        assert cached.found() == set()

    def test_a_foreign_commit_before_ours_is_not_adopted_with_it(self, cached: Cached) -> None:
        cached.index.commits += 1
        cached.commit((UPDATE_USER, ["ada"]))
        assert cached.found() == set()

    def test_a_recovery_that_resets_the_counter_is_no_commit(self, cached: Cached) -> None:
        cached.index.commits = 7
        cached.fill(ADA)
        before = cached.index.header()
        cached.index.commits = 0
        cached.cache.adopt(before, [])
        assert cached.found() == set()

    def test_a_new_row_drops_nothing(self, cached: Cached) -> None:
        cached.commit((change("users", key_position=None, adds_rows=True), ["linus"]))
        assert cached.found() == {ADA, GRACE, TOOL}

    def test_a_change_of_nobody_knows_which_rows_drops_their_table(self, cached: Cached) -> None:
        cached.commit((change("users", key_position=None), ["x"]))
        assert cached.found() == {TOOL}

    def test_tables_that_are_touched_besides_are_dropped(self, cached: Cached) -> None:
        cached.effects.tables["users"] = frozenset({"tools"})
        cached.commit((UPDATE_USER, ["ada"]))
        assert cached.found() == {GRACE}

    def test_a_read_that_is_overtaken_by_an_adoption_still_gets_the_row_of_its_own_moment(self, cached: Cached) -> None:
        class Overtaken(OrderedDict[Any, Any]):
            def get(self, key: Any, default: Any = None) -> Any:
                row = super().get(key, default)
                cached.commit((UPDATE_USER, ["ada"]))
                return row

        cached.cache._tables[ADA[0]] = Overtaken(cached.cache._tables[ADA[0]])
        assert cached.cache.get(ADA) == "row"

    def test_reads_and_adoptions_at_once_disturb_each_other_in_nothing(self) -> None:
        cached = Cached(limit=2_000)
        for number in range(1_000):
            cached.fill(("tools", number))
        failures: list[BaseException] = []
        is_over = threading.Event()

        def adopt() -> None:
            try:
                for number in range(2_000):
                    cached.cache.adopt(cached.index.header(), [])
                    cached.cache._drop_tables({"tags"})
                    cached.cache._drop_row("tools", 100 + number % 900)
            except BaseException as exc:  # noqa: BLE001 (told by the test)
                failures.append(exc)
            is_over.set()

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            thread = threading.Thread(target=adopt)
            thread.start()
            while not is_over.is_set():
                for number in range(100):
                    assert cached.cache.get(("tools", number)) == "row"
            thread.join()
        finally:
            sys.setswitchinterval(interval)
        assert not failures


class TestJournal:
    @pytest.fixture
    def raw(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
            raw.execute("CREATE TABLE users (id TEXT PRIMARY KEY, age INTEGER CHECK (age > 0))")
            raw.execute("INSERT INTO users VALUES ('ada', 1)")
            yield raw

    @pytest.fixture
    def journal(self, cached: Cached, raw: sqlite3.Connection) -> CommitJournal:
        return CommitJournal(cached.cache, raw, SchemaWatch(raw))

    def test_a_commit_drops_what_its_plans_have_touched(
        self, cached: Cached, raw: sqlite3.Connection, journal: CommitJournal
    ) -> None:
        journal.began()
        journal.note(UPDATE_USER, ["ada"])
        raw.execute("UPDATE users SET age = 2 WHERE id = 'ada'")
        cached.index.commits += 1
        journal.committed()
        assert cached.found() == {GRACE, TOOL}

    def test_a_commit_that_changed_nothing_does_not_adopt_the_next_one(
        self, cached: Cached, raw: sqlite3.Connection, journal: CommitJournal
    ) -> None:
        journal.began()
        journal.note(UPDATE_USER, ["nobody"])
        raw.execute("UPDATE users SET age = 2 WHERE id = 'nobody'")
        cached.index.commits += 1  # of another process, after our COMMIT
        journal.committed()
        assert cached.found() == set()

    def test_a_commit_that_changed_nothing_keeps_everything(self, cached: Cached, journal: CommitJournal) -> None:
        journal.began()
        journal.committed()
        assert cached.found() == {ADA, GRACE, TOOL}

    def test_a_statement_whose_rows_are_not_known_prevents_the_adoption(
        self, cached: Cached, raw: sqlite3.Connection, journal: CommitJournal
    ) -> None:
        journal.began()
        journal.note_unknown()
        journal.note(UPDATE_USER, ["ada"])
        raw.execute("UPDATE users SET age = 2")
        cached.index.commits += 1
        journal.committed()
        assert cached.found() == set()

    def test_what_was_noted_in_an_attempt_that_failed_is_forgotten(
        self, cached: Cached, raw: sqlite3.Connection, journal: CommitJournal
    ) -> None:
        journal.began()
        journal.note(UPDATE_USER, ["ada"])
        journal.note_unknown()
        journal.began()
        journal.note(UPDATE_USER, ["grace"])
        raw.execute("UPDATE users SET age = 2 WHERE id = 'ada'")
        cached.index.commits += 1
        journal.committed()
        assert cached.found() == {ADA, TOOL}

    def test_what_is_written_outside_of_a_group_is_not_kept(self, journal: CommitJournal) -> None:
        journal.note(UPDATE_USER, ["ada"])
        journal.began()
        journal.note(UPDATE_USER, ["ada"])
        journal.committed()
        journal.note(UPDATE_USER, ["ada"])
        assert not journal._touched


class TestNotes:
    """What an executor tells the journal."""

    USERS = table("users", column("id", Integer), column("age", Integer))

    @pytest.fixture
    def executor(self) -> Iterator[SqliteExecutor]:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
            raw.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, age INTEGER)")
            executor = SqliteExecutor(raw)
            self.notes: list[Any] = []
            journal: Any = SimpleNamespace(
                note=lambda plan, parameters: self.notes.append((plan.writes, list(parameters))),
                note_unknown=lambda: self.notes.append("unknown"),
            )
            executor.journal = journal
            yield executor

    @pytest.mark.parametrize(
        "statement",
        [
            text("UPDATE users SET age = 2"),
            text("DELETE FROM users RETURNING id").columns(USERS.c.id),
            insert(USERS).values(id=1),
            update(USERS).values(age=2),
            delete(USERS),
        ],
        ids=["text", "text that looks like a select", "insert", "update", "delete"],
    )
    def test_statements_that_may_write_are_unknown(self, executor: SqliteExecutor, statement: Any) -> None:
        executor.execute(statement)
        assert self.notes == ["unknown"]

    @pytest.mark.parametrize("statement", [select(USERS), select(USERS).union(select(USERS))], ids=["select", "union"])
    def test_statements_that_only_read_are_not_noted(self, executor: SqliteExecutor, statement: Any) -> None:
        executor.execute(statement).all()
        assert self.notes == []

    def test_plans_that_write_are_noted_whichever_way_they_are_run(self, executor: SqliteExecutor) -> None:
        plan = compile_plan(insert(self.USERS).values(id=1, age=2), SQLiteDialect_pysqlite())
        lookup = compile_plan(select(self.USERS), SQLiteDialect_pysqlite())
        executor.change(plan, [1, 1])
        executor.insert(plan, [2, 1])
        executor.fetch(plan, [3, 1])
        executor.change_many(plan, [[4, 1], [5, 1]])
        executor.fetch(lookup, [])
        assert self.notes == [("users", [number, 1]) for number in (1, 2, 3, 4, 5)]

    @pytest.mark.parametrize(
        ("statement", "writes", "deletes"),
        [
            (select(USERS), None, False),
            (insert(USERS).values(id=1), "users", False),
            (update(USERS).values(age=1), "users", False),
            (delete(USERS), "users", True),
        ],
        ids=["select", "insert", "update", "delete"],
    )
    def test_a_plan_knows_which_table_it_writes(self, statement: Any, writes: str | None, *, deletes: bool) -> None:
        plan = compile_plan(statement, SQLiteDialect_pysqlite())
        assert (plan.writes, plan.deletes) == (writes, deletes)


class TestEffects:
    SCHEMA = """
        CREATE TABLE users (id INTEGER PRIMARY KEY);
        CREATE TABLE agents (id INTEGER PRIMARY KEY, user_id REFERENCES Users ON DELETE CASCADE);
        CREATE TABLE tasks (id INTEGER PRIMARY KEY, agent_id REFERENCES agents ON DELETE SET NULL,
                            parent_id REFERENCES tasks);
        CREATE TABLE logs (id INTEGER PRIMARY KEY);
        CREATE TABLE totals (id INTEGER PRIMARY KEY);
        CREATE TABLE labels (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
        CREATE TABLE labelled (id INTEGER PRIMARY KEY, label REFERENCES labels (name) ON UPDATE CASCADE);
        CREATE TABLE "odd name" (id INTEGER PRIMARY KEY);
        CREATE TABLE lonely (id INTEGER PRIMARY KEY);
    """

    @pytest.fixture
    def raw(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
            raw.executescript(self.SCHEMA)
            yield raw

    def effects(self, raw: sqlite3.Connection, name: str, *, deletes: bool = False) -> set[str]:
        return set(TableEffects(raw).of(change(name, deletes=deletes)))

    def test_a_table_without_triggers_and_references_has_none(self, raw: sqlite3.Connection) -> None:
        assert self.effects(raw, "lonely") == self.effects(raw, "lonely", deletes=True) == set()

    def test_a_table_that_is_not_there_has_none(self, raw: sqlite3.Connection) -> None:
        assert self.effects(raw, "missing") == set()

    def test_deleting_touches_all_that_may_fall(self, raw: sqlite3.Connection) -> None:
        assert self.effects(raw, "users", deletes=True) == {"agents", "tasks"}
        assert self.effects(raw, "tasks", deletes=True) == {"tasks"}

    def test_changing_touches_no_children_but_those_that_follow(self, raw: sqlite3.Connection) -> None:
        assert self.effects(raw, "users") == set()
        assert self.effects(raw, "labels") == {"labelled"}

    def test_triggers_touch_the_tables_in_their_bodies(self, raw: sqlite3.Connection) -> None:
        raw.execute("CREATE TRIGGER t AFTER INSERT ON LONELY BEGIN INSERT INTO Logs VALUES (1); END")
        assert self.effects(raw, "lonely") == {"logs"}

    def test_names_that_are_no_words_are_found(self, raw: sqlite3.Connection) -> None:
        raw.execute('CREATE TRIGGER t AFTER INSERT ON lonely BEGIN UPDATE "Odd Name" SET id = 1; END')
        assert self.effects(raw, "lonely") == {"odd name"}

    def test_triggers_set_off_other_triggers(self, raw: sqlite3.Connection) -> None:
        raw.execute("CREATE TRIGGER a AFTER INSERT ON lonely BEGIN UPDATE logs SET id = 1; END")
        raw.execute("CREATE TRIGGER b AFTER UPDATE ON logs BEGIN UPDATE totals SET id = 1; END")
        assert self.effects(raw, "lonely") == {"logs", "totals"}

    @pytest.mark.parametrize("statement", ["DELETE FROM users", "REPLACE INTO users VALUES (1)"])
    def test_triggers_that_remove_rows_remove_what_falls_with_them(
        self, raw: sqlite3.Connection, statement: str
    ) -> None:
        raw.execute(f"CREATE TRIGGER a AFTER INSERT ON lonely BEGIN {statement}; END")
        assert self.effects(raw, "lonely") == {"users", "agents", "tasks"}

    def test_what_falls_sets_off_triggers(self, raw: sqlite3.Connection) -> None:
        raw.execute("CREATE TRIGGER a AFTER DELETE ON agents BEGIN UPDATE totals SET id = 1; END")
        assert self.effects(raw, "users", deletes=True) == {"agents", "tasks", "totals"}

    def test_a_trigger_that_was_made_meanwhile_is_known(self, raw: sqlite3.Connection) -> None:
        effects = TableEffects(raw)
        raw.execute("CREATE TRIGGER a AFTER INSERT ON lonely BEGIN UPDATE logs SET id = 1; END")
        effects.refresh(raw, SchemaWatch(raw).look())
        assert effects.of(change("lonely")) == {"logs"}
        raw.execute("DROP TRIGGER a")
        effects.refresh(raw, SchemaWatch(raw).look())
        assert effects.of(change("lonely")) == frozenset()

    def test_the_schema_is_read_only_when_it_has_changed(self, raw: sqlite3.Connection) -> None:
        effects, version = TableEffects(raw), SchemaWatch(raw).look()
        statements: list[str] = []
        raw.set_trace_callback(statements.append)
        effects.refresh(raw, version)
        assert statements == []
