"""Feature flags: what is switched on, and for whom."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from agent_system.errors import NotFoundError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.json_edits import with_items, without_items
from agent_system.managers.core.names import find_by_name
from agent_system.managers.core.store import differing
from agent_system.models import FeatureFlag
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_system.database.executor import Executor

__all__ = ["FlagManager", "bucket"]

# What seed 000 begins with, as its code has it: name, enabled, percentage, description.
SEEDS = (
    ("unified_message_processor", True, 100, "Use new unified message processing pipeline"),
    ("legacy_fallback", False, 0, "Enable fallback to legacy handler on errors"),
    ("intent_classification", True, 100, "Enable intent classification for messages"),
    ("advanced_error_handling", True, 100, "Use advanced error categorization and recovery"),
)
BUCKETS = 100


def bucket(flag: str, user_id: str) -> int:
    """Where a user stands in the roll-out of a flag: 0 to 99, always the same, and another place for every flag.

    The flag is on for those below its percentage, so that raising it only ever adds users. SHA-256 of flag and user,
    because Python's `hash` differs from process to process; hashing the flag too, as gradual roll-outs do elsewhere
    (https://docs.getunleash.io/concepts/stickiness), keeps the same users from being the first for everything.
    """
    digest = hashlib.sha256(f"{name_key(flag)}\0{user_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % BUCKETS


class FlagManager(Manager[FeatureFlag]):
    """Feature flags. Names are unique, whatever the case.

    A flag that is not enabled is off for everybody. One that is, is on for its `allowed_users` and for
    `rollout_percentage` of a hundred others: for every user always the same answer. Without a user it is on when it is
    on for everybody.

    Example:
        >>> await em.flags.create({"flag_name": "fast_path", "enabled": True, "rollout_percentage": 25})
        >>> await em.flags.allow("fast_path", "ada")
        >>> await em.flags.is_enabled("fast_path", "ada")
        True
    """

    entity = FeatureFlag
    hot = True
    hot_name = "flag_name_key"

    async def get_by_name(self, name: str) -> FeatureFlag | None:
        """Return the flag of this name, whatever the case, or None; from the hot cache where that has it."""
        return await find_by_name(self._db, self.plans, name, "flag_name_key")

    async def is_enabled(self, name: str, user_id: object = None, *, default: bool = False) -> bool:
        """Tell whether a flag is on for a user: a lookup in the hot cache, or one statement.

        Args:
            name: Name of the flag.
            user_id: The user, by whatever id; None is nobody in particular.
            default: The answer for a flag that is not there.
        """
        flag = await self.get_by_name(name)
        if flag is None:
            return default
        if not flag.enabled:
            return False
        if flag.rollout_percentage >= BUCKETS:
            return True
        if user_id is None:
            return False
        user = str(user_id)
        # A list that another program has made malformed comes back as text.
        allowed: Any = flag.allowed_users
        return (isinstance(allowed, list) and user in allowed) or bucket(flag.flag_name, user) < flag.rollout_percentage

    async def enable(self, name: str, percentage: int = 100) -> FeatureFlag:
        """Switch a flag on for so many of a hundred users.

        Raises:
            NotFoundError: There is no such flag.
            ValidationError: The percentage is not between 0 and 100.
        """
        return await self._revise(name, lambda row: differing(row, enabled=True, rollout_percentage=percentage))

    async def disable(self, name: str) -> FeatureFlag:
        """Switch a flag off for everybody; it keeps its percentage and its list."""
        return await self._revise(name, lambda row: differing(row, enabled=False))

    async def allow(self, name: str, *user_ids: object) -> FeatureFlag:
        """Let a flag be on for these users whatever the percentage."""
        users = [str(user_id) for user_id in user_ids]
        return await self._revise(
            name, lambda row: differing(row, allowed_users=with_items(row, "allowed_users", users))
        )

    async def disallow(self, name: str, *user_ids: object) -> FeatureFlag:
        """Take users off a flag's list."""
        users = [str(user_id) for user_id in user_ids]
        return await self._revise(
            name, lambda row: differing(row, allowed_users=without_items(row, "allowed_users", users))
        )

    async def seed_defaults(self) -> int:
        """Make the flags that seed 000 begins with, leave those that are there alone, and return how many were not."""
        many = [
            self.new_values(
                {"flag_name": name, "enabled": enabled, "rollout_percentage": percentage, "description": description}
            )
            for name, enabled, percentage, description in SEEDS
        ]
        inserts = [(values["flag_name_key"], self.insertion(values)) for values in many]

        def work(executor: Executor) -> int:
            made = 0
            for key, insert in inserts:
                if self.store.find_key(executor, {"flag_name_key": key}) is None:
                    insert(executor)
                    made += 1
            return made

        return await self.run_racing(work, many)

    async def _revise(self, name: str, compute: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> FeatureFlag:
        def work(executor: Executor) -> dict[str, Any]:
            key = self.store.find_key(executor, {"flag_name_key": name_key(name)})
            if key is None:
                raise NotFoundError(self.store.name, name)
            return self.store.revise(executor, key, compute, check=self.check_change)

        return self.plans.hydrate.build(await self.run(work))
