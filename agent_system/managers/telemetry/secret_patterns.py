"""What secrets look like: the names that they have, and the texts that they are.

Formats of tokens are those that their issuers document for secret scanning (GitHub, GitLab, Slack, AWS, Google, Stripe,
npm, PyPI, Hugging Face, Telegram, SendGrid, the makers of language models, RFC 7519 for JSON Web Tokens).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BEFORE_NAME",
    "HINTS",
    "NAME",
    "NAME_HINTS",
    "PATTERNS",
    "REDACTED",
    "VALUE_OF_NAME",
    "is_secret_name",
]

REDACTED = "<redacted>"
"""Stands in the place of a secret."""

Replace: TypeAlias = "Callable[[re.Match[str]], str]"
Pattern: TypeAlias = "tuple[tuple[str, ...], re.Pattern[str], Replace]"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

# Words that make any name a secret's.
_ALONE = frozenset(
    {
        "apikey", "auth", "authorization", "bearer", "cookie", "cookies", "credential", "credentials", "creds", "dsn",
        "jwt", "otp", "passcode", "passphrase", "passwd", "password", "passwords", "pwd", "secret", "secrets", "token",
    }
)  # fmt: skip
# Words that make the name of a key a secret's.
_KEYS = frozenset(
    {"access", "account", "api", "auth", "client", "encryption", "hmac", "license", "master", "private", "secret",
     "service", "session", "shared", "signing", "ssh", "storage"}
)  # fmt: skip
_JOINED = re.compile(
    r"apikey|(access|auth|refresh|session|bearer|id|csrf)token|password|passwd|(client|api)secret"
    r"|(private|secret|access|signing|encryption)key|connection(string|url|uri)|connstr|databaseurl"
)
# What tells about a secret without being one.
_ABOUT = frozenset(
    {
        "budget", "cost", "count", "counts", "expires", "expiry", "field", "id", "length", "limit", "max", "method",
        "min", "mode", "name", "policy", "provider", "required", "scheme", "status", "strategy", "total", "ttl", "type",
        "usage", "used", "window",
    }
)  # fmt: skip


@lru_cache(maxsize=4096)
def is_secret_name(name: str, *, is_number: bool = False) -> bool:
    """Tell whether what has this name is a secret.

    Args:
        name: The key, the name of a variable or header, or an option of a command, in any spelling of words.
        is_number: The value is a number: tokens are counted, passwords and PINs may be digits.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or (words[-1] in _ABOUT and not _JOINED.search("".join(words[-2:]))):
        return False
    if is_number and "token" in words:
        return False
    if not _ALONE.isdisjoint(words):
        return True
    if "key" in words[1:] and words[words.index("key", 1) - 1] in _KEYS:
        return True
    return _JOINED.search("".join(words)) is not None


# The part of a name by which it is found, in lower case: an exact search is five times as fast as one in any case.
NAME_HINTS = (
    "pass", "pwd", "secret", "token", "key", "cred", "jwt", "dsn", "otp", "cookie", "connection", "database",
)  # fmt: skip
NAME = re.compile(
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|credential|creds|jwt|dsn|otp|cookie|connection[_-]?(?:string|url)"
    r"|(?:api|access|account|private|signing|encryption|master|shared|storage|ssh|service|auth)[_-]?key"
    r"|database[_-]?url"
)
BEFORE_NAME = re.compile(r"[\w.-]{0,40}\Z")
# Quotes are escaped once for each JSON text around them.
_QUOTE = r"\\{0,8}[\"']?"
VALUE_OF_NAME = re.compile(
    rf"[\w.-]{{0,40}}(?:{_QUOTE}\s{{0,8}}(?P<sign>=>|:=|[:=])\s{{0,8}}|\s{{1,8}}(?!-))"
    r"(?:\\{0,8}[\"'](?P<quoted>[^\"'\\\n]+)|(?P<bare>[^\s\"'&;,)}\]\\]+))"
)
"""What follows a name: the rest of it, then a sign or, behind an option of a command, a space, then the value."""


def _behind(match: re.Match[str]) -> str:
    """Replace what is behind the first group."""
    return match.group(1) + REDACTED


def _all(_match: re.Match[str]) -> str:
    return REDACTED


def _pattern(hints: str | tuple[str, ...], text: str, replace: Replace, flags: int = re.IGNORECASE) -> Pattern:
    return ((hints,) if isinstance(hints, str) else hints), re.compile(text, flags), replace


# Every repetition has an end, so that no text takes longer than its length deserves.
PATTERNS: tuple[Pattern, ...] = (
    _pattern(
        "private key-----",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
        _all,
        re.DOTALL,
    ),
    # Whatever stands before the @ of a URL: a user with a password, or a token alone.
    _pattern("://", r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@:\"'<>]{0,256}:[^\s/\"'<>]{0,1024}(?=@)", _behind),
    _pattern("://", r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@:\"'<>]{16,1024}(?=@)", _behind),
    _pattern(
        "authorization", rf"(authorization{_QUOTE}\s{{0,8}}[:=]\s{{0,8}}{_QUOTE})[^\s\"'\\][^\"'\r\n\\]*", _behind
    ),
    _pattern("cookie", rf"(\b(?:set-)?cookie{_QUOTE}\s{{0,8}}:\s{{0,8}}{_QUOTE})[^\s\"'\\][^\"'\r\n\\]*", _behind),
    _pattern("bearer", r"(\bbearer\s{1,8})[\w.~+/=-]{8,}", _behind),
    _pattern("basic", r"(\bbasic\s{1,8})(?=[A-Za-z0-9+/]{0,200}[\d=])[A-Za-z0-9+/]{12,}={0,2}", _behind),
    _pattern(("-u", "--user"), r"((?<!\S)(?:-u|--user)[ =][\"']?[^\s:\"'=]{1,200}:)[^\s\"']+", _behind, 0),
    _pattern(
        ("mysql", "mariadb", "sshpass"), r"(\b(?:mysql\w{0,10}|mariadb|sshpass)\b[^\n|;]{0,200}?\s-p ?)\S+", _behind
    ),
    _pattern("sk-", r"\bsk-[\w-]{16,}", _all),
    _pattern(("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_"), r"\b(?:gh[oprsu]|github_pat)_\w{20,}", _all),
    _pattern(("glpat-", "xox", "pypi-"), r"\b(?:glpat-|xox[abeprs]-|pypi-)[\w-]{10,}", _all),
    _pattern(("akia", "asia"), r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", _all, 0),
    _pattern(("aiza", "ya29."), r"\b(?:AIza|ya29\.)[\w.-]{20,}", _all, 0),
    _pattern(("k_live_", "k_test_", "whsec_"), r"\b(?:[rs]k_(?:live|test)|whsec)_\w{10,}", _all),
    _pattern(("npm_", "hf_", "gsk_", "xai-"), r"\b(?:npm_|hf_|gsk_|xai-)\w{20,}", _all),
    _pattern("sg.", r"\bSG\.[\w-]{16,}\.[\w-]{16,}", _all, 0),
    _pattern(":aa", r"\b\d{8,10}:AA[\w-]{30,}", _all, 0),
    _pattern("eyj", r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", _all, 0),
)
"""Of each: texts of which a lower-cased text has one if it can match at all, the pattern, and what takes its place.

They are tried in this order; what has taken the place of a secret is not taken for one again.
"""

HINTS = tuple(dict.fromkeys([*NAME_HINTS, *(hint for hints, _, _ in PATTERNS for hint in hints)]))
"""Most texts have none of these, and are done with."""
