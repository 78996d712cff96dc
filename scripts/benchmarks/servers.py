"""A durable PostgreSQL server for measurements: the one that a variable names, or the tests' own, started here."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Server", "postgres_server"]


class Server:
    """A running server."""

    def __init__(self, server: Any) -> None:
        self._server = server

    async def database(self) -> str:
        """Make an empty database, and return its URL."""
        url: str = self._server.url_of(await self._server.create())
        return url


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Yield a server that syncs to the disk as in production; see tests/postgres.py."""
    # The tests are no package that others may depend on, and not in the wheel.
    with importlib.import_module("tests.postgres").running_server(durable=True) as server:
        yield Server(server)
