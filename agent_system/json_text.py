"""JSON as both engines store it, parsed without looking for the spaces that nobody has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import json
    from collections.abc import Callable

__all__ = ["json_parser"]


def json_parser(decoder: json.JSONDecoder) -> Callable[[str], Any]:
    """Return a function that does what the decoder's `decode` does, in less time for a text without spaces around it.

    The function raises `ValueError` for a text that is not JSON, as `decode` does.
    """
    # It has no documentation; `tests/unit/test_private_api.py` names what breaks when it changes.
    scan: Any = vars(decoder)["scan_once"]

    def parse(text: str) -> Any:
        try:
            value, end = scan(text, 0)
        except StopIteration:
            return decoder.decode(text)
        return value if end == len(text) else decoder.decode(text)

    return parse
