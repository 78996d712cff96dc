"""Settings come from arguments, then AGENT_SYSTEM_*, then seed 004's DB_*, and a wrong one says which and why."""

from __future__ import annotations

import traceback

import pytest
from pydantic import ValidationError as PydanticValidationError

from agent_system.errors import ConfigurationError
from agent_system.settings import DEFAULT_PATH, DatabaseSettings, Durability, SqliteDriver, mask_password

SECRET = "s3cr3t"
SERVER = ("DB_HOST", "DB_PORT", "DB_USERNAME", "DB_PASSWORD", "DB_NAME")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*SERVER, *(f"AGENT_SYSTEM_{name.upper()}" for name in DatabaseSettings.model_fields)]
    for name in names:
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_safe_and_those_of_the_seeds() -> None:
    settings = DatabaseSettings()
    assert settings.url == DEFAULT_PATH == "./data/system.db"
    assert settings.durability is Durability.FULL
    assert settings.sqlite_driver is SqliteDriver.STANDARD
    assert settings.auto_migrate
    assert settings.lock_timeout_seconds == 30
    assert settings.hot_cache_size == 10_000


def test_environment_sets_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", "postgresql://db.example/agents")
    monkeypatch.setenv("AGENT_SYSTEM_DURABILITY", "normal")
    monkeypatch.setenv("AGENT_SYSTEM_AUTO_MIGRATE", "false")
    monkeypatch.setenv("AGENT_SYSTEM_POOL_SIZE", "3")
    monkeypatch.setenv("AGENT_SYSTEM_STATEMENT_TIMEOUT_SECONDS", "1.5")
    settings = DatabaseSettings()
    assert settings.url == "postgresql://db.example/agents"
    assert settings.durability is Durability.NORMAL
    assert not settings.auto_migrate
    assert settings.pool_size == 3
    assert settings.statement_timeout_seconds == 1.5


def test_argument_wins_over_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_POOL_SIZE", "3")
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", "a.db")
    settings = DatabaseSettings(pool_size=4, database_url="b.db")
    assert (settings.pool_size, settings.url) == (4, "b.db")


def test_unknown_variables_are_ignored_because_other_programs_use_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_SAMPLE_DATA", "/somewhere")
    assert DatabaseSettings().url == DEFAULT_PATH


def test_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", "")
    monkeypatch.setenv("AGENT_SYSTEM_POOL_SIZE", "")
    assert DatabaseSettings().url == DEFAULT_PATH


class TestServerVariablesOfSeed004:
    def test_make_a_postgresql_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = ("postgres", "5433", "coder", f"{SECRET}@:/%", "agents")
        for name, value in zip(SERVER, values, strict=True):
            monkeypatch.setenv(name, value)
        assert DatabaseSettings().url == f"postgresql+asyncpg://coder:{SECRET}%40%3A%2F%25@postgres:5433/agents"
        assert SECRET not in DatabaseSettings().safe_url

    @pytest.mark.parametrize(
        ("name", "value", "url"),
        [
            ("DB_HOST", "server", "postgresql+asyncpg://postgres@server:5432/coding_agent"),
            ("DB_NAME", "agents", "postgresql+asyncpg://postgres@localhost:5432/agents"),
        ],
    )
    def test_host_or_name_is_enough(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, url: str) -> None:
        monkeypatch.setenv(name, value)
        assert DatabaseSettings().url == url

    def test_decide_nothing_without_host_and_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DB_PORT", "not ours")
        assert DatabaseSettings().url == DEFAULT_PATH

    def test_yield_to_the_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DB_HOST", "server")
        monkeypatch.setenv("DB_PORT", "not ours")
        assert DatabaseSettings(database_url="a.db").url == "a.db"

    def test_wrong_port_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DB_HOST", "server")
        monkeypatch.setenv("DB_PORT", "70000")
        with pytest.raises(ConfigurationError, match=r"^DB_PORT: .*less than or equal to 65535") as caught:
            DatabaseSettings()
        assert caught.value.variable == "DB_PORT"


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("POOL_SIZE", "0", "greater than or equal to 1"),
        ("POOL_SIZE", "many", "valid integer"),
        ("DURABILITY", "off", "'full' or 'normal'"),
        ("SQLITE_DRIVER", "apsw", "'sqlite3' or 'pysqlite3'"),
        ("AUTO_MIGRATE", "perhaps", "valid boolean"),
        ("BUSY_TIMEOUT_MS", "101", "less than or equal to 100"),
        ("LOCK_TIMEOUT_SECONDS", "nan", "finite number"),
        ("LOCK_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("TRANSACTION_TIMEOUT_SECONDS", "1", "AGENT_SYSTEM_TRANSACTION_WARN_SECONDS"),
        ("DATABASE_URL", "mysql://u:p@h/x", "sqlite:// or a postgresql://"),
        ("DATABASE_URL", "postgresql://u:p@h:port/x", "a path or a URL"),
    ],
)
def test_wrong_variable_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, rule: str
) -> None:
    monkeypatch.setenv(f"AGENT_SYSTEM_{variable}", value)
    with pytest.raises(ConfigurationError) as caught:
        DatabaseSettings()
    assert caught.value.variable == f"AGENT_SYSTEM_{variable}"
    assert str(caught.value).startswith(f"AGENT_SYSTEM_{variable}: ")
    assert rule in str(caught.value)


def test_wrong_argument_names_the_same_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"AGENT_SYSTEM_DURABILITY: .*'full' or 'normal'"):
        DatabaseSettings.model_validate({"durability": "off"})


def test_unknown_argument_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="pool_sise: there is no such setting"):
        DatabaseSettings.model_validate({"pool_sise": 1})


def test_every_wrong_value_is_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        DatabaseSettings(pool_size=0, hot_cache_size=-1)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("url", [f"postgresql://u:{SECRET}@h:port/x", f"mysql://u:{SECRET}@h/x", f"://{SECRET}"])
def test_error_and_its_causes_never_print_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        DatabaseSettings(database_url=url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", [f"postgresql://u:{SECRET}@h/x", f"postgresql://h/x?password={SECRET}"])
def test_repr_masks_the_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    monkeypatch.setenv("DB_HOST", "server")
    for settings in (DatabaseSettings(), DatabaseSettings(database_url=url)):
        assert SECRET in settings.url
        assert SECRET not in f"{settings!r} {settings!s} {settings.safe_url}"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("./data/system.db", "./data/system.db"),
        ("postgresql://u:p@h/x", "postgresql://u:***@h/x"),
        ("postgresql://u@h/x?password=p&host=/run", "postgresql://u@h/x?host=%2Frun&password=hidden"),
        ("postgresql://u:p@h:port/x", "postgresql://hidden"),
    ],
)
def test_mask_password(url: str, masked: str) -> None:
    assert mask_password(url) == masked


def test_settings_are_immutable() -> None:
    name = "pool_size"
    with pytest.raises(PydanticValidationError, match="frozen"):
        setattr(DatabaseSettings(), name, 3)
