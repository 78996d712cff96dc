"""Reading values of unknown JSON by name, with errors that say where the file is wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent_system.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_INTEGER", "Fields"]

MAX_INTEGER = 2**63 - 1
"""The largest number that a database integer holds."""

MAX_QUOTED = 40
"""The longest text, in characters, that an error quotes."""

JSON_NAMES: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class Fields:
    """One JSON object of a file that knows where in the file it stands.

    Absent keys and nulls are the same: the format leaves out what it does not know in both ways.
    """

    def __init__(self, value: object, *, file: str, where: str = "") -> None:
        self.file = file
        self.where = where
        if not isinstance(value, dict):
            raise self.wrong(name="", wanted="an object", value=value)
        self.values: dict[str, object] = value

    def wrong(self, *, name: str, wanted: str, value: object) -> ImportFileError:
        """Return the error for a value that has the wrong shape."""
        place = ".".join(part for part in (self.where, name) if part) or "the file"
        found = JSON_NAMES.get(type(value), type(value).__name__)
        if isinstance(value, str) and len(value) <= MAX_QUOTED:
            found = ascii(value)
        return ImportFileError(f"{self.file}: {place} should be {wanted}, not {found}", path=self.file)

    def child(self, name: str) -> Fields | None:
        """Return the object under a key, or None."""
        value = self.values.get(name)
        return None if value is None else Fields(value, file=self.file, where=self._at(name))

    def children(self, name: str) -> list[Fields]:
        """Return the objects of the list under a key; an absent list is empty."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name=name, wanted="a list", value=value)
        return [Fields(item, file=self.file, where=f"{self._at(name)}[{n}]") for n, item in enumerate(value)]

    def text(self, name: str) -> str | None:
        """Return the text under a key, or None."""
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(name=name, wanted="text", value=value)

    def required_text(self, name: str) -> str:
        """Return the text under a key that every file has."""
        value = self.text(name)
        if value is None:
            raise self.wrong(name=name, wanted="text", value=None)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the list of texts under a key; an absent list is empty."""
        value = self.values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.wrong(name=name, wanted="a list", value=value)
        for item in value:
            if not isinstance(item, str):
                raise self.wrong(name=name, wanted="a list of texts", value=item)
        return tuple(value)

    def number(self, name: str) -> float | None:
        """Return the non-negative number under a key, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name=name, wanted="a number", value=value)
        if value < 0 or value > MAX_INTEGER or not math.isfinite(value):
            raise self._out_of_range(name, value)
        return float(value)

    def count(self, name: str) -> int | None:
        """Return the non-negative 64-bit integer under a key, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name=name, wanted="a whole number", value=value)
        if not 0 <= value <= MAX_INTEGER:
            raise self._out_of_range(name, value)
        return value

    def flag(self, name: str) -> bool:
        """Return the truth value under a key; absent is False."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.wrong(name=name, wanted="true or false", value=value)

    def _at(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def _out_of_range(self, name: str, value: float) -> ImportFileError:
        message = f"{self.file}: {self._at(name)} should be between 0 and 2^63-1, not {value:.6g}"
        return ImportFileError(message, path=self.file)
