"""Filling `{{name}}` in."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fill_in", "placeholders"]

# One class of characters between the braces, so that the time is linear in the length of the text.
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


def placeholders(text: str) -> list[str]:
    """The names between double braces, without blanks around them, each once and in order."""
    names = (match.strip() for match in _PLACEHOLDER.findall(text))
    return [name for name in dict.fromkeys(names) if name]


def fill_in(text: str, values: Mapping[str, Any], *, keep_missing: bool = False) -> str:
    """Return the text with values for its placeholders.

    A value is put in as it is: what looks like a placeholder in it is none. Texts are put in bare, None, numbers,
    truth values, lists and mappings as JSON, anything else by `str`.

    Args:
        text: The text.
        values: What to put in, by name.
        keep_missing: Whether a placeholder without a value stays; otherwise it is an error.

    Raises:
        ValidationError: There is no value for a placeholder, or a value that is no JSON.
    """
    missing = [name for name in placeholders(text) if name not in values]
    if missing and not keep_missing:
        message = f"there is no value for {', '.join(f'{{{{{name}}}}}' for name in missing)}"
        raise ValidationError(message, field=missing[0])

    def replacement(match: re.Match[str]) -> str:
        name = match[1].strip()
        return _as_text(name, values[name]) if name in values else match[0]

    return _PLACEHOLDER.sub(replacement, text)


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float, list, tuple, dict)):
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            message = f"the value for {{{{{name}}}}} is no JSON: {exc}"
            raise ValidationError(message, field=name) from None
    return str(value)
