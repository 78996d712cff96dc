"""Config: typed settings, and every value that they ever had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, or_, select, update

from agent_system.errors import ValidationError
from agent_system.managers.configuration.values import checked_type, read_text, to_text
from agent_system.managers.core.audit import current_audit_context
from agent_system.managers.core.json_edits import merged
from agent_system.managers.core.moments import aware
from agent_system.managers.core.templates import fill_in, placeholders
from agent_system.managers.core.versioned import VersionedManager
from agent_system.models import Config, ConfigHistory
from agent_system.models.kept_histories import SYSTEM
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor, Work
    from agent_system.types import ConfigType

__all__ = ["ConfigManager", "ConfigVersion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigVersion:
    """A setting as it was, or is."""

    config_key: str
    version: int
    config_value: str
    """The value as text."""
    value_type: ConfigType
    notes: str | None
    author: str | None
    """Who wrote the value; None when nobody said."""
    reason: str | None
    """Why it was written; None for the first one."""
    written_at: datetime
    """When it was written, in UTC."""
    is_current: bool
    """Whether it is the value now."""

    @property
    def value(self) -> Any:
        """The value; the bare text where that is none of the type."""
        return _value(self.config_value, self.value_type)


class ConfigManager(VersionedManager[Config, ConfigVersion, ConfigHistory]):
    """Config: typed settings. Keys are unique, whatever the case.

    Triggers count the values and keep each that was replaced or deleted, whatever program writes.

    Example:
        >>> await em.config.set("timeout_seconds", 30, author="ada", reason="slow provider")
        >>> await em.config.get("timeout_seconds", 10)
        30
        >>> await em.config.substitute("We wait {{timeout_seconds}} seconds.")
        'We wait 30 seconds.'
    """

    entity = Config
    hot_name = "config_key_key"
    history_entity = ConfigHistory
    history_owner = "config_id"
    identity = "config_key"
    contents = ("config_value", "value_type")
    remembered = ("config_key", "config_value", "value_type", "notes")
    version_type = ConfigVersion

    # Values.

    async def get(self, key: str, default: Any = None, kind: ConfigType | str | None = None) -> Any:
        """Return the value of a setting: a lookup in the hot cache, or one statement.

        Args:
            key: Its key.
            default: What to return when there is no such setting.
            kind: What the value has to be read as; None is what it was set as.

        Raises:
            ValidationError: The setting cannot be read as `kind`.
        """
        row = await self.get_by_name(key)
        if row is None:
            return default
        if kind is None:
            return _value(row.config_value, row.value_type)
        wanted = checked_type(key, kind)
        try:
            return read_text(row.config_value, wanted)
        except (ValueError, RecursionError):
            message = f"config.{key}: {row.config_value!r} is no {wanted}"
            raise ValidationError(message, field=key, entity=self.store.name) from None

    async def set(
        self,
        key: str,
        value: Any,
        author: str | None = None,
        reason: str | None = None,
        *,
        kind: ConfigType | str | None = None,
        notes: str | None = None,
    ) -> Config:
        """Give a setting a value, and make it if it is not there; the same value again changes nothing.

        Args:
            key: Its key.
            value: A text, an integer, a finite number, a truth value, or anything else that JSON knows.
            author: Who sets it; None is the actor of the events' context, and `system` when there is none.
            reason: Why; None is written down as `Value updated`.
            kind: The type that the value has to be of; None is the type that it is of.
            notes: What the setting is for; None leaves what is there.

        Raises:
            ValidationError: The value cannot be stored, or is of another type than `kind`.
        """
        value_type, text = to_text(key, value, kind)
        wanted = {"config_value": text, "value_type": value_type} | ({} if notes is None else {"notes": notes})
        values = self.new_values({"config_key": key, **wanted, "created_by": author})
        insert = self.insertion(values)

        def work(executor: Executor) -> dict[str, Any]:
            if self.store.find_key(executor, {"config_key_key": values["config_key_key"]}) is None:
                insert(executor)
                return values
            return self.rewritten(executor, self.locked(executor, key), wanted, author, reason)

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def merge(
        self, key: str, patch: Mapping[str, Any], author: str | None = None, reason: str | None = None
    ) -> Config:
        """Apply a merge patch (RFC 7396) to the JSON object of a setting; of two writers at once both survive.

        Raises:
            NotFoundError: There is no such setting.
            ValidationError: Its value is no JSON object, or the patch is no JSON.
        """

        def compute(_: Executor, row: Mapping[str, Any]) -> dict[str, Any]:
            value = _value(row["config_value"], row["value_type"])
            return {"config_value": to_text(key, merged({key: value}, key, patch))[1]}

        return await self.rewrite(key, compute, author, reason)

    async def values(self, prefix: str = "") -> dict[str, Any]:
        """Return the values of all settings by key, or of those whose keys begin with a prefix, whatever the case."""
        column = self.plans.columns["config_key_key"]
        statement = self.query().order_by(column)
        if prefix:
            start = name_key(prefix)
            statement = statement.where(column >= start, func.substr(column, 1, len(start)) == start)
        rows = await self.select(statement)
        return {row.config_key: _value(row.config_value, row.value_type) for row in rows}

    async def substitute(self, text: str, *, keep_missing: bool = True) -> str:
        """Return a text with the settings for its `{{key}}`s, as texts; one statement however many there are.

        Args:
            text: The text.
            keep_missing: Whether a placeholder without a setting stays; otherwise it is an error.

        Raises:
            ValidationError: There is no setting for a placeholder.
        """
        wanted = {name: name_key(name) for name in placeholders(text)}
        found: dict[str, str] = {}
        if wanted:
            column = self.plans.columns["config_key_key"]
            rows = await self.select(self.query().where(column.in_(set(wanted.values()))))
            found = {row.config_key_key: row.config_value for row in rows}
        values = {name: found[key] for name, key in wanted.items() if key in found}
        return fill_in(text, values, keep_missing=keep_missing)

    # Deleting.

    def removal(self, key: Mapping[str, Any]) -> Work[bool]:
        """What deletes a setting; its last value stays in the history, with who deleted it."""
        return lambda executor: self._remove(executor, [key["id"]], None, None) > 0

    async def unset(self, key: str, author: str | None = None, reason: str | None = None) -> bool:
        """Delete a setting; its values stay in the history. False when there is none.

        Args:
            key: Its key.
            author: Who deletes it; None is the actor of the events' context, and `system` when there is none.
            reason: Why; None is written down as `Deleted`.
        """

        def work(executor: Executor) -> bool:
            found = self.store.find_key(executor, {"config_key_key": name_key(key)})
            return found is not None and self._remove(executor, [found["id"]], author, reason) > 0

        return await self.run(work)

    async def clear(self, author: str | None = None, reason: str | None = None) -> int:
        """Delete all settings and return how many there were; their values stay in the history."""

        def work(executor: Executor) -> int:
            ids = executor.execute(select(self.plans.table.c.id).with_for_update()).scalars().all()
            return self._remove(executor, ids, author, reason)

        return await self.run(work)

    def _remove(self, executor: Executor, ids: Sequence[int], author: str | None, reason: str | None) -> int:
        table, old = self.plans.table, self.replaced.plans.table
        rows = executor.execute(select(table.c.config_key_key).where(table.c.id.in_(ids)).with_for_update())
        keys = rows.scalars().all()
        if not keys:
            return 0
        last = executor.execute(select(func.coalesce(func.max(old.c.id), 0))).scalar_one()
        removed = executor.execute(delete(table).where(table.c.id.in_(ids))).rowcount
        # The trigger has written down what they were. Nobody else can have deleted one of these keys meanwhile.
        changes = {
            "changed_by": author or current_audit_context().actor or SYSTEM,
            "change_reason": reason or "Deleted",
            "created_at": self._clock(),
        }
        written = (old.c.id > last, old.c.config_id.is_(None), old.c.config_key_key.in_(keys))
        executor.execute(update(old).where(*written).values(changes))
        return removed

    # The past.

    async def history_of(self, key: str) -> builtins.list[ConfigHistory]:
        """Return every value that a key had and lost, the oldest first, also of settings that were deleted."""
        return await self.replaced.find(config_key_key=name_key(key))

    async def as_of(self, name: str | int, at: datetime) -> ConfigVersion | None:
        """Return the version that a setting had at a moment, also of one that was deleted; None when there was none.

        Raises:
            ValidationError: The moment has no time zone.
        """
        moment = aware(at, "at")
        found = await super().as_of(name, moment)
        if found is not None or isinstance(name, int):
            return found
        old = self.replaced.plans.table
        statement = (
            select(old)
            .where(old.c.config_key_key == name_key(name), old.c.config_id.is_(None), old.c.created_at > moment)
            .where(or_(old.c.began_at.is_(None), old.c.began_at <= moment))
            .order_by(old.c.created_at, old.c.id)
            .limit(1)
        )
        rows = await self.replaced.select(statement)
        return _deleted_version(rows[0]) if rows else None


def _value(text: str, value_type: ConfigType) -> Any:
    try:
        return read_text(text, value_type)
    except (KeyError, ValueError, RecursionError):
        # What another program wrote is shown as it is.
        return text


def _deleted_version(row: ConfigHistory) -> ConfigVersion:
    return ConfigVersion(
        config_key=row.config_key,
        version=row.version,
        config_value=row.config_value,
        value_type=row.value_type,
        notes=row.notes,
        author=None,
        reason=None,
        written_at=row.began_at or row.created_at,
        is_current=False,
    )
