"""Secrets are taken out of what runtimes report, wherever they stand; what only looks like one stays."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_system.managers.telemetry.error_categories import category_of, category_of_exception
from agent_system.managers.telemetry.secret_patterns import REDACTED, is_secret_name
from agent_system.managers.telemetry.secrets import redact, redact_text
from agent_system.types import ToolErrorCategory as Category

S = "S3cr3tValue9"
SECRETS: list[Any] = [
    {"password": S},
    {"a": {"b": [{"apiKey": S}]}},
    {"headers": {"Authorization": f"Bearer {S}", "X-Auth-Token": S}},
    {"headers": [["X-Api-Key", S]]},
    {"env": [{"name": "DB_PASSWORD", "value": S}]},
    {"argv": ["psql", "--password", S, "-h", "x"]},
    {"credentials": {"user": "u", "phrase": S}},
    {"connection_string": S, "client_secret": S, "session_token": S, "id_token": S},
    {"x": f'[1, {{"token": "{S}"}}]'},
    {"x": f'{{"body": "{{\\"token\\": \\"{S}\\"}}"}}'},
    f"curl -H 'Authorization: Bearer {S}' https://x",
    f"curl -u admin:{S} https://x",
    f"postgresql://u:{S}@h/db",
    f"redis://:{S}@host:6379/0",
    f"https://{S}{S}@github.com/x",
    f"git clone https://oauth2:{S}@gitlab.com/x",
    f'{{"password": "{S}", "max_tokens": 5}}',
    f'prefix {{"password": "{S}"}} x',
    f"{{'password': '{S}', 'b': 1}}",
    f'x \\"token\\": \\"{S}\\"',
    f"Server=x;Password={S};Database=y",
    f"AccountKey={S};EndpointSuffix=x",
    f"export AWS_SECRET_ACCESS_KEY={S}",
    f"PGPASSWORD={S} psql",
    f"?token={S}&a=b",
    f"mysql -u root -p{S} db",
    f"sshpass -p {S} ssh x",
    f"--api-key {S}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{S}",
    f"Cookie: session={S}; a=b",
    f"password: '{S} and more {S}'",
    f'password="{S}',
    f"api_key=>'{S}'",
    f"Error: login failed for password={S}",
    f"İstanbul password={S}",
    f"sk-{S * 3}",
    f"ghp_{S * 3}",
    f"xoxb-{S}",
    f"eyJ{S}.eyJ{S}.{S}",
    f"123456789:AA{S * 3}",
]
HARMLESS: list[Any] = [
    "max_tokens=100",
    "token_count: 5",
    "the author of keyboards passed tests",
    "def f(token_type='x')",
    "SELECT * FROM keys",
    "monkey://x",
    "https://example.com:8080/path",
    "Basic understanding of things",
    "git log --author=me",
    "secretary: Ann",
    "scp -p a b",
    {"command": "pytest -k tokens -p no:cacheprovider"},
    {"limit": 5, "pattern": "def .*", "file_path": "/r/x.py", "key": "x", "primary_key": "id"},
    {"input_tokens": 5, "max_tokens": 10, "tokens": 1, "token": 12, "auth_type": "basic", "author": "me"},
    {"password": None, "has_password": True, "token": ""},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("value", SECRETS, ids=repr)
def test_secrets_are_taken_out(value: Any) -> None:
    cleaned = redact(value)
    assert S not in repr(cleaned)
    assert REDACTED in repr(cleaned)
    assert redact(cleaned) == cleaned, "what was done before is done again"


@pytest.mark.parametrize("value", HARMLESS, ids=repr)
def test_what_is_no_secret_stays_the_same_object(value: Any) -> None:
    assert redact(value) is value


@given(JSON)
def test_any_value_keeps_its_shape(value: Any) -> None:
    cleaned = redact(value)
    assert redact(cleaned) == cleaned
    assert type(cleaned) is type(value)


@given(JSON, st.sampled_from(["password", "api_key", "Authorization", "client-secret", "refreshToken"]))
def test_a_secret_is_found_at_any_depth(value: Any, name: str) -> None:
    assert S not in repr(redact([value, {"outer": [{name: S}, value]}]))


def test_only_what_is_secret_is_taken_out() -> None:
    assert redact({"command": f"curl -H 'Authorization: Bearer {S}' https://x", "n": 5}) == {
        "command": f"curl -H 'Authorization: {REDACTED}' https://x",
        "n": 5,
    }
    assert redact_text(f"psql postgresql://u:{S}@h/db -c x") == f"psql postgresql://{REDACTED}@h/db -c x"
    assert redact_text(f"Server=x;Password={S};Database=y") == f"Server=x;Password={REDACTED};Database=y"


@pytest.mark.parametrize(
    "text",
    ["-" * 100_000, "a.b-" * 25_000, "http://" + "a:" * 50_000, "key=" * 25_000, "token " * 16_000, "mysql " * 16_000],
    ids=lambda text: text[:10],
)
def test_no_text_takes_longer_than_its_length_deserves(text: str) -> None:
    began = time.perf_counter()
    redact_text(f"{text} password authorization cookie basic bearer -u mysql")
    assert time.perf_counter() - began < 5


def test_a_deep_value_does_not_break_it() -> None:
    value: Any = S
    for _ in range(10_000):
        value = [value]
    assert S not in repr(redact([{"a": redact(value)}]))[:2000]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("password", True), ("userPassword", True), ("API_KEY", True), ("x-api-key", True), ("accessKeyId", False),
        ("AWS_SECRET_ACCESS_KEY", True), ("token_count", False), ("tokens", False), ("keyboard", False), ("", False),
        ("authorization", True), ("author", False), ("auth_type", False), ("secretName", False), ("dsn", True),
    ],
)  # fmt: skip
def test_names_of_secrets(name: str, wanted: bool) -> None:  # noqa: FBT001 (the expected value)
    assert is_secret_name(name) is wanted


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ("bash: foo: command not found", Category.COMMAND_NOT_FOUND),
        ("EACCES: permission denied, open '/x'", Category.PERMISSION),
        ("[Errno 2] No such file or directory: 'x'", Category.FILE_NOT_FOUND),
        ("Command timed out after 120s", Category.TIMEOUT),
        ("fatal: not a git repository", Category.GIT),
        ("SyntaxError: invalid syntax", Category.SYNTAX),
        ("OSError: No space left on device", Category.RESOURCE),
        ("HTTP 429 Too Many Requests", Category.RESOURCE),
        ("Connection refused", Category.NETWORK),
        ("1 validation error for X", Category.VALIDATION),
        ("it just did not work", Category.UNKNOWN),
        ("", Category.UNKNOWN),
    ],
)
def test_errors_have_categories(error: str, category: Category) -> None:
    assert category_of(error) is category


@pytest.mark.parametrize(
    ("exc", "category"),
    [
        (TimeoutError(), Category.TIMEOUT),
        (PermissionError("x"), Category.PERMISSION),
        (FileNotFoundError("x"), Category.FILE_NOT_FOUND),
        (ConnectionResetError("x"), Category.NETWORK),
        (MemoryError(), Category.RESOURCE),
        (ValueError("x"), Category.VALIDATION),
        (RuntimeError("merge conflict in a.py"), Category.GIT),
        (RuntimeError("x"), Category.UNKNOWN),
    ],
    ids=repr,
)
def test_exceptions_have_categories(exc: Exception, category: Category) -> None:
    assert category_of_exception(exc) is category
