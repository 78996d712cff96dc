"""What the endurance run was told of its writes, to be compared with what the database holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = ["Ledger"]


@dataclass(slots=True)
class Ledger:
    """The messages by what is known of them, and the versions of the agents."""

    written: dict[UUID, int] = field(default_factory=dict)
    """Acknowledged and not deleted: the database's key of each."""
    refused: set[UUID] = field(default_factory=set)
    """Answered with an error, or rolled back: must not be there."""
    uncertain: set[UUID] = field(default_factory=set)
    """Cancelled or of unknown outcome: may be there."""
    rival: set[UUID] = field(default_factory=set)
    """What the other process said that it had committed."""
    versions: dict[UUID, int] = field(default_factory=dict)
    """The newest version of each agent that somebody was told of."""

    def saw_version(self, agent_id: UUID, version: int) -> None:
        """Somebody was told of this version; no later read may show an older one."""
        self.versions[agent_id] = max(version, self.versions.get(agent_id, 0))

    def compare(self, stored: Mapping[UUID, str], *, killed: int) -> list[str]:
        """Say what is wrong with the stored messages, given by key and content.

        Args:
            killed: How often the other process was killed; each time it may have committed one row without saying so.
        """
        problems = []
        lost = [uid for uid in (*self.written, *self.rival) if uid not in stored]
        if lost:
            problems.append(f"{len(lost)} acknowledged rows are not in the table, such as {lost[0]}")
        returned = [uid for uid in self.refused if uid in stored]
        if returned:
            problems.append(f"{len(returned)} refused rows are in the table, such as {returned[0]}")
        known = self.written.keys() | self.refused | self.uncertain | self.rival
        unknown = [uid for uid in stored if uid not in known]
        if len(unknown) > killed:
            problems.append(f"{len(unknown)} rows are in the table that nobody wrote, such as {unknown[0]}")
        garbled = [uid for uid, content in stored.items() if content != str(uid)]
        if garbled:
            problems.append(f"{len(garbled)} rows have another content, such as {garbled[0]}")
        return problems

    def clear(self) -> None:
        """Forget the messages, which have been compared and deleted; the agents stay."""
        self.written.clear()
        self.refused.clear()
        self.uncertain.clear()
        self.rival.clear()
