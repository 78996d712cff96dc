"""`em.audit`: proof that the events have not been changed since they were written."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from agent_system.errors import ValidationError
from agent_system.managers.audit.chain import ChainKeys
from agent_system.managers.audit.sealing import EVENTS_AT_ONCE, Sealer, head_of
from agent_system.managers.audit.verification import Anchor, AuditVerdict, Verification

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["AuditManager"]


class AuditManager:
    """The audit chain: seals events in batches, beside those who write them, and verifies what was sealed.

    The key is AGENT_SYSTEM_AUDIT_KEY. Who can write to the database but has not got the key can change no sealed event,
    take none out and put none in without being seen; that the end was cut off is seen by whoever keeps an anchor.

    Args:
        db: The database.
        clock: Where the moments come from.

    Example:
        >>> await em.audit.seal()
        >>> anchor = await em.audit.head()
        >>> (await em.audit.verify(anchor)).is_valid
        True
    """

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime]) -> None:
        self._db = db
        self._clock = clock

    @cached_property
    def _keys(self) -> ChainKeys:
        return ChainKeys(self._db.settings.audit_key)

    async def seal(self, most: int | None = None) -> int:
        """Seal the events that are not sealed yet, each batch in a transaction of its own; returns how many.

        Args:
            most: About so many, to the next whole batch; None seals all.

        Raises:
            ConfigurationError: There is no key.
            ValidationError: `most` is below 1.
        """
        if most is not None and most < 1:
            message = f"most must be at least 1, not {most}"
            raise ValidationError(message, field="most")
        self._keys.require()
        sealer = Sealer(self._keys, self._clock)
        sealed = 0
        while most is None or sealed < most:
            count = await self._db.write(sealer.seal_batch)
            sealed += count
            if count < EVENTS_AT_ONCE:
                break
        return sealed

    async def head(self) -> Anchor:
        """Return the newest link: what has to be kept elsewhere to see later that nothing was cut off."""

        def work(executor: Executor) -> Anchor:
            seal = head_of(executor)
            return Anchor(0, "") if seal is None else Anchor(seal["id"], seal["chain_digest"])

        return await self._db.read(work)

    async def verify(self, anchor: Anchor | str | None = None) -> AuditVerdict:
        """Verify the whole chain: that no sealed event was changed, taken out or put in, but by an erasure.

        Args:
            anchor: What `head` returned at some earlier moment, or the same as text.

        Raises:
            ConfigurationError: There is no key.
            ValidationError: The anchor is none.
        """
        self._keys.require()
        if isinstance(anchor, str):
            parsed = Anchor.parse(anchor)
            if parsed is None:
                message = "anchor: expected the number of a seal, a colon, and its digest"
                raise ValidationError(message, field="anchor")
            anchor = parsed
        return await Verification(self._db, self._keys, anchor).run()
