"""Settings as Python values and as the texts that are stored."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from agent_system.errors import ValidationError
from agent_system.types import ConfigType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["checked_type", "read_text", "to_text"]

_TRUTHS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def to_text(key: str, value: Any, kind: ConfigType | str | None = None) -> tuple[ConfigType, str]:
    """The type of a value, and the text that it is stored as.

    Args:
        key: Key of the setting, for the error.
        value: A text, an integer, a finite number, a truth value, or anything that JSON knows.
        kind: What it has to be; None is what it is. Everything can be `json`.

    Raises:
        ValidationError: It is something else, or no value of a setting at all.
    """
    natural = _natural_type(value)
    wanted = natural if kind is None else checked_type(key, kind)
    if wanted is ConfigType.FLOAT and natural is ConfigType.INT:
        value, natural = float(value), wanted
    if wanted not in {natural, ConfigType.JSON}:
        message = f"config.{key}: {value!r} is no {wanted}"
        raise ValidationError(message, field=key, entity="Config")
    if natural is ConfigType.STRING and wanted is natural:
        return wanted, str(value)
    try:
        return wanted, json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        message = f"config.{key}: {exc}"
        raise ValidationError(message, field=key, entity="Config") from None


def read_text(text: str, kind: ConfigType) -> Any:
    """The value of a text of this type.

    Raises:
        ValueError: It is none.
    """
    return _READERS[kind](text)


def checked_type(key: str, kind: ConfigType | str) -> ConfigType:
    """The type of this name.

    Raises:
        ValidationError: There is none.
    """
    try:
        return ConfigType(kind)
    except ValueError:
        message = f"config.{key}: there is no type {kind!r}; there are: {', '.join(ConfigType)}"
        raise ValidationError(message, field="kind", entity="Config") from None


def _natural_type(value: Any) -> ConfigType:
    if isinstance(value, bool):
        return ConfigType.BOOL
    for python, kind in ((str, ConfigType.STRING), (int, ConfigType.INT), (float, ConfigType.FLOAT)):
        if isinstance(value, python):
            return kind
    return ConfigType.JSON


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = f"{text!r} is not finite"
        raise ValueError(message)
    return number


def _read_bool(text: str) -> bool:
    found = _TRUTHS.get(text.strip().lower())
    if found is None:
        message = f"{text!r} is neither true nor false"
        raise ValueError(message)
    return found


_READERS: Mapping[ConfigType, Callable[[str], Any]] = {
    ConfigType.STRING: str,
    ConfigType.INT: int,
    ConfigType.FLOAT: _read_float,
    ConfigType.BOOL: _read_bool,
    ConfigType.JSON: json.loads,
}
