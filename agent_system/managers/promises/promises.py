"""Promises: what agents said they would do."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.managers.core.base import Manager
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.models import Promise

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.executor import Executor
    from agent_system.managers.users.identity_writer import IdentityWriter

__all__ = ["PromiseManager"]


class PromiseManager(Manager[Promise]):
    """Promises: what agents said they would do."""

    entity = Promise

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a new promise, and the identity of its user unless it is there."""
        insert = super().insertion(values, audit=audit)
        user_id = values["user_id"]
        if user_id is None:
            return insert

        def insert_with_user(executor: Executor) -> None:
            self._identities.ensure(executor, user_id)
            insert(executor)

        return insert_with_user
