"""What free SQL on PostgreSQL may say about a table with hidden columns.

The server can hide a column only from another role, which a plain user of a database cannot make. So a query that names
such a table is held to a small grammar in which nothing but named columns can be read; what does not fit is refused,
also where it would be harmless. A whole row goes by many names there: `*`, the table's or its alias' name alone,
functions in the notation of columns (`u.to_jsonb`), a column list behind an alias, an alias of a join in parentheses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, text

from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.dialects.base import Hidden

__all__ = ["refuse_hidden"]

# https://www.postgresql.org/docs/current/sql-syntax-lexical.html: every character beyond ASCII may be part of a name,
# a comment may end at a carriage return, and names longer than 63 bytes are cut off. Nested comments, escape strings
# and dollar quotes do not match and are refused.
_TOKEN = re.compile(
    r"(?P<skip>[ \t\n\r\f\v]+|--[^\n\r]*|/\*(?:(?!/\*).)*?\*/)"
    r"|(?P<text>'(?:[^'\\]|'')*')"
    r'|(?P<quoted>"(?:[^"]|"")*")'
    r"|(?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9$\u0080-\U0010ffff]*)"
    r"|(?P<place>\$\d+)"
    r"|(?P<sign>[^'\"$\\])",
    re.DOTALL,
)
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
LONGEST_NAME = 63
# What may follow a table in FROM.
_BEHIND = frozenset(
    {"where", "join", "inner", "left", "right", "full", "cross", "on", "group", "having", "order", "limit", "offset"}
    | {"fetch", "union", "intersect", "except", "window", ",", ")", ""}
)
# Views that show a table with hidden columns, tables of other servers, and functions that may read anything.
_CLOSED = text(
    """
    WITH RECURSIVE showing(oid) AS (
        SELECT pg_class.oid FROM pg_class WHERE relname IN :tables AND relkind IN ('r', 'p')
        UNION
        SELECT rule.ev_class FROM showing
        JOIN pg_depend AS need ON need.refobjid = showing.oid AND need.classid = 'pg_rewrite'::regclass
        JOIN pg_rewrite AS rule ON rule.oid = need.objid
    )
    SELECT relname FROM pg_class WHERE relkind = 'f' OR (relkind IN ('v', 'm') AND oid IN (SELECT oid FROM showing))
    UNION
    SELECT proname FROM pg_proc
    WHERE provolatile <> 'i' AND prorettype <> 'trigger'::regtype
        AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    """
).bindparams(bindparam("tables", expanding=True))
_COLUMNS = text(
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
)


class _Token(NamedTuple):
    kind: str
    value: str


END = _Token("end", "")


async def refuse_hidden(connection: AsyncConnection, sql: str, hidden: Hidden) -> None:
    """Refuse a query that could read a hidden column.

    Args:
        connection: In the transaction in which the query will run.
        sql: The query as it is sent.
        hidden: The hidden columns of each table.

    Raises:
        ValidationError: It could, as far as its text tells.
    """
    closed = [name for (name,) in await connection.execute(_CLOSED, {"tables": list(hidden)}) if _mentions(sql, name)]
    if closed:
        _refuse(f"{closed[0]} may show what is hidden from queries")
    for table, columns in hidden.items():
        if _mentions(sql, table):
            known = {name for (name,) in await connection.execute(_COLUMNS, {"name": table})}
            _Reading(_tokens(sql), table, columns, known - set(columns)).check()


def _mentions(sql: str, name: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", sql, re.IGNORECASE) is not None


def _refuse(why: str) -> None:
    message = f"sql: {why}"
    raise ValidationError(message, field="sql")


def _tokens(sql: str) -> list[_Token]:
    tokens: list[_Token] = []
    place, touching = 0, False
    while place < len(sql):
        found = _TOKEN.match(sql, place)
        if found is None:
            message = f"sql: what begins with {sql[place : place + 10]!r} cannot be told to be harmless"
            raise ValidationError(message, field="sql")
        kind, value, place = str(found.lastgroup), found[0], found.end()
        if kind == "text" and touching and tokens[-1].kind == "word":
            _refuse("give texts as parameters, not with a prefix")
        touching = kind != "skip"
        if kind == "word":
            value = value.translate(_UPPER)
        elif kind == "quoted":
            value = value[1:-1].replace('""', '"')
        if kind in {"word", "quoted"} and len(value.encode()) > LONGEST_NAME:
            _refuse(f"a name is longer than {LONGEST_NAME} bytes")
        if kind != "skip":
            tokens.append(_Token(kind, value))
    return tokens


class _Reading:
    """One query that names one table with hidden columns."""

    def __init__(self, tokens: Sequence[_Token], table: str, hidden: Collection[str], shown: Collection[str]) -> None:
        self._tokens = tokens
        self._table = table
        self._hidden = hidden
        self._shown = shown

    def check(self) -> None:
        """Refuse what does not fit the grammar."""
        if not any(self._is_name(place, (self._table,)) for place in range(len(self._tokens))):
            return
        declared = self._declarations()
        names = {self._table, *declared.values()}
        places = {place for start in declared for place in self._span(start)}
        for place, token in enumerate(self._tokens):
            if self._is_name(place, self._hidden):
                _refuse(f"{self._table}.{token.value} is hidden from queries")
            if token == _Token("word", "natural"):
                self._refuse_form("a join with ON instead of NATURAL")
            if token.value == "*" and token.kind == "sign":
                self._check_star(place, names)
            if place not in places and self._is_name(place, names):
                self._check_column(place)

    def _is_name(self, place: int, names: Collection[str]) -> bool:
        token = self._at(place)
        return token.kind in {"word", "quoted"} and token.value in names

    def _at(self, place: int) -> _Token:
        return self._tokens[place] if 0 <= place < len(self._tokens) else END

    def _refuse_form(self, wanted: str) -> None:
        columns = ", ".join(sorted(self._hidden))
        _refuse(f"{self._table} has hidden columns ({columns}); a query of it names each column: {wanted}")

    def _declarations(self) -> Mapping[int, str]:
        """The places where the table stands in FROM or JOIN, with its name in the query."""
        declared: dict[int, str] = {}
        opened: list[int] = []
        for place, token in enumerate(self._tokens):
            if token == _Token("sign", "("):
                opened.append(place)
            elif token == _Token("sign", ")") and opened:
                opened.pop()
            elif self._is_name(place, (self._table,)) and self._is_declared(place):
                # In parentheses it could be a join, and its alias a row of all that is joined.
                if opened and self._at(opened[-1] + 1) not in {_Token("word", "select"), _Token("word", "with")}:
                    self._refuse_form("no joins in parentheses")
                declared[place] = self._at(self._span(place)[-1]).value
        return declared

    def _is_declared(self, place: int) -> bool:
        before = place - 1
        if self._at(before).value == "." and self._at(before - 1).kind in {"word", "quoted"}:
            before -= 2
        if self._at(place + 1).value == "." and self._at(place + 1).kind == "sign":
            return False
        opening = self._at(before)
        # IS DISTINCT FROM compares rows.
        return opening.kind == "word" and (
            opening.value == "join" or (opening.value == "from" and self._at(before - 1).value != "distinct")
        )

    def _span(self, place: int) -> range:
        """The places of a table in FROM with its alias; refused where something else follows."""
        end = place + 1
        if self._at(end) == _Token("word", "as"):
            end += 1
        alias = self._at(end)
        if alias.kind == "quoted" or (alias.kind == "word" and alias.value not in _BEHIND):
            end += 1
        behind = self._at(end)
        if behind.kind == "quoted" or behind.value not in _BEHIND:
            self._refuse_form(f"FROM {self._table} AS alias, and nothing between that and the next clause")
        return range(place, end)

    def _check_star(self, place: int, names: Collection[str]) -> None:
        before = self._at(place - 1)
        if before.value == "(" and self._at(place - 2).value == "count" and self._at(place + 1).value == ")":
            return
        if before.value == "." and not self._is_name(place - 2, names):
            return
        self._refuse_form("* only in count(*)")

    def _check_column(self, place: int) -> None:
        # Behind the name of another table it is a column of that one, or nothing.
        if not (self._at(place + 1) == _Token("sign", ".") and self._is_name(place + 2, self._shown)):
            self._refuse_form(f"{self._at(place).value}.column")
