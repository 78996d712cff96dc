"""Whether a text contains another one, whatever the case of its letters, in SQL and without any collation's help.

LIKE of SQLite and ILIKE under PostgreSQL's "C" collation fold the letters of ASCII only. Both engines have patterns
with character classes, though, so each letter of the wanted text becomes the class of its own cases, and every other
character stands for itself: `Ü%` is `[Üü]%`. A letter whose other case is two letters (`ß`) stands for itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["contains_text"]


class contains_text(FunctionElement[bool]):  # noqa: N801 (reads as the SQL function that it is)
    """Whether a text column contains a text, without regard to case.

    Args:
        column: The column.
        text: What to look for, as the column stores it.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Any, text: str) -> None:
        super().__init__(column, literal(text, _Pattern()))


class _Pattern(TypeDecorator[str]):
    """Binds a text as the engine's pattern for whatever contains it."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _glob if dialect.name == "sqlite" else _regular_expression


def _glob(text: str) -> str:
    # https://www.sqlite.org/lang_expr.html#the_like_glob_regexp_match_and_extract_operators: `[` opens a class in which
    # even the wildcards stand for themselves.
    return f"*{''.join(_one_of(cases) if len(cases) > 1 or cases in '*?[' else cases for cases in map(_cases, text))}*"


def _regular_expression(text: str) -> str:
    return "".join(_one_of(cases) if len(cases) > 1 else re.escape(cases) for cases in map(_cases, text))


def _one_of(cases: str) -> str:
    return f"[{cases}]"


def _cases(character: str) -> str:
    cases = (character, character.lower(), character.upper(), character.title(), character.casefold())
    return "".join(dict.fromkeys(case for case in cases if len(case) == 1))


@compiles(contains_text, "sqlite")
def _contains_on_sqlite(element: contains_text, compiler: SQLCompiler, **arguments: Any) -> str:
    column, pattern = (compiler.process(clause, **arguments) for clause in element.clauses)
    return f"({column} GLOB {pattern})"


@compiles(contains_text, "postgresql")
def _contains_on_postgresql(element: contains_text, compiler: SQLCompiler, **arguments: Any) -> str:
    column, pattern = (compiler.process(clause, **arguments) for clause in element.clauses)
    return f"({column} ~ {pattern})"
