"""Labels: names for versions of prompts, and who moved them when and why."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from agent_system.errors import NotFoundError, PermissionDeniedError, ValidationError
from agent_system.managers.core.audit import current_audit_context
from agent_system.managers.core.base import Manager
from agent_system.models import PromptHistory, PromptLabel, PromptLabelMove, metadata
from agent_system.models.kept_histories import SYSTEM

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ScalarSelect

    from agent_system.database.executor import Executor

__all__ = ["PromptLabelManager", "checked_label"]


class _MoveManager(Manager[PromptLabelMove]):
    entity = PromptLabelMove


class PromptLabelManager(Manager[PromptLabel]):
    """The labels of prompts, as the manager of the prompts writes and reads them.

    The prompt is locked while a label of it is moved, so that the moves of a label are a chain.
    """

    entity = PromptLabel

    @cached_property
    def _moves(self) -> _MoveManager:
        return _MoveManager(self._db, clock=self._clock)

    def point(
        self, executor: Executor, prompt: Mapping[str, Any], label: str, version: int, by: str | None, why: str | None
    ) -> dict[str, Any]:
        """Point a label at a version of a locked prompt.

        Raises:
            NotFoundError: The prompt has no such version.
            PermissionDeniedError: The label is protected.
        """
        self._check_version(executor, prompt, version)
        found = self._find(executor, prompt, label)
        if found is None:
            values = self.new_values({"prompt_id": prompt["id"], "label": label, "prompt_version": version})
            self.insertion(values)(executor)
            self._write_move(executor, prompt, label, None, version, by, why)
            return values
        if found["prompt_version"] == version:
            return found
        _refuse_protected(found)
        self._write_move(executor, prompt, label, found["prompt_version"], version, by, why)
        return self.store.change(executor, {"id": found["id"]}, {"prompt_version": version})

    def take_away(
        self, executor: Executor, prompt: Mapping[str, Any], label: str, by: str | None, why: str | None
    ) -> bool:
        """Remove a label of a locked prompt; False when it has none of this name.

        Raises:
            PermissionDeniedError: The label is protected.
        """
        found = self._find(executor, prompt, label)
        if found is None:
            return False
        _refuse_protected(found)
        self._write_move(executor, prompt, label, found["prompt_version"], None, by, why)
        return self.store.remove(executor, {"id": found["id"]})

    def protect(
        self, executor: Executor, prompt: Mapping[str, Any], label: str, *, is_protected: bool
    ) -> dict[str, Any]:
        """Keep a label of a locked prompt where it is, or release it.

        Raises:
            NotFoundError: The prompt has no such label.
        """
        found = self._find(executor, prompt, label)
        if found is None:
            raise NotFoundError(self.store.name, (prompt["name"], label))
        if found["is_protected"] == is_protected:
            return found
        return self.store.change(executor, {"id": found["id"]}, {"is_protected": is_protected})

    def undo(
        self, executor: Executor, prompt: Mapping[str, Any], label: str, by: str | None, why: str | None
    ) -> dict[str, Any] | None:
        """Point a label of a locked prompt at where it pointed before its last move; None when it was nowhere.

        Raises:
            NotFoundError: The label was never moved.
            PermissionDeniedError: The label is protected.
        """
        table = self._moves.plans.table
        last = select(table.c.from_version).where(table.c.prompt_id == prompt["id"], table.c.label == label)
        row = executor.execute(last.order_by(table.c.id.desc()).limit(1)).first()
        if row is None:
            raise NotFoundError(self.store.name, (prompt["name"], label))
        if row[0] is None:
            self.take_away(executor, prompt, label, by, why)
            return None
        return self.point(executor, prompt, label, row[0], by, why)

    async def of(self, prompt_id: int) -> builtins.list[PromptLabel]:
        """Return the labels of a prompt, by name."""
        columns = self.plans.columns
        return await self.select(self.query({"prompt_id": prompt_id}).order_by(columns["label"]))

    async def moves(self, prompt_id: int, label: str | None = None) -> builtins.list[PromptLabelMove]:
        """Return the moves of a prompt's labels, or of one, the oldest first."""
        return await self._moves.find(prompt_id=prompt_id, **({} if label is None else {"label": label}))

    def version_at(self, prompt_id: Any, label: str, at: datetime | None) -> ScalarSelect[Any]:
        """The expression for where a label of a prompt points, now or at a moment."""
        table = metadata.tables["prompt_labels" if at is None else "prompt_label_moves"]
        mine = (table.c.prompt_id == prompt_id, table.c.label == label)
        if at is None:
            return select(table.c.prompt_version).where(*mine).scalar_subquery()
        moves = select(table.c.to_version).where(*mine, table.c.created_at <= at)
        return moves.order_by(table.c.id.desc()).limit(1).scalar_subquery()

    def _find(self, executor: Executor, prompt: Mapping[str, Any], label: str) -> dict[str, Any] | None:
        key = self.store.find_key(executor, {"prompt_id": prompt["id"], "label": label})
        return None if key is None else self.store.get(executor, key)

    def _check_version(self, executor: Executor, prompt: Mapping[str, Any], version: int) -> None:
        if version == prompt["version"]:
            return
        table = metadata.tables["prompt_history"]
        statement = select(table.c.id).where(table.c.prompt_id == prompt["id"], table.c.version == version)
        if executor.execute(statement).first() is None:
            raise NotFoundError(PromptHistory.__name__, (prompt["name"], version))

    def _write_move(
        self,
        executor: Executor,
        prompt: Mapping[str, Any],
        label: str,
        start: int | None,
        end: int | None,
        by: str | None,
        why: str | None,
    ) -> None:
        data = {
            "prompt_id": prompt["id"],
            "label": label,
            "from_version": start,
            "to_version": end,
            "moved_by": by or current_audit_context().actor or SYSTEM,
            "reason": why,
        }
        self._moves.insertion(self._moves.new_values(data))(executor)


def _refuse_protected(label: Mapping[str, Any]) -> None:
    if label["is_protected"]:
        message = f"the label {label['label']!r} is protected: release_label() it first"
        raise PermissionDeniedError(message)


def checked_label(label: str) -> str:
    """The label without blanks around it.

    Raises:
        ValidationError: Nothing is left of it.
    """
    stripped = label.strip()
    if not stripped:
        message = "a label is not blank"
        raise ValidationError(message, field="label")
    return stripped
