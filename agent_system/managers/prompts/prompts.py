"""Prompts: what models are told, in every version that it ever had."""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.errors import NotFoundError
from agent_system.managers.core.moments import aware
from agent_system.managers.core.templates import fill_in
from agent_system.managers.core.versioned import VersionedManager
from agent_system.managers.prompts.prompt_labels import PromptLabelManager, checked_label
from agent_system.managers.prompts.prompt_versions import PromptCategory, PromptVersion
from agent_system.models import Prompt, PromptHistory

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.models import PromptLabel, PromptLabelMove

__all__ = ["PromptManager"]


class PromptManager(VersionedManager[Prompt, PromptVersion, PromptHistory]):
    """Prompts: what models are told. Names are unique, whatever the case.

    Triggers count the contents and keep each that was replaced, with who replaced it and why, whatever program writes.

    Example:
        >>> await em.prompts.create({"name": "greeting", "content": "Hello {{name}}!", "created_by": "ada"})
        >>> await em.prompts.update_content("greeting", "Hi {{name}}!", author="grace", reason="shorter")
        >>> await em.prompts.set_label("greeting", "production", 1, by="ada", why="tested")
        >>> await em.prompts.render("greeting", {"name": "Linus"}, label="production")
        'Hello Linus!'
    """

    entity = Prompt
    hot_name = "name_key"
    history_entity = PromptHistory
    history_owner = "prompt_id"
    contents = ("content",)
    remembered = ("content", "description", "category", "meta")
    version_type = PromptVersion

    @cached_property
    def _labels(self) -> PromptLabelManager:
        return PromptLabelManager(self._db, clock=self._clock)

    # Contents.

    async def update_content(
        self,
        name: str | int,
        content: str,
        author: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Prompt:
        """Change the content; the same text again changes nothing.

        Args:
            name: Name or key of the prompt.
            content: The whole new text.
            author: Who wrote it; None is the actor of the events' context, and `system` when there is none.
            reason: Why; None is written down as `Content updated`.
            expected_version: Change only a prompt at this version.

        Raises:
            NotFoundError: There is no such prompt.
            ConflictError: It is at another version.
        """
        return await self.rewrite(name, lambda *_: {"content": content}, author, reason, expected_version)

    async def ensure(self, name: str, content: str, **fields: Any) -> Prompt:
        """Return the prompt of this name, made if it is not there; one that is there stays as it is.

        Args:
            name: Its name.
            content: The content of a new one.
            fields: Other columns of a new one.
        """
        found = await self.get_by_name(name)
        if found is not None:
            return found
        values = self.new_values({"name": name, "content": content, **fields})
        insert = self.insertion(values)

        def work(executor: Executor) -> dict[str, Any]:
            key = self.store.find_key(executor, {"name_key": values["name_key"]})
            if key is None:
                insert(executor)
                return values
            return self.store.get(executor, key) or values

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def diff(self, name: str | int, first: int, second: int | None = None) -> str:
        """Return what changed between two versions, as a unified diff; empty when nothing did.

        Args:
            name: Name or key of the prompt.
            first: The version before.
            second: The version after; None is the present one.

        Raises:
            NotFoundError: There is no such prompt or version.
        """
        versions = {each.version: each for each in await self.versions(name)}
        last = max(versions, default=0) if second is None else second
        for wanted in (first, last):
            if wanted not in versions:
                raise NotFoundError(self.store.name, (name, wanted))
        before, after = versions[first], versions[last]
        lines = difflib.unified_diff(
            before.content.splitlines(),
            after.content.splitlines(),
            f"{before.name} v{first}",
            f"{after.name} v{last}",
            lineterm="",
        )
        return "\n".join(lines)

    # Finding and using.

    async def render(
        self,
        name: str,
        variables: Mapping[str, Any] | None = None,
        *,
        label: str | None = None,
        keep_missing: bool = False,
    ) -> str:
        """Return a prompt's content with values for its `{{name}}`s: a lookup in the hot cache, or one statement.

        Args:
            name: Name of the prompt.
            variables: What to put in; see `fill_in`.
            label: Take the version that this label points at; None takes the present one.
            keep_missing: Whether a placeholder without a value stays; otherwise it is an error.

        Raises:
            NotFoundError: There is no such prompt or label, or the prompt is not in use.
            ValidationError: There is no value for a placeholder.
        """
        content: str | None
        if label is None:
            prompt = await self.get_by_name(name)
            content = prompt.content if prompt is not None and prompt.is_active else None
        else:
            version = await self.by_label(name, label)
            content = None if version is None else version.content
        if content is None:
            message = f"there is no prompt {name!r} in use" + (f" with the label {label!r}" if label else "")
            raise NotFoundError(self.store.name, name, message)
        return fill_in(content, variables or {}, keep_missing=keep_missing)

    @staticmethod
    def render_text(text: str, variables: Mapping[str, Any], *, keep_missing: bool = False) -> str:
        """Return a text of the caller's own with values for its `{{name}}`s; see `fill_in`."""
        return fill_in(text, variables, keep_missing=keep_missing)

    async def activate(self, name: str | int) -> Prompt:
        """Put a prompt to use."""
        return await self.rewrite(name, lambda *_: {"is_active": True})

    async def deactivate(self, name: str | int) -> Prompt:
        """Put a prompt out of use; `render` refuses it, `get_by_name` still finds it."""
        return await self.rewrite(name, lambda *_: {"is_active": False})

    async def list_active(
        self, category: str | None = None, limit: int = 100, after: str | None = None
    ) -> Page[Prompt]:
        """Return one page of the prompts that are in use, of all categories or of one, by name."""
        where: dict[str, Any] = {"is_active": True} | ({} if category is None else {"category": category})
        return await self.list(where, order_by="name", limit=limit, after=after)

    async def categories(self) -> builtins.list[PromptCategory]:
        """Count the prompts of each category, by name of the category."""
        columns = self.plans.columns
        category, count = columns["category"], func.count()
        statement = self.query().with_only_columns(category, count, count.filter(columns["is_active"].is_(True)))
        statement = statement.group_by(category).order_by(category)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [PromptCategory(category=name, prompts=prompts, active=active) for name, prompts, active in rows]

    # Labels.

    async def set_label(
        self,
        name: str | int,
        label: str,
        version: int | None = None,
        by: str | None = None,
        why: str | None = None,
    ) -> PromptLabel:
        """Point a label at a version; where it points there already, nothing is written.

        Args:
            name: Name or key of the prompt.
            label: The label, such as `production`; made if it is not there.
            version: The version; None is the present one.
            by: Who moves it; None is the actor of the events' context, and `system` when there is none.
            why: Why.

        Raises:
            NotFoundError: There is no such prompt or version.
            PermissionDeniedError: The label is protected and points elsewhere.
            ValidationError: The label is blank.
        """
        wanted = checked_label(label)

        def work(executor: Executor) -> dict[str, Any]:
            prompt = self.locked(executor, name)
            return self._labels.point(executor, prompt, wanted, version or prompt["version"], by, why)

        return self._labels.plans.hydrate.build(await self.run(work))

    async def undo_label(
        self, name: str | int, label: str, by: str | None = None, why: str | None = None
    ) -> PromptLabel | None:
        """Point a label at where it pointed before its last move, as a move of its own; None when it was nowhere.

        Raises:
            NotFoundError: There is no such prompt, or the label was never moved.
            PermissionDeniedError: The label is protected.
        """

        def work(executor: Executor) -> dict[str, Any] | None:
            return self._labels.undo(executor, self.locked(executor, name), checked_label(label), by, why)

        values = await self.run(work)
        return None if values is None else self._labels.plans.hydrate.build(values)

    async def remove_label(self, name: str | int, label: str, by: str | None = None, why: str | None = None) -> bool:
        """Take a label away; False when the prompt has none of this name.

        Raises:
            NotFoundError: There is no such prompt.
            PermissionDeniedError: The label is protected.
        """

        def work(executor: Executor) -> bool:
            return self._labels.take_away(executor, self.locked(executor, name), checked_label(label), by, why)

        return await self.run(work)

    async def protect_label(self, name: str | int, label: str) -> PromptLabel:
        """Keep a label where it is: it is neither moved nor taken away before it is released.

        Raises:
            NotFoundError: There is no such prompt or label.
        """
        return await self._set_protected(name, label, is_protected=True)

    async def release_label(self, name: str | int, label: str) -> PromptLabel:
        """Let a protected label be moved again.

        Raises:
            NotFoundError: There is no such prompt or label.
        """
        return await self._set_protected(name, label, is_protected=False)

    async def _set_protected(self, name: str | int, label: str, *, is_protected: bool) -> PromptLabel:
        wanted = checked_label(label)

        def work(executor: Executor) -> dict[str, Any]:
            return self._labels.protect(executor, self.locked(executor, name), wanted, is_protected=is_protected)

        return self._labels.plans.hydrate.build(await self.run(work))

    async def by_label(self, name: str | int, label: str, at: datetime | None = None) -> PromptVersion | None:
        """Return the version that a label points at, or None; one statement.

        Args:
            name: Name or key of the prompt.
            label: The label.
            at: The moment at which it points there; None is now.

        Raises:
            ValidationError: The moment has no time zone.
        """
        moment = None if at is None else aware(at, "at")
        prompt_id = select(self.plans.columns["id"]).where(self.named(name)).scalar_subquery()
        pointed = self._labels.version_at(prompt_id, checked_label(label), moment)
        found = await self.read_versions(self.among_versions(name, lambda columns: columns.version == pointed))
        return found[0] if found else None

    async def labels(self, name: str | int) -> builtins.list[PromptLabel]:
        """Return the labels of a prompt, by label."""
        return await self._labels.of(await self.id_of(name))

    async def label_moves(self, name: str | int, label: str | None = None) -> builtins.list[PromptLabelMove]:
        """Return the moves of a prompt's labels, or of one, the oldest first: who, when, why, from and to."""
        return await self._labels.moves(await self.id_of(name), label)
