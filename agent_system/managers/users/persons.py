"""Which identities are one person: resolved here for whoever writes under an identity and whoever reads by one.

What somebody said in one place is to be found in another. So a row keeps the identity under which it was written, and a
reader who names one identity gets the rows of all identities that are linked with the same account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import bindparam, select

from agent_system.database.plans import compile_plan
from agent_system.errors import ValidationError
from agent_system.managers.core.filters import one_of
from agent_system.models import metadata
from agent_system.models.codec import decode_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Dialect

    from agent_system.database.executor import Lookup

__all__ = ["PersonLookup", "identity_id"]


def identity_id(user_id: Any, field: str = "user_id") -> str:
    """The id of the identity that a caller means: any text, or the key of an account, whose identity has it as text.

    Raises:
        ValidationError: It is neither.
    """
    if isinstance(user_id, UUID):
        return str(user_id)
    if isinstance(user_id, str):
        return user_id
    message = f"{field}: {user_id!r} is neither the id of an identity nor the key of a user"
    raise ValidationError(message, field=field)


class PersonLookup:
    """Finds the identities of one person by index: one lookup, and one more when the identity is linked."""

    def __init__(self, dialect: Dialect) -> None:
        columns = metadata.tables["user_identities"].c
        # Two statements, because a join would make SQLite scan the table where most identities are not linked.
        own = select(columns.user_id).where(columns.id == bindparam("id", type_=columns.id.type))
        linked = select(columns.id).where(columns.user_id == bindparam("user_id", type_=columns.user_id.type))
        self._own = compile_plan(own, dialect)
        self._linked = compile_plan(linked, dialect)

    def conditions(self, executor: Lookup, column: Any, filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        """The condition that a row belongs to the person whom a filter `user_id` names; none without that filter.

        Raises:
            ValidationError: It names neither an identity nor a user.
        """
        if "user_id" not in filters:
            return []
        if filters["user_id"] is None:
            return [column.is_(None)]
        return [one_of(column, self.ids(executor, filters["user_id"]))]

    def ids(self, executor: Lookup, user_id: Any) -> list[str]:
        """The ids of all identities of the person who has this one; itself when it is not linked, or not there.

        Raises:
            ValidationError: It is neither the id of an identity nor the key of a user.
        """
        own = identity_id(user_id)
        rows = executor.fetch(self._own, self._own.encode({"id": own}))
        if not rows or rows[0][0] is None:
            return [own]
        # The key as the driver gave it is one that it takes.
        return sorted(decode_text(row[0]) for row in executor.fetch(self._linked, (rows[0][0],)))
