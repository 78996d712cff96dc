"""What is done to files, and where a document of the project stands."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FILE_OPERATION_LEGACY", "DocumentStatus", "FileOperation"]


class FileOperation(StrEnum):
    """What was done to a file."""

    READ = "read"
    WRITE = "write"
    EDIT = "edit"
    DELETE = "delete"
    SEARCH = "search"


# What runtimes call their tools.
FILE_OPERATION_LEGACY: Mapping[str, FileOperation] = spellings(
    Read=FileOperation.READ,
    Write=FileOperation.WRITE,
    create=FileOperation.WRITE,
    Edit=FileOperation.EDIT,
    MultiEdit=FileOperation.EDIT,
    NotebookEdit=FileOperation.EDIT,
    Grep=FileOperation.SEARCH,
    Glob=FileOperation.SEARCH,
)


class DocumentStatus(StrEnum):
    """Where a document of the project stands."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"
