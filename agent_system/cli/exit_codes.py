"""What a failed command returns to the shell: one table, the most specific class counts."""

from __future__ import annotations

from agent_system.errors import (
    AgentSystemError,
    BackupError,
    ConfigurationError,
    ConflictError,
    DatabaseBusyError,
    DatabaseError,
    ImportFileError,
    IntegrityError,
    MigrationError,
    MissingExtraError,
    NotFoundError,
    OutcomeUnknownError,
    ValidationError,
)

__all__ = ["EXIT_CODES", "exit_code"]

# 2 is what the shell and typer use for a wrong command line, so no error of ours has it.
EXIT_CODES: dict[type[AgentSystemError], int] = {
    AgentSystemError: 1,
    ConfigurationError: 3,
    MissingExtraError: 4,
    NotFoundError: 5,
    ValidationError: 6,
    ConflictError: 7,
    ImportFileError: 8,
    MigrationError: 9,
    DatabaseError: 10,
    DatabaseBusyError: 11,
    OutcomeUnknownError: 12,
    IntegrityError: 13,
    BackupError: 14,
}


def exit_code(error: AgentSystemError) -> int:
    """Return the code of an error's class, or of the nearest class above it."""
    return next(EXIT_CODES[base] for base in type(error).__mro__ if base in EXIT_CODES)
