"""`Lookups`: which rows of one of our tables have some of many values; a part of a unit of work.

A statement of SQLAlchemy's is written out anew for every list of values, which takes longer than running it. These are
compiled once for as many values as there may be, and what is left over is NULL, which nothing equals. Values go in and
come out as the driver has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, column, literal_column, select, values

from agent_system.database.plans import compile_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Column, Dialect

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan

__all__ = ["Lookups"]

# Values of one statement: few for files that have few, and for others what both engines plan quickly.
SIZES = (16, 512)


class Lookups:
    """Looks rows of one table up.

    Args:
        columns: The columns of the table by attribute.
        dialect: The engine's own dialect.
    """

    def __init__(self, columns: Mapping[str, Column[Any]], dialect: Dialect) -> None:
        self._columns = columns
        self._dialect = dialect
        self._plans: dict[Any, Plan] = {}

    def having(self, executor: Executor, name: str, found: Sequence[Any], wanted: Sequence[str]) -> Iterator[Any]:
        """The columns that are wanted, of the rows that have one of these values in a column."""
        for size, part in _parts(found):
            key = (name, *wanted, size)
            if key not in self._plans:
                marks = [bindparam(f"value_{place}", type_=self._columns[name].type) for place in range(size)]
                statement = select(*map(self._columns.__getitem__, wanted)).where(self._columns[name].in_(marks))
                self._plans[key] = compile_plan(statement, self._dialect)
            yield from executor.fetch(self._plans[key], [*part, *[None] * (size - len(part))])

    def together(
        self, executor: Executor, names: Sequence[str], found: Sequence[tuple[Any, ...]], among: tuple[str, str]
    ) -> Iterator[Any]:
        """Those of the combinations of values in some columns that rows have.

        Args:
            executor: Of the unit of work.
            names: The columns, in the order of the index that has them.
            found: The combinations.
            among: Another column and the word that a row has to have in it, as the condition of the index.
        """
        for size, part in _parts(found):
            key = (*names, among, size)
            if key not in self._plans:
                self._plans[key] = compile_plan(self._combined(names, among, size), self._dialect)
            flat = [value for each in part for value in each]
            yield from executor.fetch(self._plans[key], [*flat, *[None] * (size * len(names) - len(flat))])

    def _combined(self, names: Sequence[str], among: tuple[str, str], size: int) -> Any:
        columns = [self._columns[name] for name in names]
        marks = [tuple(bindparam(f"{each.name}_{place}", type_=each.type) for each in columns) for place in range(size)]
        # Joined with the table it is looked up by the index; as a list of combinations SQLite would read all of it.
        wanted = values(*(column(each.name, each.type) for each in columns), name="wanted").data(marks).cte("wanted")
        same = and_(*(each == wanted.c[each.name] for each in columns))
        # Written out: a parameter would not tell that the condition of the index holds.
        condition = self._columns[among[0]] == literal_column(f"'{among[1]}'")
        return select(*columns).join(wanted, same).where(condition)


def _parts(found: Sequence[Any]) -> Iterator[tuple[int, Sequence[Any]]]:
    """Parts of a list, each with the number of values that its statement takes."""
    small, large = SIZES
    for start in range(0, len(found), large):
        part = found[start : start + large]
        yield (small if len(part) <= small else large), part
