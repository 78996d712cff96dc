"""Every setting of the database layer, read from `AGENT_SYSTEM_*` environment variables.

A setting is the field's name in capitals behind the prefix: `pool_size` is AGENT_SYSTEM_POOL_SIZE. An empty variable
counts as absent, unknown variables with the prefix are ignored because other programs of the same system use it too.
"""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Annotated, Any, Self

import pydantic
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from agent_system.errors import ConfigurationError

__all__ = [
    "DEFAULT_PATH",
    "ENV_PREFIX",
    "DatabaseSettings",
    "Durability",
    "NetworkFileSystem",
    "PostgresBackup",
    "SqliteDriver",
    "mask_password",
]

DEFAULT_PATH = "./data/system.db"
ENV_PREFIX = "AGENT_SYSTEM_"
BACKENDS = ("sqlite", "postgresql", "postgres")
HIDDEN = "hidden"
KEY_BYTES = 32

# A longer wait than a day is a wrong unit, not a wish.
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Durability(StrEnum):
    """What an acknowledged write survives."""

    FULL = "full"
    """Power loss: every commit reaches the disk before it is acknowledged (synchronous=FULL)."""
    NORMAL = "normal"
    """A crash of the process, not of the power (synchronous=NORMAL, the pragma list of seed 003)."""


class NetworkFileSystem(StrEnum):
    """What becomes of a SQLite file on a network file system (NFS, SMB, 9p, virtiofs ...)."""

    REFUSE = "refuse"
    """It is not opened."""
    WARN = "warn"
    """It is opened with a warning: for a folder that one machine alone writes to."""


class PostgresBackup(StrEnum):
    """By what a PostgreSQL database is backed up."""

    AUTO = "auto"
    """By pg_dump where it is found, else by a copy of our own."""
    DUMP = "dump"
    """By pg_dump."""
    COPY = "copy"
    """By a copy of our own, which needs no programs."""


class SqliteDriver(StrEnum):
    """Which SQLite library the process uses; two of them on one file lose locks, so there is only one."""

    STANDARD = "sqlite3"
    PYSQLITE3 = "pysqlite3"


class DatabaseSettings(BaseSettings):
    """How a `DatabaseManager` connects, waits, caches and commits.

    Arguments win over environment variables. An instance is immutable and its repr shows no password.

    Raises:
        ConfigurationError: a value breaks a rule; the message names the variable and the rule, not the value.

    Example:
        >>> DatabaseSettings(database_url="./data/agents.db", durability="normal").url
        './data/agents.db'
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        # Concerns arguments only: the environment is asked for known names and never yields an unknown one.
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        # The error that pydantic raises is the cause of ours and is printed with it: it must not quote a password.
        hide_input_in_errors=True,
    )

    # Where the database is.
    database_url: str | None = Field(
        None, min_length=1, description="path of a SQLite file, or a sqlite:// or postgresql:// URL"
    )
    db_host: str | None = Field(None, validation_alias="DB_HOST", description="seed 004: the PostgreSQL server")
    db_port: int = Field(5432, validation_alias="DB_PORT", ge=1, le=65_535, description="seed 004: the server's port")
    db_username: str = Field("postgres", validation_alias="DB_USERNAME", description="seed 004: the role")
    db_password: SecretStr | None = Field(
        None, validation_alias="DB_PASSWORD", description="seed 004: the role's password; None leaves it to the driver"
    )
    db_name: str | None = Field(None, validation_alias="DB_NAME", description="seed 004: the database's name")
    auto_migrate: bool = Field(default=True, description="connect() brings the schema to head")
    backup_before_migration: bool = Field(
        default=True, description="a SQLite file that holds a schema is copied and the copy verified before it migrates"
    )

    network_file_system: NetworkFileSystem = Field(
        NetworkFileSystem.REFUSE,
        description="what becomes of a SQLite file on a network file system",
    )
    pg_backup: PostgresBackup = Field(
        PostgresBackup.AUTO, description="whether backups of PostgreSQL are made by pg_dump or by a copy of our own"
    )
    pg_bin: str | None = Field(None, description="folder of pg_dump and pg_restore; None: wherever PATH has them")

    # Connections.
    sqlite_driver: SqliteDriver = Field(SqliteDriver.STANDARD, description="the SQLite library of this process")
    sqlite_session_connections: int = Field(
        2, ge=1, le=64, description="SQLite connections for sessions and long reads, beside the writer and the reader"
    )
    sqlite_cache_pages: int = Field(
        10_000, ge=0, le=10_000_000, description="PRAGMA cache_size of each SQLite connection (seed 003), in pages"
    )
    pool_size: int = Field(10, ge=1, le=1_000, description="PostgreSQL connections that stay open")
    pool_max_overflow: int = Field(10, ge=0, le=1_000, description="PostgreSQL connections beyond pool_size at a peak")
    pool_timeout_seconds: Seconds = Field(30.0, description="longest wait for a pooled connection")

    # Waiting.
    connect_timeout_seconds: Seconds = Field(10.0, description="longest wait for a server to accept a connection")
    lock_timeout_seconds: Seconds = Field(30.0, description="longest wait for the write lock in all (seed 003)")
    busy_timeout_ms: int = Field(
        50,
        ge=0,
        le=100,
        description="SQLite's own wait for a lock; short because it blocks a thread, retried with async back-off",
    )
    statement_timeout_seconds: Seconds | None = Field(None, description="longest run of one statement; None: no limit")
    transaction_warn_seconds: Seconds = Field(5.0, description="a transaction open for longer is warned about")
    transaction_timeout_seconds: Seconds = Field(30.0, description="a transaction open for longer is rolled back")

    # Upkeep.
    maintenance_seconds: Seconds | None = Field(
        60.0, description="time between two rounds of upkeep (log, statistics, free pages); None: no rounds"
    )
    slow_query_milliseconds: float | None = Field(
        None, gt=0, description="a statement that takes longer is logged with its plan; None: nothing is measured"
    )
    long_read_seconds: Seconds = Field(300.0, description="a transaction on PostgreSQL open for longer is warned about")
    wal_limit_mib: int = Field(
        1_024, ge=1, le=1_048_576, description="a longer write-ahead log ends the reading session that keeps it so long"
    )

    # Speed against safety and memory.
    durability: Durability = Field(Durability.FULL, description="what an acknowledged write survives")
    checkpoint_pages: int = Field(
        4_000,
        ge=1,
        le=1_000_000,
        description="pages in the write-ahead log that make a checkpoint due, or half as many (checkpoints.py)",
    )
    write_group_size: int = Field(256, ge=1, le=100_000, description="most single writes that share one commit")
    write_queue_limit: int = Field(10_000, ge=1, le=10_000_000, description="most writes that wait; more callers block")
    inline_reads: bool = Field(default=True, description="SQLite lookups by key run on the event loop's own thread")
    inline_writes: bool = Field(
        default=True, description="so does, at durability normal, a SQLite write of one short row that comes alone"
    )
    hot_cache_size: int = Field(
        10_000, ge=0, le=10_000_000, description="most rows in the hot cache (seed 003); 0 turns it off"
    )
    search_memory_mib: int = Field(
        512,
        ge=0,
        le=1_048_576,
        description="most memory of one table's vectors of one model, or of its words; beyond it the disk is read",
    )
    exact_vectors: int = Field(
        150_000,
        ge=0,
        le=1_000_000_000,
        description="most vectors of one model that are all compared; of more, those that are likely to be alike",
    )

    # Accounts. The second recommended option of RFC 9106, section 4 (64 MiB, three passes, four lanes), which is above
    # the least that OWASP's Password Storage Cheat Sheet asks for (19 MiB, two passes, one lane).
    password_memory_kib: int = Field(65_536, ge=8, le=4_194_304, description="memory of one argon2id hash, in KiB")
    password_time_cost: int = Field(3, ge=1, le=1_000, description="passes of one argon2id hash")
    password_parallelism: int = Field(4, ge=1, le=64, description="lanes of one argon2id hash")
    password_concurrency: int = Field(
        2, ge=1, le=64, description="passwords that are hashed at once; each takes password_memory_kib, others wait"
    )
    # NIST SP 800-63B, section 5.1.1.2: at least 8 characters, and no rules about which.
    password_min_length: int = Field(8, ge=1, le=1_024, description="least characters of a new password")
    secret_keys: SecretStr | None = Field(
        None,
        description="keys that secrets in preferences are encrypted with, comma-separated, the newest first: each 32 "
        "bytes in URL-safe base64, as cryptography's Fernet.generate_key() makes them; None stores secrets as given",
    )

    audit_key: SecretStr | None = Field(
        None,
        description="keys of the audit chain, comma-separated, the newest first: each a text of 32 characters or more, "
        "unknown to whoever can write to the database; None: events cannot be sealed",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: object, handler: pydantic.ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except pydantic.ValidationError as error:
            raise _configuration_error(error) from error

    @model_validator(mode="before")
    @classmethod
    def _ignore_unused_fallback(cls, data: object) -> object:
        # The names of seed 004 carry no prefix: where they do not decide, they may belong to another program.
        if not isinstance(data, dict):
            return data
        if data.get("database_url") is None and ("DB_HOST" in data or "DB_NAME" in data):
            return data
        return {name: value for name, value in data.items() if not name.startswith("DB_")}

    @field_validator("database_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None or "://" not in value:
            return value
        try:
            backend = make_url(value).get_backend_name()
        except (ArgumentError, ValueError):
            # Without the cause: it may quote the URL and with it the password.
            message = "must be a path or a URL such as postgresql+asyncpg://user:password@host:5432/name"
            raise ValueError(message) from None
        if backend not in BACKENDS:
            message = f"must be a path, a sqlite:// or a postgresql:// URL, not {backend}://"
            raise ValueError(message)
        return value

    @field_validator("transaction_timeout_seconds")
    @classmethod
    def _check_timeout(cls, value: float, info: pydantic.ValidationInfo) -> float:
        warn = info.data.get("transaction_warn_seconds")
        if warn is not None and value < warn:
            message = f"must not be below {ENV_PREFIX}TRANSACTION_WARN_SECONDS ({warn:g})"
            raise ValueError(message)
        return value

    @field_validator("secret_keys")
    @classmethod
    def _check_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(map(_is_key, value.get_secret_value().split(","))):
            message = "must be keys of 32 bytes in URL-safe base64, separated by commas"
            raise ValueError(message)
        return value

    @field_validator("audit_key")
    @classmethod
    def _check_audit_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(key.strip()) < KEY_BYTES for key in value.get_secret_value().split(",")):
            message = f"must be keys of {KEY_BYTES} characters or more, separated by commas"
            raise ValueError(message)
        return value

    @property
    def url(self) -> str:
        """The path or URL that takes effect, with its password: `database_url`, else seed 004's server, else a file."""
        if self.database_url is not None:
            return self.database_url
        if self.db_host is None and self.db_name is None:
            return DEFAULT_PATH
        return URL.create(
            "postgresql+asyncpg",
            username=self.db_username,
            password=self.db_password.get_secret_value() if self.db_password else None,
            host=self.db_host or "localhost",
            port=self.db_port,
            database=self.db_name or "coding_agent",
        ).render_as_string(hide_password=False)

    @property
    def writes_inline(self) -> bool:
        """Whether short writes may run on the event loop's own thread: only where a commit syncs nothing."""
        return self.inline_writes and self.durability is Durability.NORMAL

    @property
    def safe_url(self) -> str:
        """The same path or URL for people to read, its password masked."""
        return mask_password(self.url)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Return what repr and str show, the URL without its password."""
        shown = dict(super().__repr_args__())
        if self.database_url is not None:
            shown["database_url"] = mask_password(self.database_url)
        return list(shown.items())


def mask_password(path_or_url: str) -> str:
    """Return a path or URL that is safe to print: no password is left in it."""
    if "://" not in path_or_url:
        return path_or_url
    try:
        url = make_url(path_or_url)
    except (ArgumentError, ValueError):
        return f"{path_or_url.partition('://')[0]}://{HIDDEN}"
    secret = {key: HIDDEN for key in url.query if "pass" in key.lower()}
    return url.update_query_dict(secret).render_as_string(hide_password=True)


def _is_key(text: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text.strip())) == KEY_BYTES
    except ValueError:
        return False


def _configuration_error(error: pydantic.ValidationError) -> ConfigurationError:
    """Turn pydantic's report into one line per broken rule, each with the variable to correct."""
    variables, lines = [], []
    for problem in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{name}: there is no such setting")
            continue
        variable = name if name.startswith("DB_") else ENV_PREFIX + name.upper()
        variables.append(variable)
        lines.append(f"{variable}: {problem['msg'].removeprefix('Value error, ')}")
    return ConfigurationError("\n".join(lines), variable=variables[0] if variables else None)
