"""`VersionedManager`: rows whose contents triggers count and keep, so that every one of them can be had again.

The history holds what was replaced, with who replaced it, as the seeds have it: the author of version 2 stands beside
version 1. `versions` puts each author beside what they wrote.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from sqlalchemy import case, func, literal, null, select, union_all
from sqlmodel import SQLModel

from agent_system.errors import NotFoundError
from agent_system.managers.core.audit import current_audit_context
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.names import find_by_name
from agent_system.managers.core.where import equals
from agent_system.models.columns import Text, UtcDateTime
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor

__all__ = ["VersionedManager"]

Row = TypeVar("Row", bound=SQLModel)
Version = TypeVar("Version")
Old = TypeVar("Old", bound=SQLModel)


class VersionedManager(Manager[Row], Generic[Row, Version, Old]):
    """Reads and writes the rows of a table that has a history.

    The verbs take a row's name, in any spelling, or its key. Who changes a content is the `author` that is given, else
    the actor of the events' context (`em.events.context`), else `system`.
    """

    hot = True
    kept = frozenset({"version", "changed_by", "change_reason"})

    history_entity: type[Old]
    """The table class of the history."""
    history_owner: ClassVar[str]
    """Its attribute that refers to the row."""
    contents: ClassVar[tuple[str, ...]]
    """The columns whose change makes a version."""
    remembered: ClassVar[tuple[str, ...]]
    """The columns that row and history have in common, `contents` among them."""
    identity: ClassVar[str] = "name"
    """The column of the names."""
    version_type: type[Version]
    """What a version is returned as: a dataclass of `identity`, `remembered` and the columns of `_versions`."""

    # Writing.

    def new_values(self, data: Mapping[str, Any] | Row) -> dict[str, Any]:
        """Validate the data of a new row and complete them; who acts has made it, unless somebody else is named."""
        values = super().new_values(data)
        if values["created_by"] is None:
            values["created_by"] = current_audit_context().actor
        return values

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Say who changes the content."""
        del executor
        if any(key in changes and changes[key] != before[key] for key in self.contents):
            changes.setdefault("changed_by", current_audit_context().actor)

    async def rollback(
        self, name: str | int, to_version: int, author: str | None = None, reason: str | None = None
    ) -> Row:
        """Give a row the content of an earlier version, as a version of its own; the same content changes nothing.

        Args:
            name: Its name or key.
            to_version: The version whose content it is to have.
            author: Who rolls back.
            reason: Why; None is written down as the rollback that it is.

        Raises:
            NotFoundError: There is no such row or version.
        """

        def find(executor: Executor, before: Mapping[str, Any]) -> dict[str, Any]:
            if before["version"] == to_version:
                return {}
            table = self._history
            wanted = [table.c[self._column(key)] for key in self.contents]
            of_row = table.c[self.history_owner] == before["id"]
            row = executor.execute(select(*wanted).where(of_row, table.c.version == to_version)).first()
            if row is None:
                raise NotFoundError(self.history_entity.__name__, (name, to_version))
            return dict(zip(self.contents, row, strict=True))

        return await self.rewrite(name, find, author, reason or f"Rolled back to version {to_version}")

    async def rewrite(
        self,
        name: str | int,
        compute: Callable[[Executor, Mapping[str, Any]], Mapping[str, Any]],
        author: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Row:
        """Change a row by a function of what it is; what is the same already is no change.

        Args:
            name: Its name or key.
            compute: Gets the unit of work and the row, which is locked, and returns the changes.
            author: Who changes the content.
            reason: Why.
            expected_version: Change only a row at this version.

        Raises:
            NotFoundError: There is no such row.
            ConflictError: It is at another version.
            ValidationError: The changes were refused.
        """

        def work(executor: Executor) -> dict[str, Any]:
            before = self.locked(executor, name)
            return self.rewritten(executor, before, compute(executor, before), author, reason, expected_version)

        return self.plans.hydrate.build(await self.run(work))

    def rewritten(
        self,
        executor: Executor,
        before: dict[str, Any],
        wanted: Mapping[str, Any],
        author: str | None,
        reason: str | None,
        expected_version: int | None = None,
    ) -> dict[str, Any]:
        """Change a row that is locked, inside a unit of work, and return it; what is the same already is no change."""
        changes = {key: value for key, value in wanted.items() if before[key] != value}
        if not changes and expected_version in {None, before["version"]}:
            return before
        if changes:
            changes = self.store.validator.change_values(changes)
            self.normalise(changes)
        if not changes.keys().isdisjoint(self.contents):
            changes["change_reason"] = reason
            if author is not None:
                changes["changed_by"] = author
        key = {"id": before["id"]}
        return self.store.change(executor, key, changes, expected_version=expected_version, check=self.check_change)

    def locked(self, executor: Executor, name: str | int) -> dict[str, Any]:
        """Read a row inside a unit of work and keep others from changing it.

        Raises:
            NotFoundError: There is none.
        """
        key: dict[str, Any] | None = {"id": name}
        if isinstance(name, str):
            key = self.store.find_key(executor, {self._identity_key: name_key(name)})
        row = None if key is None else self.store.get(executor, key, lock=True)
        if row is None:
            raise NotFoundError(self.store.name, name)
        return row

    # Reading.

    @cached_property
    def replaced(self) -> Manager[Old]:
        """The rows of the history."""
        manager: Manager[Old] = Manager(self._db, clock=self._clock)
        manager.entity = self.history_entity
        return manager

    async def history(self, name: str | int) -> builtins.list[Old]:
        """Return the rows of the history as they are stored, the oldest first: each with who replaced it and why.

        Raises:
            NotFoundError: There is no such row.
        """
        return await self.replaced.find(**{self.history_owner: await self.id_of(name)})

    async def id_of(self, name: str | int) -> int:
        """The key of a row.

        Raises:
            NotFoundError: There is no such row.
        """
        row: Any = await (self.get_by_id(name) if isinstance(name, int) else self.get_by_name(name))
        if row is None:
            raise NotFoundError(self.store.name, name)
        return int(row.id)

    async def get_by_name(self, name: str) -> Row | None:
        """Return the row of this name, whatever the case, or None; from the hot cache where that has it."""
        return await find_by_name(self._db, self.plans, name, self._identity_key)

    async def versions(self, name: str | int) -> builtins.list[Version]:
        """Return every version of a row, the oldest first; none when there is no such row."""
        statement = self._versions(name)
        return await self.read_versions(statement.order_by(statement.selected_columns.version))

    async def version(self, name: str | int, version: int) -> Version | None:
        """Return one version of a row, or None."""
        found = await self.read_versions(self.among_versions(name, lambda columns: columns.version == version))
        return found[0] if found else None

    async def as_of(self, name: str | int, at: datetime) -> Version | None:
        """Return the version that a row had at a moment; None when it was not there yet.

        Raises:
            ValidationError: The moment has no time zone.
        """
        moment = aware(at, "at")
        statement = self.among_versions(name, lambda columns: columns.written_at <= moment)
        found = await self.read_versions(statement.order_by(statement.selected_columns.version.desc()).limit(1))
        return found[0] if found else None

    def among_versions(self, name: str | int, condition: Callable[[Any], Any]) -> Select[Any]:
        """A statement for those versions of a row that fulfil a condition over their columns."""
        versions = self._versions(name).subquery("versions")
        return select(versions).where(condition(versions.c))

    async def read_versions(self, statement: Select[Any]) -> builtins.list[Version]:
        """Run a statement made of `among_versions`."""
        rows = await self._db.read(lambda executor: executor.execute(statement).mappings().all())
        names = {column: key for key in self.remembered if (column := self._column(key)) != key}
        return [self.version_type(**{names.get(key, key): value for key, value in row.items()}) for row in rows]

    def _versions(self, name: str | int) -> Select[Any]:
        """All versions of a row: the history, and the row itself."""
        row, old = self.plans.table, self._history
        wanted = self.named(name)
        ended = select(func.max(old.c.created_at)).where(old.c[self.history_owner] == row.c.id).scalar_subquery()
        common = [self._column(key) for key in self.remembered if key != self.identity]
        earlier = (
            select(row.c[self.identity], old.c.version, *(old.c[key] for key in common), old.c.changed_by)
            .add_columns(old.c.change_reason, func.coalesce(old.c.began_at, row.c.created_at, type_=UtcDateTime()))
            .add_columns(literal(value=False).label("is_current"), row.c.created_by)
            .select_from(old.join(row, old.c[self.history_owner] == row.c.id))
            .where(wanted)
        )
        current = (
            select(row.c[self.identity], row.c.version, *(row.c[key] for key in common), null(), null())
            .add_columns(func.coalesce(ended, row.c.created_at, type_=UtcDateTime()))
            .add_columns(literal(value=True), row.c.created_by)
            .where(wanted)
        )
        both = union_all(earlier, current).subquery("contents")
        names = ("version", *common, "replaced_by", "replaced_because", "written_at", "is_current", "maker")
        column: dict[str, Any] = dict(zip((self.identity, *names), both.c, strict=True))
        version = column["version"]
        author = func.lag(column["replaced_by"], type_=Text()).over(order_by=version)
        return select(
            *(column[key] for key in (self.identity, "version", *common)),
            case((version == 1, column["maker"]), else_=author).label("author"),
            func.lag(column["replaced_because"], type_=Text()).over(order_by=version).label("reason"),
            column["written_at"].label("written_at"),
            column["is_current"].label("is_current"),
        )

    def named(self, name: str | int) -> ColumnElement[bool]:
        """The condition that a row is the one of this name or key."""
        columns = self.plans.columns
        if isinstance(name, int):
            return equals(self.plans, "id", name)
        condition: ColumnElement[bool] = columns[self._identity_key] == name_key(name)
        return condition

    @property
    def _identity_key(self) -> str:
        return f"{self.identity}_key"

    @property
    def _history(self) -> Any:
        return self.history_entity.metadata.tables[str(self.history_entity.__tablename__)]

    def _column(self, key: str) -> str:
        return str(self.plans.columns[key].name)
