"""Conditions of CHECK constraints that the engines are to be told in different words."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.ext.compiler import compiles

__all__ = ["OneOf"]


class OneOf(TextClause):
    """A condition: a column holds one of some texts. On SQLite it is spelled without IN.

    For the list of an IN in a CHECK, SQLite makes a table of its own, anew for each row. That takes 1.2 µs, and a
    message has three of them.
    """

    inherit_cache = False

    def __init__(self, column: str, texts: Iterable[str]) -> None:
        quoted = [f"'{text}'" for text in texts]
        super().__init__(f"{column} IN ({', '.join(quoted)})")
        self.spelled_out = " OR ".join(f"{column} = {text}" for text in quoted)


@compiles(OneOf, "sqlite")
def _spell_out(element: OneOf, _compiler: Any, **_options: Any) -> str:
    return element.spelled_out
