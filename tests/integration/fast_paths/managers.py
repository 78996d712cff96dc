"""Managers of the tests' own, so that they depend on the engine room alone, and what they look at inside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.managers.core.base import Manager
from agent_system.models import Agent, Host, Tool, User, UserIdentity

if TYPE_CHECKING:
    from agent_system.database import DatabaseManager
    from agent_system.database.cache import HotCache
    from agent_system.database.inline import InlineReader
    from agent_system.database.inline_writes import InlineWrites


class Agents(Manager[Agent]):
    """Agents in the hot cache."""

    entity = Agent
    hot = True


class AuditedAgents(Agents):
    """The same with their audit trail."""

    audited = "agent"


class ColdAgents(Manager[Agent]):
    """Agents that no cache keeps."""

    entity = Agent


class Tools(Manager[Tool]):
    """Tools in the hot cache."""

    entity = Tool
    hot = True


class Users(Manager[User]):
    """Users in the hot cache; other tables' rows fall with theirs."""

    entity = User
    hot = True


class Identities(Manager[UserIdentity]):
    """Identities in the hot cache; their keys are text."""

    entity = UserIdentity
    hot = True


class Hosts(Manager[Host]):
    """Hosts in the hot cache; the database counts their keys."""

    entity = Host
    hot = True


def cache_of(db: DatabaseManager) -> HotCache:
    """The hot cache of a connected manager, which has to have one."""
    backend: Any = db._backend
    cache: HotCache | None = backend.cache
    assert cache is not None
    return cache


def inline_of(db: DatabaseManager) -> InlineReader:
    """The inline reader of a connected manager, which has to have one."""
    backend: Any = db._backend
    inline: InlineReader | None = backend._inline
    assert inline is not None
    return inline


def inline_writes_of(db: DatabaseManager) -> InlineWrites | None:
    """What tells which writes a connected manager does on the loop's own thread; None when it does none."""
    backend: Any = db._backend
    writes: InlineWrites | None = backend._writer._inline
    return writes
