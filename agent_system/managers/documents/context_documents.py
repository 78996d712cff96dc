"""Context documents: what agents are given to read, and every version that it had."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from sqlalchemy import case

from agent_system.errors import NotFoundError
from agent_system.managers.core.asking import DEFAULT_HITS, Asked
from agent_system.managers.core.audit import current_audit_context
from agent_system.managers.core.base import Manager
from agent_system.managers.core.json_edits import has_item, with_items, without_items
from agent_system.managers.core.searching import RowSearch
from agent_system.managers.core.store import differing
from agent_system.managers.core.where import equals
from agent_system.managers.documents.document_filters import DocumentFilter
from agent_system.managers.documents.document_versions import DocumentVersionManager
from agent_system.models import ContextDocument, DocumentVersion
from agent_system.models.naming import name_key
from agent_system.search.index import CONTEXT_DOCUMENTS
from agent_system.search.text import extra_terms, plain_text
from agent_system.types import EntityType, LifecycleStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.documents.document_filters import DocumentFilters
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.hits import Hits

T = TypeVar("T")

__all__ = ["ContextDocumentManager"]

# What a clone takes from its original.
CLONED = ("user_id", "title", "content", "format", "category", "tags", "access_level", "meta")


INDEXED = frozenset({"name", "title", "content", "tags"})


class ContextDocumentManager(Manager[ContextDocument]):
    """Context documents: what agents are given to read.

    The content of a new document is its version 1; every change of the content writes the next version with it.

    Example:
        >>> document = await em.context_documents.create({"name": "rules", "content": "Be brief."})
        >>> await em.context_documents.update_content(document.id, "Be kind.", author="ada", reason="tone")
        >>> await em.context_documents.restore_version(document.id, 1)
    """

    entity = ContextDocument
    embedder: Embedder | None = None
    """What makes the vectors of new texts, and of those that are searched for; None: nothing does."""
    audited = EntityType.CONTEXT_DOCUMENT
    kept = frozenset({"content_version", "extra_terms"})

    @cached_property
    def _versions(self) -> DocumentVersionManager:
        return DocumentVersionManager(self._db, clock=self._clock)

    # Writing.

    async def run(self, work: Work[T], values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()) -> T:
        """Run a writing unit of work, with the vectors of its texts where there is an embedder; see `Manager.run`."""
        return await self.index.vectors.run(super().run, work, values, self.embedder)

    def fill_in(self, values: dict[str, Any]) -> None:
        """Take the author from the context when nobody says who it is, and say what the index would not find."""
        if values["updated_by"] is None:
            values["updated_by"] = current_audit_context().actor
        values["extra_terms"] = _extra_terms(values)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """Write the document and its first version."""
        insert = super().insertion(values, audit=audit)
        write_version = self._versions.prepare(values)

        def write(executor: Executor) -> None:
            insert(executor)
            write_version(executor)

        return write

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Write the next version when the content changes."""
        self._write_version(executor, before, changes)

    def _write_version(
        self, executor: Executor, before: dict[str, Any], changes: dict[str, Any], reason: str | None = None
    ) -> None:
        if not INDEXED.isdisjoint(changes):
            changes.update(differing(before, extra_terms=_extra_terms({**before, **changes})))
        if changes.get("content", before["content"]) == before["content"]:
            return
        changes.setdefault("updated_by", current_audit_context().actor)
        changes["content_version"] = before["content_version"] + 1
        self._versions.prepare(before | changes, reason)(executor)

    async def update_content(
        self,
        id: UUID,  # noqa: A002
        content: str,
        author: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> ContextDocument:
        """Change the content and keep the old one as a version; the same text again changes nothing.

        Args:
            id: Key of the document.
            content: The whole new text.
            author: Who wrote it; None takes the actor of the events' context.
            reason: Why, for the readers of the versions.
            expected_version: Write only if the row is still at this version.

        Raises:
            NotFoundError: There is no such document.
            ConflictError: It is at another version.
        """
        return await self._rewrite(id, lambda _: {"content": content}, author, reason, expected_version)

    async def restore_version(
        self,
        id: UUID,  # noqa: A002
        version: int,
        author: str | None = None,
        reason: str | None = None,
    ) -> ContextDocument:
        """Give the document the title and the content of an earlier version, as a version of its own.

        Raises:
            NotFoundError: There is no such document or version.
        """

        def find(executor: Executor) -> dict[str, Any]:
            found = self._versions.read(executor, id, version)
            return {"title": found["title"], "content": found["content"]}

        return await self._rewrite(id, find, author, reason or f"version {version} restored")

    async def _rewrite(
        self,
        id_: UUID,
        find: Callable[[Executor], dict[str, Any]],
        author: str | None,
        reason: str | None,
        expected_version: int | None = None,
    ) -> ContextDocument:
        key = self.store.keys.existing(id_)
        author = author if author is not None else current_audit_context().actor
        check = partial(self._write_version, reason=reason)

        def work(executor: Executor) -> dict[str, Any]:
            before = self.store.get(executor, key, lock=True)
            if before is None:
                raise NotFoundError(self.store.name, id_)
            changes = self.store.validator.change_values(find(executor))
            is_same = all(before[name] == value for name, value in changes.items())
            if is_same and expected_version in {None, before["version"]}:
                return before
            changes["updated_by"] = author
            return self.store.change(executor, key, changes, expected_version=expected_version, check=check)

        return self.plans.hydrate.build(await self.run(work))

    async def add_tag(self, id: UUID, *tags: str) -> ContextDocument:  # noqa: A002
        """Give the document tags; one that it has already stays as it is."""
        return await self.revise(id, lambda row: differing(row, tags=with_items(row, "tags", tags)))

    async def remove_tag(self, id: UUID, *tags: str) -> ContextDocument:  # noqa: A002
        """Take tags from the document; one that it does not have is no error."""
        return await self.revise(id, lambda row: differing(row, tags=without_items(row, "tags", tags)))

    async def archive(self, id: UUID) -> ContextDocument:  # noqa: A002
        """Put the document out of use; the `find_by_...` verbs leave it out."""
        return await self.revise(id, lambda row: differing(row, status=LifecycleStatus.ARCHIVED))

    async def restore(self, id: UUID) -> ContextDocument:  # noqa: A002
        """Put an archived document to use again; one that is not archived stays as it is."""
        archived = LifecycleStatus.ARCHIVED
        return await self.revise(
            id, lambda row: {"status": LifecycleStatus.ACTIVE} if row["status"] == archived else {}
        )

    async def clone(self, id: UUID, name: str, **changes: Any) -> ContextDocument:  # noqa: A002
        """Make a document of the same content, whose parent is the original.

        Args:
            id: Key of the original.
            name: Name of the clone.
            changes: Columns in which it is to differ.

        Raises:
            NotFoundError: There is no such document.
            ValidationError: The changes were refused.
        """
        key = self.store.keys.existing(id)

        def work(executor: Executor) -> dict[str, Any]:
            original = self.store.get(executor, key, lock=True)
            if original is None:
                raise NotFoundError(self.store.name, id)
            taken = {column: original[column] for column in CLONED}
            values = self.new_values({**taken, "parent_document_id": original["id"], "name": name, **changes})
            self.insertion(values)(executor)
            return values

        return self.plans.hydrate.build(await self.run(work))

    # Reading.

    async def search(
        self,
        text: str,
        limit: int = DEFAULT_HITS,
        after: str | None = None,
        mode: str = "auto",
        *,
        weights: Mapping[str, float] | None = None,
        embedder: Embedder | None = None,
        **filters: Unpack[DocumentFilters],
    ) -> Hits[ContextDocument]:
        """Find documents by their words, their meaning or both, the best first.

        What the text may have, and what the arguments mean, tells `MemoryRecall.search`.
        Archived ones are left out unless the status is asked for.

        Raises:
            ValidationError: A filter or the mode is unknown, the limit is below 1, or there is no embedder.
            CursorError: The cursor belongs to another search.
            EmbeddingError: The embedder failed, and the mode insists on it.
        """
        wanted = DocumentFilter(self.plans, filters)
        used = embedder if embedder is not None else self.embedder
        asked = Asked(text=text, limit=limit, after=after, mode=mode, weights=weights, embedder=used)
        return await self.index.hits(asked, wanted, filters)

    @cached_property
    def index(self) -> RowSearch[ContextDocument]:
        """The index, for its care: `rebuild`, `optimise`, `find_damage`."""
        return RowSearch(self, self._db, CONTEXT_DOCUMENTS, self._clock)

    async def versions(self, id: UUID) -> builtins.list[DocumentVersion]:  # noqa: A002
        """Return all versions of the document's content, the oldest first."""
        return await self._versions.of(id)

    async def version(self, id: UUID, version: int) -> DocumentVersion | None:  # noqa: A002
        """Return one version of the document's content, or None."""
        return await self._versions.find_one(document_id=id, version=version)

    async def get_by_name(self, name: str, user_id: UUID | None = None) -> ContextDocument | None:
        """Return the document of this name, whatever the case, or None; of several, the newest that is in use.

        Args:
            name: Its name.
            user_id: Its owner; None is the documents that all share.
        """
        return (await self.get_by_names([name], user_id)).get(name)

    async def get_by_names(self, names: Iterable[str], user_id: UUID | None = None) -> dict[str, ContextDocument]:
        """Return the documents of these names by name, in the order of the names; names without one are left out."""
        wanted = {name: name_key(name) for name in names}
        columns = self.plans.columns
        archived_first = case((columns["status"] == LifecycleStatus.ARCHIVED, 0), else_=1)
        statement = self.query().where(
            columns["name_key"].in_(set(wanted.values())), equals(self.plans, "user_id", user_id)
        )
        # The best of a name comes last and stays.
        best = {row.name_key: row for row in await self.select(statement.order_by(archived_first, columns["id"]))}
        return {name: best[key] for name, key in wanted.items() if key in best}

    async def find_by_category(
        self, category: str, *, include_archived: bool = False
    ) -> builtins.list[ContextDocument]:
        """Return the documents of a category, by name."""
        return await self._find(self.plans.columns["category"] == category, include_archived=include_archived)

    async def find_by_format(
        self,
        content_format: str,
        *,
        include_archived: bool = False,
    ) -> builtins.list[ContextDocument]:
        """Return the documents of a format, by name."""
        return await self._find(self.plans.columns["format"] == content_format, include_archived=include_archived)

    async def find_by_tag(self, tag: str, *, include_archived: bool = False) -> builtins.list[ContextDocument]:
        """Return the documents that have a tag, by name."""
        return await self._find(has_item(self.plans.columns["tags"], tag), include_archived=include_archived)

    async def children(self, id: UUID, *, include_archived: bool = False) -> builtins.list[ContextDocument]:  # noqa: A002
        """Return the parts and the clones of a document, by name."""
        return await self._find(self.plans.columns["parent_document_id"] == id, include_archived=include_archived)

    async def _find(self, condition: ColumnElement[bool], *, include_archived: bool) -> builtins.list[ContextDocument]:
        columns = self.plans.columns
        statement = self.query().where(condition)
        if not include_archived:
            statement = statement.where(columns["status"] != LifecycleStatus.ARCHIVED)
        return await self.select(statement.order_by(columns["name_key"], columns["id"]))


def _extra_terms(values: Mapping[str, Any]) -> str | None:
    return extra_terms(*(plain_text(values[key]) for key in CONTEXT_DOCUMENTS.weights))
