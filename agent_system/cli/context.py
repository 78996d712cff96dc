"""What every command shares: the options before its name, and the facade over the database that they mean."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.settings import mask_password

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any

    import typer

__all__ = ["Options", "await_", "facade", "options_of"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options before the name of the command."""

    url: str | None = None
    """Path or URL; None: what the settings say."""

    @property
    def shown(self) -> str:
        """The database for people to read, its password masked."""
        return mask_password(DatabaseManager(self.url).url.render_as_string(hide_password=False))


def options_of(context: typer.Context) -> Options:
    """Return the options of a command's call."""
    return context.ensure_object(Options)


@asynccontextmanager
async def facade(options: Options, *, auto_migrate: bool | None = None) -> AsyncIterator[EntityManager]:
    """Give the facade over a connected database for the block.

    Args:
        auto_migrate: None: as the settings say. What only reads passes False: it makes and changes no schema.
    """
    async with DatabaseManager(options.url, auto_migrate=auto_migrate) as db:
        yield EntityManager(db)


def await_(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work: typer calls functions, the layer is async."""
    return asyncio.run(work)
