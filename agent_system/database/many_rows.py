"""One INSERT of many rows instead of many INSERTs of one.

On SQLite it is more than the saving of a few calls. A statement that has triggers and may fail opens a savepoint of its
own, and at every savepoint FTS5 writes what it has gathered in memory to the file, as a segment that has to be merged
with others later: a message by itself takes 43 µs of the writer's time inside of a transaction, as one of 64 it takes
19 (SQLite 3.40.1; 13 and 8 without the index).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["MOST_ROWS", "in_parts", "is_one_part", "repeat_marked_values", "repeat_numbered_values"]

# Twice as many gain little more. Any number of rows up to here is one statement: beside others who compute each of them
# waits for its turn. The connection keeps it once so many rows have come together: 60 KB on average for 19 columns.
MOST_ROWS = 64
# While SQLite works on one statement, other threads of the program run; between two it waits for its turn, 5 ms when
# one of them computes (`sys.getswitchinterval`). Of very many rows a part takes as long.
MOST_OF_VERY_MANY = 512
VERY_MANY = 4 * MOST_OF_VERY_MANY
# What SQLite can bind since 3.32 (https://sqlite.org/limits.html).
MOST_PARAMETERS = 32_766
_PARAMETER = re.compile(r"\$(\d+)")


def in_parts(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Cut rows into parts of few different lengths, each for one statement of SQLite's."""
    start, most = 0, MOST_ROWS if len(rows) < VERY_MANY else MOST_OF_VERY_MANY
    while most > 1 and rows and most * len(rows[0]) > MOST_PARAMETERS:
        most //= 2
    while start < len(rows):
        size = _part(min(most, len(rows) - start))
        yield rows[start : start + size]
        start += size


def is_one_part(rows: int) -> bool:
    """Whether few rows are one statement."""
    return 0 < rows <= MOST_ROWS


def _part(rows: int) -> int:
    """How many of so many rows are one part: all of few, of more a power of two."""
    return rows if rows <= MOST_ROWS else 1 << (rows.bit_length() - 1)


@lru_cache(512)
def repeat_marked_values(sql: str, rows: int) -> str:
    """Return an INSERT of one row that ends with its values, parameters as question marks, as one of many rows."""
    before, _, values = sql.partition(" VALUES ")
    return f"{before} VALUES {', '.join([values] * rows)}"


@lru_cache(256)
def repeat_numbered_values(sql: str, rows: int) -> str:
    """Return an INSERT of one row of numbered parameters, with its RETURNING, as one of many rows."""
    before, _, rest = sql.partition(" VALUES ")
    values, _, returning = rest.rpartition(" RETURNING ")
    count = len(set(_PARAMETER.findall(values)))
    repeated = (_shift(values, row * count) for row in range(rows))
    return f"{before} VALUES {', '.join(repeated)} RETURNING {returning}"


def _shift(values: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", values)
