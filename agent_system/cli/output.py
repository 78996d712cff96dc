"""What the commands print: people read tables on stdout, programs JSON, and errors are one line on stderr."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

__all__ = [
    "NOTHING",
    "all_lines",
    "cell",
    "console",
    "duration",
    "empty_table",
    "fail_line",
    "moment",
    "one_line",
    "print_json",
    "progress_console",
    "short_id",
    "table",
]

NOTHING = "-"
"""What stands for a value that is not known; 0 is a value."""
PIPE_WIDTH = 120
"""Characters of a line where no terminal tells its own width."""
SHORT_ID = 8
"""Characters of an id in a table; `show run` takes them."""


def console() -> Console:
    """Return the console of the output, made anew so that it writes to whatever stdout is now."""
    is_known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if is_known else PIPE_WIDTH)


def progress_console() -> Console:
    """Return the console of progress bars: stderr, so that the output can be piped."""
    return Console(stderr=True)


def fail_line(message: str) -> None:
    """Print an error as one line on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"agent-system: {one_line(message)}"))


def print_json(value: object) -> None:
    """Print a value for programs; text that no terminal can show is escaped."""
    Console(soft_wrap=True, highlight=False).print(Text(json.dumps(value, indent=2, default=_text_of)))


def _text_of(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def one_line(text: str, length: int | None = None) -> str:
    """Return text as one line without anything that a terminal would obey.

    What agents and programs print holds colours, backspaces, NUL and lone surrogates: they are escaped, not sent.

    Args:
        length: the most characters, an ellipsis included; None: all of them.
    """
    line = " ".join(text.split())
    if length is not None and len(line) > length:
        line = line[: length - 1] + "…"
    return _escaped(line)


def all_lines(text: str) -> str:
    """Return text with its line breaks and indentation, and otherwise as `one_line` does."""
    return "\n".join(_escaped(line.expandtabs(4)) for line in text.splitlines())


def _escaped(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def cell(value: object) -> Text:
    """Return a value for a table: text as it is, never as markup; None as a dash."""
    return Text(NOTHING if value is None else one_line(str(value)))


def short_id(value: UUID) -> str:
    """Return the beginning of an id."""
    return str(value)[:SHORT_ID]


def moment(value: datetime | None) -> str:
    """Return a time for people, in UTC to the second."""
    return NOTHING if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def duration(milliseconds: float | None) -> str:
    """Return a running time for people."""
    return NOTHING if milliseconds is None else f"{milliseconds / 1000:.3f} s"


def empty_table(title: str) -> Table:
    """Return a table without columns, in the one style of all."""
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """Return a table of values.

    Args:
        right: the columns that hold numbers.
    """
    made = empty_table(title)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=name in right)
    for row in rows:
        made.add_row(*map(cell, row))
    return made
