"""`Shared`: what all facades over one database keep together, such as an index in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Shared"]

T = TypeVar("T")


class Shared:
    """Things by name; they know of no database and no scope, so that facades of all scopes can have them."""

    def __init__(self) -> None:
        self._things: dict[Hashable, Any] = {}

    def get(self, name: Hashable, make: Callable[[], T]) -> T:
        """The thing of a name, which is made when it is first asked for."""
        if name not in self._things:
            self._things[name] = make()
        thing: T = self._things[name]
        return thing
