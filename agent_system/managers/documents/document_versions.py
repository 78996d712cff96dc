"""The versions of a document's content: written with every change of it, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.errors import NotFoundError
from agent_system.managers.core.base import Manager
from agent_system.models import DocumentVersion

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from agent_system.database.executor import Executor

__all__ = ["DocumentVersionManager"]


class DocumentVersionManager(Manager[DocumentVersion]):
    """The versions of documents, as the manager of the documents writes and reads them."""

    entity = DocumentVersion

    def prepare(self, document: Mapping[str, Any], reason: str | None = None) -> Callable[[Executor], None]:
        """What writes the version that a document is at."""
        values = self.new_values(
            {
                "document_id": document["id"],
                "version": document["content_version"],
                "title": document["title"],
                "content": document["content"],
                "author": document["updated_by"],
                "reason": reason,
            }
        )
        return self.insertion(values)

    def read(self, executor: Executor, document_id: UUID, version: int) -> dict[str, Any]:
        """Read one version in a unit of work.

        Raises:
            NotFoundError: There is none.
        """
        key = self.store.find_key(executor, {"document_id": document_id, "version": version})
        values = None if key is None else self.store.get(executor, key)
        if values is None:
            raise NotFoundError(self.store.name, (document_id, version))
        return values

    async def of(self, document_id: UUID) -> builtins.list[DocumentVersion]:
        """Return all versions of a document, the oldest first."""
        columns = self.plans.columns
        statement = self.query().where(columns["document_id"] == document_id)
        return await self.select(statement.order_by(columns["version"]))
