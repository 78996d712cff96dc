"""An instance that the layer makes is what an AsyncSession on the same database loads, for every table class."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, inspect, text
from sqlalchemy.orm import class_mapper

from agent_system import models
from agent_system.database.hydration import STATE
from agent_system.models import Agent
from tests import requirements as requires
from tests.integration.fast_paths.rich_rows import ENTITIES, LATER, PAIRS, Managers, key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.managers.core.base import Manager

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]


class Pair:
    """The rows of every table as the layer made them, and as a session loads them."""

    def __init__(self, managers: Managers, created: list[Any]) -> None:
        self.db = managers.db
        self.managers = managers
        self.created = created

    async def loaded(self) -> list[Any]:
        """The same rows, each by a session's own `get`."""
        async with self.db.session(read_only=True) as session:
            return [await session.get_one(type(row), key_of(row)) for row in self.created]

    async def looked_up(self) -> list[Any]:
        """The same rows, each by its manager's lookup."""
        return [await self.managers[type(row)].require(key_of(row)) for row in self.created]


@pytest.fixture
async def pair(db: DatabaseManager) -> Pair:
    managers = Managers(db)
    return Pair(managers, await managers.create())


def values_of(row: Any) -> dict[str, Any]:
    """What is loaded of a row, without SQLAlchemy's own state."""
    return {key: value for key, value in row.__dict__.items() if key != "_sa_instance_state"}


def types_of(value: Any) -> Any:
    """The exact types of a value and of what is in it."""
    if isinstance(value, dict):
        return dict, {key: types_of(one) for key, one in value.items()}
    if isinstance(value, list):
        return list, [types_of(one) for one in value]
    return type(value), str(value.tzinfo) if isinstance(value, datetime) else None


def pickled(row: Any, protocol: int) -> Any:
    """A row after a journey."""
    return pickle.loads(pickle.dumps(row, protocol))  # noqa: S301 (our own)


def state_of(row: Any) -> dict[str, Any]:
    """What SQLAlchemy says about a row."""
    state = inspect(row)
    return {
        "states": (state.transient, state.pending, state.persistent, state.deleted, state.detached),
        "key": state.key,
        "identity": state.identity,
        "modified": state.modified,
        "unmodified": set(state.unmodified),
        "unloaded": set(state.unloaded),
        "expired": state.expired,
        "session": state.session,
        "histories": {
            attribute.key: attribute.history for attribute in state.attrs if attribute.key not in state.unloaded
        },
    }


def assert_same(ours: list[Any], loaded: list[Any]) -> None:
    """Compare rows by everything that somebody can see of them."""
    assert len(ours) == len(loaded) == 2 * len(ENTITIES) - len(PAIRS)
    for mine, theirs in zip(ours, loaded, strict=True):
        assert type(mine) is type(theirs)
        assert values_of(mine) == values_of(theirs), type(mine)
        assert {key: types_of(value) for key, value in values_of(mine).items()} == {
            key: types_of(value) for key, value in values_of(theirs).items()
        }, type(mine)
        assert mine == theirs
        assert mine.model_dump() == theirs.model_dump()
        assert mine.model_dump(exclude_unset=True) == theirs.model_dump(exclude_unset=True)
        assert mine.model_fields_set == theirs.model_fields_set
        assert mine.__pydantic_extra__ == theirs.__pydantic_extra__
        assert mine.__pydantic_private__ == theirs.__pydantic_private__
        assert state_of(mine) == state_of(theirs), type(mine)


class TestEveryTable:
    def test_there_are_rows_of_all_of_them(self) -> None:
        classes = {getattr(models, name) for name in models.__all__ if isinstance(getattr(models, name), type)}
        assert set(ENTITIES) == classes - {models.TableModel}

    async def test_created_rows(self, pair: Pair) -> None:
        assert_same(pair.created, await pair.loaded())

    async def test_looked_up_rows(self, pair: Pair) -> None:
        loaded = await pair.loaded()
        assert_same(await pair.looked_up(), loaded)
        # Those that can be are in the cache now.
        assert_same(await pair.looked_up(), loaded)

    async def test_looked_up_rows_in_a_transaction(self, pair: Pair) -> None:
        loaded = await pair.loaded()
        async with pair.db.transaction():
            assert_same(await pair.looked_up(), loaded)

    @requires.inline_reads
    async def test_looked_up_rows_on_the_lane(self, open_database: OpenDatabase) -> None:
        managers = Managers(await open_database(inline_reads=False, hot_cache_size=0))
        pair = Pair(managers, await managers.create())
        assert_same(await pair.looked_up(), await pair.loaded())

    async def test_selected_rows(self, pair: Pair) -> None:
        selected = []
        for row in pair.created:
            keys = {column.key: getattr(row, column.key) for column in class_mapper(type(row)).primary_key}
            selected += await pair.managers[type(row)].find(**keys)
        assert_same(selected, await pair.loaded())

    async def test_rows_by_a_compiled_plan(self, pair: Pair) -> None:
        rows = []
        for row in pair.created:
            plans = pair.managers[type(row)].plans
            plan = plans.last("created_at")
            found = await pair.db.fetch(plan, plan.encode({"created_at": row.created_at, "limit": 9}))
            rows += [one for one in plans.hydrate.all(found) if key_of(one) == key_of(row)]
        assert_same(rows, await pair.loaded())

    async def test_changed_rows(self, pair: Pair) -> None:
        changed = [await self.change(pair.managers[type(row)], row) for row in pair.created]
        assert_same(changed, await pair.loaded())

    async def change(self, manager: Manager[Any], row: Any) -> Any:
        """Set every column to what it has in another row, as far as it may be changed."""
        values = {key: value for key, value in values_of(row).items() if key in manager.store.validator.changeable}
        if not values:
            return row
        return await manager.update(key_of(row), values)

    async def test_upserted_rows(self, pair: Pair) -> None:
        upserted = []
        for row in pair.created:
            manager = pair.managers[type(row)]
            names = [manager.plans.attributes[column.key] for column in manager.plans.table.primary_key]
            if set(names) & set(manager.plans.counted):
                upserted.append(row)
                continue
            given = set(manager.store.validator.changeable) | set(names)
            values = {key: value for key, value in values_of(row).items() if key in given}
            required = {key for key in manager.plans.columns if type(row).model_fields[key].is_required()}
            values |= {key: getattr(row, key) for key in required - set(manager.store.validator.derived)}
            upserted.append(await manager.upsert(values, on=names))
        assert_same(upserted, await pair.loaded())


class TestCopies:
    async def test_pickled_rows(self, pair: Pair) -> None:
        loaded = await pair.loaded()
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            copies = [pickled(row, protocol) for row in await pair.looked_up()]
            assert_same(copies, [pickled(row, protocol) for row in loaded])

    async def test_copied_rows(self, pair: Pair) -> None:
        loaded = await pair.loaded()
        originals = await pair.looked_up()
        for make in (copy.copy, copy.deepcopy, lambda row: row.model_copy(), lambda row: row.model_copy(deep=True)):
            copies = [make(row) for row in originals]
            for mine, theirs in zip(copies, map(make, loaded), strict=True):
                assert mine == theirs
                assert values_of(mine) == values_of(theirs)
                assert mine.model_fields_set == theirs.model_fields_set
                # Ours get their state when somebody asks for it.
                assert set(mine.__dict__) | {STATE} == set(theirs.__dict__) | {STATE}

    async def test_a_deep_copy_shares_nothing(self, db: DatabaseManager) -> None:
        agents = Managers(db)[Agent]
        agent = await agents.create({"name": "Ada", "capabilities": ["search"]})
        other = copy.deepcopy(await agents.require(agent.id))
        other.capabilities.append("changed")
        assert await agents.require(agent.id) == agent

    async def test_rows_validate_again(self, pair: Pair) -> None:
        for row in await pair.looked_up():
            again = type(row).model_validate(row.model_dump())
            assert again.model_dump() == row.model_dump()


class TestSessions:
    async def test_added_rows_are_clean(self, pair: Pair) -> None:
        for rows in (pair.created, await pair.looked_up()):
            async with pair.db.session() as session:
                session.add_all(rows)
                assert not session.new
                assert not session.dirty
                assert all(inspect(row).persistent for row in rows)
                for row in rows:
                    assert await session.get(type(row), key_of(row)) is row
                await session.commit()

    async def test_added_rows_can_be_changed(self, pair: Pair) -> None:
        rows = await pair.looked_up()
        async with pair.db.session() as session:
            session.add_all(rows)
            for row in rows:
                row.created_at = LATER
                assert inspect(row).modified
            await session.commit()
        assert {row.created_at for row in await pair.loaded()} == {LATER}
        assert_same(await pair.looked_up(), await pair.loaded())

    async def test_merged_rows_are_clean(self, pair: Pair) -> None:
        async with pair.db.session() as session:
            for row in await pair.looked_up():
                merged = await session.merge(row)
                assert values_of(merged) == values_of(row)
                assert not session.is_modified(merged)
            await session.commit()

    async def test_merged_rows_can_have_been_changed(self, pair: Pair) -> None:
        async with pair.db.session() as session:
            for row in await pair.looked_up():
                row.created_at = LATER
                await session.merge(row)
            await session.commit()
        assert {row.created_at for row in await pair.loaded()} == {LATER}

    async def test_merging_without_loading_works_too(self, pair: Pair) -> None:
        async with pair.db.session() as session:
            for row in await pair.looked_up():
                merged = await session.merge(row, load=False)
                assert inspect(merged).persistent
            assert not session.dirty

    async def test_an_added_row_can_be_refreshed_and_deleted(self, db: DatabaseManager) -> None:
        agents = Managers(db)[Agent]
        agent = await agents.create({"name": "Ada"})
        await agents.update(agent.id, {"instruction": "new"})
        async with db.session() as session:
            session.add(agent)
            await session.refresh(agent)
            assert agent.instruction == "new"
            await session.delete(agent)
            await session.commit()
        assert await agents.get_by_id(agent.id) is None


class TestLoadEvents:
    @pytest.fixture
    async def heard(self) -> AsyncIterator[list[tuple[str, str]]]:
        """Yield what listeners of SQLAlchemy's own hear about agents."""
        heard: list[tuple[str, str]] = []

        def one_class(target: Any, _context: Any) -> None:
            heard.append(("class", target.name))

        def every_class(target: Any, _context: Any) -> None:
            heard.append(("base", target.name))

        event.listen(Agent, "load", one_class)
        event.listen(models.TableModel, "load", every_class, propagate=True)
        yield heard
        event.remove(Agent, "load", one_class)
        event.remove(models.TableModel, "load", every_class)

    async def test_listeners_hear_of_each_row(self, db: DatabaseManager, heard: list[tuple[str, str]]) -> None:
        agents = Managers(db)[Agent]
        agent = await agents.create({"name": "Ada"})
        heard.clear()
        await agents.get_by_id(agent.id)
        await agents.get_by_id(agent.id)
        await agents.find(name="Ada")
        assert sorted(heard) == [("base", "Ada")] * 3 + [("class", "Ada")] * 3

    async def test_a_listener_that_comes_later_hears_too(self, db: DatabaseManager) -> None:
        agents = Managers(db)[Agent]
        agent = await agents.create({"name": "Ada"})
        await agents.get_by_id(agent.id)
        seen: list[Any] = []

        def listener(target: Any, context: Any) -> None:
            seen.append((target, context))

        event.listen(Agent, "load", listener)
        found = await agents.get_by_id(agent.id)
        event.remove(Agent, "load", listener)
        await agents.get_by_id(agent.id)
        assert seen == [(found, None)]
        assert seen[0][0] is found


class Number(IntEnum):
    TWO = 2


class TestUncommonData:
    """What is created is what is read back, also when the caller's data are of types that no row has."""

    async def same(self, db: DatabaseManager, **data: Any) -> Agent:
        agents = Managers(db)[Agent]
        created = await agents.create({"name": "Ada", **data})
        async with db.session(read_only=True) as session:
            loaded = await session.get_one(Agent, created.id)
        assert values_of(created) == values_of(loaded)
        assert {key: types_of(one) for key, one in values_of(created).items()} == {
            key: types_of(one) for key, one in values_of(loaded).items()
        }
        changed = await agents.update(created.id, {"description": "changed", **data})
        async with db.session(read_only=True) as session:
            loaded = await session.get_one(Agent, created.id)
        assert values_of(changed) == values_of(loaded)
        assert {key: types_of(one) for key, one in values_of(changed).items()} == {
            key: types_of(one) for key, one in values_of(loaded).items()
        }
        return created

    async def test_subclasses_of_dictionaries(self, db: DatabaseManager) -> None:
        class Settings(dict[str, Any]):
            pass

        await self.same(db, configuration=Settings(a=Settings()), meta=Settings())

    async def test_keys_and_tuples_that_json_does_not_have(self, db: DatabaseManager) -> None:
        await self.same(db, configuration={"a": (1, 2), "b": ()})

    async def test_numbers_of_other_kinds(self, db: DatabaseManager) -> None:
        await self.same(db, configuration={"a": Number.TWO, "b": True})

    async def test_the_callers_own_objects_stay_the_callers(self, db: DatabaseManager) -> None:
        data: dict[str, Any] = {"meta": {}, "configuration": {"a": []}, "capabilities": []}
        created = await self.same(db, **data)
        data["meta"]["changed"] = data["configuration"]["changed"] = True
        data["configuration"]["a"].append("changed")
        data["capabilities"].append("changed")
        assert await Managers(db)[Agent].get_by_id(created.id) is not None
        assert (created.meta, created.configuration, created.capabilities) == ({}, {"a": []}, [])

    async def test_rows_do_not_share_their_defaults(self, db: DatabaseManager) -> None:
        agents = Managers(db)[Agent]
        first, second = await agents.create_many([{"name": "Ada"}, {"name": "Grace"}])
        first.capabilities.append("changed")
        first.meta["changed"] = True
        assert (second.capabilities, second.meta) == ([], {})
        third = await agents.create({"name": "Linus"})
        assert (third.capabilities, third.meta) == ([], {})


@requires.untyped_columns
@pytest.mark.parametrize("broken", ["{", "", "nonsense", '{"a": NaN}', "[1,"])
async def test_malformed_json_comes_back_as_its_text(db: DatabaseManager, broken: str) -> None:
    managers = Managers(db)
    pair = Pair(managers, await managers.create())
    agent = next(row for row in pair.created if isinstance(row, Agent))
    statement = text("UPDATE agents SET metadata = :broken")
    await db.write(lambda executor: executor.execute(statement, {"broken": broken}).close())
    loaded = await pair.loaded()
    assert_same(await pair.looked_up(), loaded)
    found = await managers[Agent].require(agent.id)
    assert found.meta == next(row for row in loaded if key_of(row) == agent.id).meta
    assert [one.meta for one in (await managers[Agent].list()).items] == [found.meta] * 2
