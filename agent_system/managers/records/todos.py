"""To-do lists: what is to be done, in which order, and how far it is done."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.errors import NotFoundError
from agent_system.managers.core.base import Manager
from agent_system.managers.records.todo_items import OPEN, TodoItemManager
from agent_system.managers.records.todo_states import TodoListState
from agent_system.managers.records.todo_text import item_data
from agent_system.managers.users.identity_writer import IdentityWriter, identity_writer
from agent_system.managers.users.persons import PersonLookup, identity_id
from agent_system.models import TodoItem, TodoList
from agent_system.models.naming import name_key
from agent_system.types import TodoStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from agent_system.database.executor import Executor

__all__ = ["TodoManager"]


class TodoManager(Manager[TodoList]):
    r"""To-do lists. A name is unique per owner, whatever the case; the verbs take a list's name or its key.

    Example:
        >>> await em.todos.create_list("trip", "- book the train\n- pack", user_id="ada")
        >>> (await em.todos.next("trip", user_id="ada")).content
        'book the train'
        >>> await em.todos.complete("trip", "train", user_id="ada")
        >>> (await em.todos.status("trip", user_id="ada")).percent
        50
    """

    entity = TodoList

    @cached_property
    def items(self) -> TodoItemManager:
        """The things on the lists, by their keys."""
        return TodoItemManager(self._db, clock=self._clock)

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    @cached_property
    def _persons(self) -> PersonLookup:
        return PersonLookup(self._db.dialect)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a new list, and the identity of its owner unless it is there."""
        return self._identities.before(values["user_id"], super().insertion(values, audit=audit))

    # Writing.

    async def create_list(
        self,
        name: str,
        items: str | Iterable[str | Mapping[str, Any]] = (),
        user_id: UUID | str | None = None,
        **fields: Any,
    ) -> TodoList:
        """Make a list with its items.

        Args:
            name: Its name.
            items: A text with a line for each item (list marks and boxes are understood), or the items: texts, or
                columns of each.
            user_id: Whose list: the id of an identity, or the key of an account; None is a list that all share.
            fields: Other columns, such as `goal_id`.

        Raises:
            DuplicateKeyError: The owner has a list of this name.
            ValidationError: The data were refused.
        """
        owner = None if user_id is None else identity_id(user_id)
        values = self.new_values({"name": name, "user_id": owner, **fields})
        insert = self.insertion(values)
        many = item_data(items)

        def work(executor: Executor) -> dict[str, Any]:
            insert(executor)
            self.items.append(executor, values["id"], many)
            return values

        return self.plans.hydrate.build(await self.run(work, values))

    async def add(
        self,
        todo: str | int,
        items: str | Iterable[str | Mapping[str, Any]],
        user_id: UUID | str | None = None,
    ) -> builtins.list[TodoItem]:
        """Add items at the end of a list and return them; see `create_list`.

        Raises:
            NotFoundError: There is no such list.
        """
        many = item_data(items)

        def work(executor: Executor) -> builtins.list[dict[str, Any]]:
            return self.items.append(executor, self._hold(executor, todo, user_id), many)

        return [self.items.plans.hydrate.build(values) for values in await self.run(work)]

    async def complete(self, todo: str | int, item: int | str, user_id: UUID | str | None = None) -> TodoItem:
        """Say that an item is done; one that was already stays as it is.

        Args:
            todo: Name or key of the list.
            item: Its place, from 1, or its text, or a part of it that no other item has.
            user_id: Whose list; None is a list that all share.

        Raises:
            NotFoundError: There is no such list or item.
            ValidationError: Several items contain the text.
        """
        return await self.set_status(todo, item, TodoStatus.COMPLETED, user_id)

    async def set_status(
        self, todo: str | int, item: int | str, status: TodoStatus | str, user_id: UUID | str | None = None
    ) -> TodoItem:
        """Say where an item stands; see `complete`."""

        def work(executor: Executor) -> dict[str, Any]:
            found = self.items.locate(executor, self._hold(executor, todo, user_id), item)
            if found["status"] == status:
                return found
            changes = self.items.store.validator.change_values({"status": status})
            return self.items.store.change(executor, {"id": found["id"]}, changes, check=self.items.check_change)

        return self.items.plans.hydrate.build(await self.run(work))

    async def reorder(
        self, todo: str | int, order: Sequence[int], user_id: UUID | str | None = None
    ) -> builtins.list[TodoItem]:
        """Put the items of a list in an order and return them; those that are not named come behind, as they were.

        Args:
            todo: Name or key of the list.
            order: The keys of the items.
            user_id: Whose list; None is a list that all share.

        Raises:
            NotFoundError: There is no such list.
            ValidationError: The order names an item twice, or one that is not on the list.
        """

        def work(executor: Executor) -> int:
            todo_id = self._hold(executor, todo, user_id)
            self.items.arrange(executor, todo_id, order)
            return todo_id

        return await self.items.of(await self.run(work))

    # Reading.

    async def get_by_name(self, name: str, user_id: UUID | str | None = None) -> TodoList | None:
        """Return the owner's list of this name, whatever the case, or None; without an owner a shared one."""

        def work(executor: Executor) -> dict[str, Any] | None:
            key = self._find(executor, name, user_id)
            return None if key is None else self.store.get(executor, key)

        values = await self._db.read(work)
        return None if values is None else self.plans.hydrate.build(values)

    async def entries(self, todo: str | int, user_id: UUID | str | None = None) -> builtins.list[TodoItem]:
        """Return the items of a list, in order.

        Raises:
            NotFoundError: There is no such list.
        """
        return await self.items.of(await self._id_of(todo, user_id))

    async def next(self, todo: str | int, user_id: UUID | str | None = None) -> TodoItem | None:
        """Return the first item that is still to be done, or None.

        Raises:
            NotFoundError: There is no such list.
        """
        columns = self.items.plans.columns
        statement = self.items.query({"todo_id": await self._id_of(todo, user_id)})
        statement = statement.where(columns["status"].in_(OPEN)).order_by(columns["position"], columns["id"])
        found = await self.items.select(statement.limit(1))
        return found[0] if found else None

    async def status(self, todo: str | int, user_id: UUID | str | None = None) -> TodoListState:
        """Count what is done of a list.

        Raises:
            NotFoundError: There is no such list.
        """
        states = await self._states(self.plans.columns["id"] == await self._id_of(todo, user_id))
        if not states:
            raise NotFoundError(self.store.name, todo)
        return states[0]

    async def lists(self, user_id: UUID | str | None = None) -> builtins.list[TodoListState]:
        """Count what is done of each list of an owner, or of those that all share; the last used comes first."""
        owner = self.plans.columns["user_id"]
        if user_id is None:
            return await self._states(owner.is_(None))
        ids = await self._db.read(lambda executor: self._persons.ids(executor, user_id))
        return await self._states(owner.in_(ids))

    async def _states(self, condition: Any) -> builtins.list[TodoListState]:
        lists, items = self.plans.table, self.items.plans.table
        status = items.c.status
        counted = func.count(items.c.id)
        statement = (
            select(
                *(lists.c[name] for name in ("id", "name", "goal_id")),
                counted.filter(status != TodoStatus.CANCELLED),
                counted.filter(status == TodoStatus.COMPLETED),
            )
            .select_from(lists.outerjoin(items, items.c.todo_id == lists.c.id))
            .where(condition)
            .group_by(lists.c.id)
            .order_by(lists.c.updated_at.desc(), lists.c.id.desc())
        )
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [
            TodoListState(id=key, name=name, goal_id=goal_id, items=count, completed=completed)
            for key, name, goal_id, count, completed in rows
        ]

    async def _id_of(self, todo: str | int, user_id: UUID | str | None) -> int:
        found = await (self.get_by_id(todo) if isinstance(todo, int) else self.get_by_name(todo, user_id))
        if found is None:
            raise NotFoundError(self.store.name, todo)
        return found.id

    def _hold(self, executor: Executor, todo: str | int, user_id: UUID | str | None) -> int:
        """Lock a list, note that it is used, and return its key."""
        key = {"id": todo} if isinstance(todo, int) else self._find(executor, todo, user_id)
        if key is None or self.store.get(executor, key, lock=True) is None:
            raise NotFoundError(self.store.name, todo)
        self.store.change(executor, key, {})
        return int(key["id"])

    def _find(self, executor: Executor, name: str, user_id: UUID | str | None) -> dict[str, Any] | None:
        owners: builtins.list[str | None] = [None]
        if user_id is not None:
            own = identity_id(user_id)
            # A person's own list of this name first, then that of a linked identity.
            owners = [own, *(each for each in self._persons.ids(executor, user_id) if each != own)]
        for owner in owners:
            columns = self.plans.columns
            named = columns["name_key"] == name_key(name)
            mine = columns["user_id"].is_(None) if owner is None else columns["user_id"] == owner
            row = executor.execute(select(columns["id"]).where(named, mine)).first()
            if row is not None:
                return {"id": row[0]}
        return None
