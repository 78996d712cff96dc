"""What kind of error it was: seed 002's nine classes, told by the exception or by the words of its message."""

from __future__ import annotations

import re

from agent_system.types import ToolErrorCategory as Category

__all__ = ["category_of", "category_of_exception"]

# In this order, the particular before the general: "git: command not found" is a missing command.
_WORDS: dict[Category, str] = {
    Category.COMMAND_NOT_FOUND: r"command not found|not recognized as|no such command|unknown command|exit code 127",
    Category.PERMISSION: (
        r"permission denied|access (is )?denied|forbidden|not permitted|unauthori[sz]ed|read-only file system"
        r"|\b(EACCES|EPERM|401|403)\b"
    ),
    Category.FILE_NOT_FOUND: r"no such file|file not found|cannot find|does not exist|\bENOENT\b|FileNotFoundError",
    Category.TIMEOUT: r"timed? ?out|deadline exceeded|\bETIMEDOUT\b|TimeoutError|\b504\b",
    Category.GIT: (
        r"\bgit(hub)? error|merge conflict|CONFLICT \(|\brebas(e|ing)\b|detached head|not a git"
        r"|\bfatal: .*(branch|refspec|commit|repository|remote)"
    ),
    Category.SYNTAX: r"syntax ?error|invalid syntax|unexpected (token|eof|end of)|pars(e|ing) error|IndentationError",
    Category.RESOURCE: (
        r"out of memory|cannot allocate memory|no space left|disk (is )?full|quota|too many|limit exceeded|rate.limit"
        r"|resource (temporarily )?(unavailable|exhausted)|MemoryError|\b(ENOSPC|EMFILE|ENOMEM|429|OOM)\b"
    ),
    Category.NETWORK: (
        r"connection|network|unreachable|\bdns\b|name resolution|could not resolve|\bsocket\b|\b(ssl|tls)\b"
        r"|certificate|\b(ECONN\w+|EHOSTUNREACH|502|503)\b"
    ),
    Category.VALIDATION: (
        r"validation|invalid|malformed|bad request|must be|is required|missing (required|argument)|\b(400|422)\b"
        r"|(Value|Type|Key)Error"
    ),
}
_PATTERNS = tuple((category, re.compile(words, re.IGNORECASE)) for category, words in _WORDS.items())
_KINDS: tuple[tuple[type[BaseException], Category], ...] = (
    (TimeoutError, Category.TIMEOUT),
    (PermissionError, Category.PERMISSION),
    (FileNotFoundError, Category.FILE_NOT_FOUND),
    (ConnectionError, Category.NETWORK),
    (SyntaxError, Category.SYNTAX),
    (MemoryError, Category.RESOURCE),
)


def category_of(error: str) -> Category:
    """Tell what kind of error a message is about."""
    return next((category for category, words in _PATTERNS if words.search(error)), Category.UNKNOWN)


def category_of_exception(exc: BaseException) -> Category:
    """Tell what kind of error an exception is: by its class where that tells, else by its message."""
    for kind, category in _KINDS:
        if isinstance(exc, kind):
            return category
    by_words = category_of(str(exc))
    if by_words is Category.UNKNOWN and isinstance(exc, (ValueError, TypeError, LookupError)):
        return Category.VALIDATION
    return by_words
