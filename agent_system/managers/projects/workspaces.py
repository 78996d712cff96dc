"""Workspaces: where projects live; each owner has one default, held by a partial unique index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal, select

from agent_system.database.dialects.expressions import transaction_lock
from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.where import equals
from agent_system.models import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from sqlalchemy import Select

    from agent_system.database.executor import Executor, Work

__all__ = ["WorkspaceManager"]


class WorkspaceManager(Manager[Workspace]):
    """Workspaces: where projects live.

    An owner's first workspace is the default; another one becomes it by `set_default`, and when the default is deleted
    the oldest of the others takes its place. Workspaces without an owner have a default in common.
    """

    entity = Workspace
    fixed = frozenset({"user_id"})

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """Write the workspace; the first one of its owner is the default, and a new default replaces the old one."""
        wanted = values["is_default"]
        insert = self.store.prepare_insert(values, audit=audit, late=("is_default",))

        def write(executor: Executor) -> None:
            default = self._lock_default(executor, values["user_id"])
            values["is_default"] = wanted or default is None
            if default is not None and wanted:
                self.store.change(executor, default, {"is_default": False})
            insert(executor)

        return write

    def removal(self, key: Mapping[str, Any]) -> Work[bool]:
        """Delete the workspace; the oldest of the others follows a default."""

        def work(executor: Executor) -> bool:
            found = self.store.get(executor, key)
            if found is None:
                return False
            self._lock_default(executor, found["user_id"])
            removed = self.store.remove(executor, key)
            if removed and self._default_key(executor, found["user_id"]) is None:
                oldest = self._first_key(executor, self._of_owner(found["user_id"]))
                if oldest is not None:
                    self.store.change(executor, oldest, {"is_default": True})
            return removed

        return work

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let a new default replace the old one.

        Raises:
            ValidationError: The default would be lost.
        """
        wanted = changes.get("is_default", before["is_default"])
        if wanted == before["is_default"]:
            return
        if not wanted:
            message = "workspaces.is_default: an owner always has a default; make another one it with set_default()"
            raise ValidationError(message, field="is_default", entity=self.store.name)
        default = self._lock_default(executor, before["user_id"])
        if default is not None:
            self.store.change(executor, default, {"is_default": False})

    async def get_default(self, user_id: UUID | None = None) -> Workspace | None:
        """Return the default workspace of an owner, or the shared one; None when there is no workspace."""
        return await self.find_one(user_id=user_id, is_default=True)

    async def set_default(self, id: UUID) -> Workspace:  # noqa: A002
        """Make a workspace its owner's default, in place of the one that is it.

        Raises:
            NotFoundError: There is no such workspace.
        """
        return await self.revise(id, lambda before: {} if before["is_default"] else {"is_default": True})

    def _lock_default(self, executor: Executor, user_id: UUID | None) -> dict[str, Any] | None:
        """Keep others from changing this owner's default, and return its key."""
        executor.execute(select(transaction_lock(literal(f"workspaces.is_default:{user_id}"))))
        return self._default_key(executor, user_id)

    def _default_key(self, executor: Executor, user_id: UUID | None) -> dict[str, Any] | None:
        return self._first_key(executor, self._of_owner(user_id).where(self.plans.columns["is_default"]))

    def _of_owner(self, user_id: UUID | None) -> Select[Any]:
        key = self.plans.columns["id"]
        return select(key).where(equals(self.plans, "user_id", user_id)).order_by(key)

    def _first_key(self, executor: Executor, statement: Select[Any]) -> dict[str, Any] | None:
        found = executor.execute(statement.limit(1)).scalar()
        return None if found is None else {"id": found}
