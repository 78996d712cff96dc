"""Times between moments, and moments in buckets of any length: SQLite keeps moments as text, PostgreSQL as a type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["epoch_bucket", "seconds_between"]


class seconds_between(FunctionElement[float]):  # noqa: N801 (reads as the SQL function that it is)
    """Seconds from one moment to another, to the microsecond; negative when the second is the earlier one.

    Args:
        earlier: A moment.
        later: A moment.
    """

    type = Double()
    inherit_cache = True


@compiles(seconds_between, "sqlite")
def _between_on_sqlite(element: seconds_between, compiler: SQLCompiler, **arguments: Any) -> str:
    earlier, later = (compiler.process(clause, **arguments) for clause in element.clauses)
    # SQLite's own arithmetic of dates counts milliseconds.
    whole = f"strftime('%s', substr({later}, 1, 19)) - strftime('%s', substr({earlier}, 1, 19))"
    fraction = f"CAST('0' || substr({later}, 20) AS REAL) - CAST('0' || substr({earlier}, 20) AS REAL)"
    return f"round({whole} + ({fraction}), 6)"


@compiles(seconds_between, "postgresql")
def _between_on_postgresql(element: seconds_between, compiler: SQLCompiler, **arguments: Any) -> str:
    earlier, later = (compiler.process(clause, **arguments) for clause in element.clauses)
    return f"CAST(extract(epoch FROM {later} - {earlier}) AS double precision)"


WITH_OFFSET = 3


class epoch_bucket(FunctionElement[int]):  # noqa: N801 (reads as the SQL function that it is)
    """The beginning of the bucket that a moment is in, in seconds since 1970; buckets begin at its multiples.

    Args:
        moment: A moment.
        seconds: Length of a bucket, a whole number of seconds.
        offset: Where the first bucket begins, in seconds since 1970; by default 0.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(epoch_bucket, "sqlite")
def _bucket_on_sqlite(element: epoch_bucket, compiler: SQLCompiler, **arguments: Any) -> str:
    moment, seconds, offset = _bucket_parts(element, compiler, arguments)
    return f"(CAST(strftime('%s', substr({moment}, 1, 19)) AS INTEGER) - {offset}) / {seconds} * {seconds} + {offset}"


@compiles(epoch_bucket, "postgresql")
def _bucket_on_postgresql(element: epoch_bucket, compiler: SQLCompiler, **arguments: Any) -> str:
    moment, seconds, offset = _bucket_parts(element, compiler, arguments)
    return f"CAST(floor((extract(epoch FROM {moment}) - {offset}) / {seconds}) AS bigint) * {seconds} + {offset}"


def _bucket_parts(element: epoch_bucket, compiler: SQLCompiler, arguments: Any) -> list[str]:
    parts = [compiler.process(clause, **arguments) for clause in element.clauses]
    return parts if len(parts) == WITH_OFFSET else [*parts, "0"]
