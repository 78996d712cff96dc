"""Every exception that the layer raises on purpose.

```
AgentSystemError
├── ConfigurationError            a setting has a value that cannot work
├── MissingExtraError             an optional dependency is not installed
├── DatabaseError                 the database refused or failed
│   ├── NotConnectedError         used before connect() or after disconnect()
│   ├── DatabaseBusyError         another writer held the lock for too long
│   ├── DatabaseCorruptError      the file is damaged or is no database
│   ├── DatabaseReadOnlyError     the file or the server refuses writes
│   ├── DatabaseUnavailableError  the file or the server cannot be reached
│   ├── DiskFullError             no space is left, nothing was written
│   ├── OutcomeUnknownError       the commit may or may not have happened
│   ├── StatementTimeoutError     a statement ran for longer than the settings allow
│   ├── TransactionError          a transaction was used against its rules
│   │   └── TransactionTimeoutError   a block held the writer too long and was rolled back
│   └── IntegrityError            the data break a rule of the schema
│       ├── DuplicateKeyError     a unique value exists already
│       ├── ForeignKeyError       a referenced row does not exist, or is still referenced
│       ├── NotNullError          a required value is missing
│       └── CheckError            a value is outside the range the schema allows
├── NotFoundError                 no row has this id
├── ValidationError               the data were refused before anything was written
│   └── CursorError               a pagination cursor does not fit the query
├── ConflictError                 somebody else changed the row first
│   └── TransitionError           a status may not follow the current one
├── AuthenticationError           whoever asks could not show that they are who they say
│   └── PasswordResetRequiredError    they could, and have to choose a new password first
├── PermissionDeniedError         who acts may not do this
│   └── ScopeError                it lies beyond what a scoped facade may touch
├── BudgetExceededError           a call would cost more than a budget has left
├── EmbeddingError                texts could not be turned into vectors
├── QueueError                    the queue refused an operation
│   ├── EffectUnknownError        nobody knows whether an earlier attempt had an effect
│   └── LeaseLostError            a job belongs to another worker by now, or is over
├── MigrationError                the schema could not be brought to the wanted revision
│   └── SchemaMismatchError       the database is at a revision that this version cannot use
├── BackupError                   a backup could not be made, is not sound, or could not be restored
└── ImportFileError               a file could not be read as what it should be
```

The docstring of a class is its default message. Data that belong to an error are attributes, so that no caller has to
parse a message.
"""

from __future__ import annotations

__all__ = [
    "AgentSystemError",
    "AuthenticationError",
    "BackupError",
    "BudgetExceededError",
    "CheckError",
    "ConfigurationError",
    "ConflictError",
    "CursorError",
    "DatabaseBusyError",
    "DatabaseCorruptError",
    "DatabaseError",
    "DatabaseReadOnlyError",
    "DatabaseUnavailableError",
    "DiskFullError",
    "DuplicateKeyError",
    "EffectUnknownError",
    "EmbeddingError",
    "ForeignKeyError",
    "ImportFileError",
    "IntegrityError",
    "LeaseLostError",
    "MigrationError",
    "MissingExtraError",
    "NotConnectedError",
    "NotFoundError",
    "NotNullError",
    "OutcomeUnknownError",
    "PasswordResetRequiredError",
    "PermissionDeniedError",
    "QueueError",
    "SchemaMismatchError",
    "ScopeError",
    "StatementTimeoutError",
    "TransactionError",
    "TransactionTimeoutError",
    "TransitionError",
    "ValidationError",
]


class AgentSystemError(Exception):
    """Something in agent_system went wrong."""

    def __init__(self, message: str | None = None) -> None:
        if message is None:
            message = (type(self).__doc__ or "").strip()
        super().__init__(message)


class ConfigurationError(AgentSystemError):
    """A setting has a value that cannot work."""

    def __init__(self, message: str | None = None, *, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


class MissingExtraError(AgentSystemError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, feature: str) -> None:
        super().__init__(f'{feature} needs an optional dependency: pip install "agent_system[{extra}]"')
        self.extra = extra


class DatabaseError(AgentSystemError):
    """The database refused the operation or failed to carry it out."""


class NotConnectedError(DatabaseError):
    """The manager is not connected: use `async with DatabaseManager(...)` or await connect() first."""


class DatabaseBusyError(DatabaseError):
    """Another writer held the database lock for too long; nothing was written, and a retry may succeed."""


class DatabaseCorruptError(DatabaseError):
    """The file is damaged or is not a SQLite database; restore the newest backup."""


class DatabaseReadOnlyError(DatabaseError):
    """The database cannot be written to: check the permissions of the file and of its folder."""


class DatabaseUnavailableError(DatabaseError):
    """The database cannot be opened or reached: check the path or the URL."""


class DiskFullError(DatabaseError):
    """No space is left for the database; nothing was written. Free some space and try again."""


class OutcomeUnknownError(DatabaseError):
    """The commit failed in a way that does not tell whether it happened: read before you write again."""


class StatementTimeoutError(DatabaseError):
    """A statement ran for longer than the settings allow and was stopped; it changed nothing."""


class TransactionError(DatabaseError):
    """A transaction was used against its rules."""


class TransactionTimeoutError(TransactionError):
    """A transaction held the writer for too long and was rolled back."""


class IntegrityError(DatabaseError):
    """The data break a rule of the schema; nothing was written."""

    def __init__(
        self,
        message: str | None = None,
        *,
        table: str | None = None,
        constraint: str | None = None,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.table = table
        self.constraint = constraint
        self.fields = fields

    @property
    def field(self) -> str | None:
        """The first column that the broken rule names, when the database told."""
        return self.fields[0] if self.fields else None


class DuplicateKeyError(IntegrityError):
    """A row with this unique value exists already; nothing was written."""


class ForeignKeyError(IntegrityError):
    """A referenced row does not exist, or the row is still referenced; nothing was written."""


class NotNullError(IntegrityError):
    """A required value is missing; nothing was written."""


class CheckError(IntegrityError):
    """A value is outside the range that the schema allows; nothing was written."""


class NotFoundError(AgentSystemError):
    """No row has this id."""

    def __init__(self, entity: str, entity_id: object, message: str | None = None) -> None:
        super().__init__(message or f"there is no {entity} with the id {entity_id!r}")
        self.entity = entity
        self.entity_id = entity_id


class ValidationError(AgentSystemError):
    """The data were refused; nothing was written."""

    def __init__(self, message: str | None = None, *, field: str | None = None, entity: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.entity = entity


class CursorError(ValidationError):
    """The pagination cursor does not belong to this query."""


class ConflictError(AgentSystemError):
    """The row was changed by somebody else; read it again and repeat the change."""

    def __init__(
        self,
        message: str | None = None,
        *,
        entity: str | None = None,
        entity_id: object = None,
        expected_version: int | None = None,
        actual_version: int | None = None,
    ) -> None:
        super().__init__(message)
        self.entity = entity
        self.entity_id = entity_id
        self.expected_version = expected_version
        self.actual_version = actual_version


class TransitionError(ConflictError):
    """The wanted status may not follow the current one."""

    def __init__(
        self,
        message: str | None = None,
        *,
        entity: str | None = None,
        entity_id: object = None,
        current: str | None = None,
        wanted: str | None = None,
        allowed: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, entity=entity, entity_id=entity_id)
        self.current = current
        self.wanted = wanted
        self.allowed = allowed


class AuthenticationError(AgentSystemError):
    """The name or the password is wrong, or the account may not be used."""


class PasswordResetRequiredError(AuthenticationError):
    """The password is right, but the user has to choose a new one first."""

    def __init__(self, message: str | None = None, *, user_id: object = None) -> None:
        super().__init__(message)
        self.user_id = user_id


class PermissionDeniedError(AgentSystemError):
    """Who acts may not do this; nothing was changed."""


class ScopeError(PermissionDeniedError):
    """This lies beyond what a scoped facade may touch; nothing was changed."""

    def __init__(self, message: str | None = None, *, table: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.table = table
        self.field = field


class BudgetExceededError(AgentSystemError):
    """A budget has less left than the call may cost; nothing was set aside."""

    def __init__(
        self,
        message: str | None = None,
        *,
        budget_id: int | None = None,
        scope_kind: str | None = None,
        scope_key: str | None = None,
        period: str | None = None,
        limit_nano_usd: int | None = None,
        available_nano_usd: int | None = None,
        wanted_nano_usd: int | None = None,
    ) -> None:
        super().__init__(message)
        self.budget_id = budget_id
        self.scope_kind = scope_kind
        self.scope_key = scope_key
        self.period = period
        self.limit_nano_usd = limit_nano_usd
        self.available_nano_usd = available_nano_usd
        self.wanted_nano_usd = wanted_nano_usd


class EmbeddingError(AgentSystemError):
    """Texts could not be turned into vectors."""

    def __init__(self, message: str | None = None, *, model: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.model = model
        """The embedder's name."""
        self.status = status
        """The HTTP status that a service answered; None when it did not answer."""


class QueueError(AgentSystemError):
    """The queue refused the operation; nothing was changed."""


class LeaseLostError(QueueError):
    """The job belongs to another worker by now, or is over; nothing was changed."""

    def __init__(
        self,
        message: str | None = None,
        *,
        job_id: int | None = None,
        lease_token: int | None = None,
        status: str | None = None,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.lease_token = lease_token
        self.status = status
        """Where the job stands; None when its row is gone."""


class EffectUnknownError(QueueError):
    """Nobody knows whether an earlier attempt had this effect: look, and tell `em.effects.resolve`."""

    def __init__(
        self,
        message: str | None = None,
        *,
        effect_id: int | None = None,
        job_id: int | None = None,
        step: str | None = None,
    ) -> None:
        if message is None and step is not None:
            message = (
                f"job {job_id} was about to do {step!r} (effect {effect_id}) before, and nobody knows whether it did: "
                "look, and tell em.effects.resolve"
            )
        super().__init__(message)
        self.effect_id = effect_id
        self.job_id = job_id
        self.step = step


class MigrationError(AgentSystemError):
    """The schema could not be brought to the wanted revision; it is as it was before."""


class SchemaMismatchError(MigrationError):
    """The database is at a revision that this version of agent_system cannot use."""


class BackupError(AgentSystemError):
    """A backup could not be made, is not sound, or could not be restored; the database is as it was."""

    def __init__(self, message: str | None = None, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class ImportFileError(AgentSystemError):
    """The file could not be read as what it should be; nothing was imported."""

    def __init__(self, message: str | None = None, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path
