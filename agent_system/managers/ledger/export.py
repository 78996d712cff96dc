"""The ledger as CSV or JSON Lines, in pieces of constant size: first seed 000's ten columns, the newest call first."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_

from agent_system.errors import ValidationError
from agent_system.models import metadata
from agent_system.types import ExportFormat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePath

    from sqlalchemy import ColumnElement, Select

__all__ = ["COLUMNS", "PAGE", "format_of", "format_rows", "header", "page_statement"]

PAGE = 500
"""Entries of one piece."""

_hosts = metadata.tables["hosts"]
_models = metadata.tables["models"]
_projects = metadata.tables["projects"]
_usage = metadata.tables["token_usage"]

COLUMNS = (
    "timestamp",
    "project",
    "host",
    "model",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cost_usd",
    "request_id",
    "user_id",
    "id",
    "kind",
    "corrects_id",
    "attempt",
    "usage_state",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "reasoning_output_tokens",
    "cost_nano_usd",
    "cost_source",
    "role",
    "agent_id",
    "task_id",
    "conversation_id",
    "message_id",
    "session_uuid",
    "response_time_ms",
    "success",
    "error_type",
    "raw_usage",
    "metadata",
)
"""What is exported; the first ten are those of seed 000's export."""
_NAMES = {"project": _projects.c.name, "host": _hosts.c.name, "model": _models.c.name}
_PLACES = {name: place for place, name in enumerate(COLUMNS)}
# Filename endings by which a format is known.
_ENDINGS = {".csv": ExportFormat.CSV, ".jsonl": ExportFormat.JSON_LINES, ".ndjson": ExportFormat.JSON_LINES}


def format_of(given: ExportFormat | str | None, path: PurePath | None = None) -> ExportFormat:
    """Return the format that a caller names, or that the end of a file's name tells.

    Raises:
        ValidationError: There is no such format, or the file's name tells none.
    """
    known = ", ".join(ExportFormat)
    if given is None and path is not None:
        found = _ENDINGS.get(path.suffix.lower())
        if found is None:
            message = f"file_format: {path.name!r} does not end like one of {', '.join(_ENDINGS)}; name one of {known}"
            raise ValidationError(message, field="file_format")
        return found
    try:
        return ExportFormat(given or "")
    except ValueError:
        message = f"file_format: there is no format {given!r}; there are {known}"
        raise ValidationError(message, field="file_format") from None


def page_statement(wanted: Sequence[ColumnElement[bool]], last: Sequence[Any] | None) -> Select[Any]:
    """The next entries, the newest first.

    Args:
        wanted: Which entries.
        last: The last row of the page before; None for the first page.
    """
    # Outer joins: an entry whose project is gone is exported too.
    joined = (
        _usage.outerjoin(_projects, _projects.c.id == _usage.c.project_id)
        .outerjoin(_models, _models.c.id == _usage.c.model_id)
        .outerjoin(_hosts, _hosts.c.id == _models.c.host_id)
    )
    columns = [_NAMES[name] if name in _NAMES else _usage.c[name] for name in COLUMNS]
    statement = select(*columns).select_from(joined).where(*wanted)
    if last is not None:
        place = tuple_(
            last[_PLACES["timestamp"]], last[_PLACES["id"]], types=[_usage.c.timestamp.type, _usage.c.id.type]
        )
        statement = statement.where(tuple_(_usage.c.timestamp, _usage.c.id) < place)
    return statement.order_by(_usage.c.timestamp.desc(), _usage.c.id.desc()).limit(PAGE)


def header(file_format: ExportFormat) -> str:
    """What stands before the first entry."""
    return _csv_lines([COLUMNS]) if file_format is ExportFormat.CSV else ""


def format_rows(file_format: ExportFormat, rows: Sequence[Sequence[Any]]) -> str:
    """Entries as text, a line each."""
    if file_format is ExportFormat.CSV:
        return _csv_lines([_csv_cells(row) for row in rows])
    lines = (json.dumps(dict(zip(COLUMNS, row, strict=True)), default=_plain, separators=(",", ":")) for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _csv_lines(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _csv_cells(row: Sequence[Any]) -> list[Any]:
    cells = [_cell(value) for value in row]
    nano = row[_PLACES["cost_nano_usd"]]
    # Exact, where a float may print as 1e-05.
    cells[_PLACES["cost_usd"]] = "" if nano is None else f"{Decimal(nano).scaleb(-9):f}"
    for name in ("raw_usage", "metadata"):
        value = row[_PLACES[name]]
        cells[_PLACES[name]] = "" if value is None else json.dumps(value)
    return cells


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else value


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
