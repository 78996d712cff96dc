"""How names are compared: `Researcher`, `researcher ` and `RESEARCHER` are one name."""

import unicodedata
from typing import Any

from sqlalchemy import event

__all__ = ["keep_keys", "name_key"]


def name_key(name: str) -> str:
    """Return the form of a name that is unique: compatibility-normalised, stripped, casefolded."""
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    # Folding can undo the normalisation (Unicode 3.13, D146).
    return unicodedata.normalize("NFKC", folded)


def keep_keys(entity: type, *names: str) -> None:
    """Let a session fill `<name>_key` whenever it writes; managers, which write without one, do it themselves."""

    def keep(_mapper: Any, _connection: Any, row: Any) -> None:
        for name in names:
            value = getattr(row, name)
            key = None if value is None else name_key(value)
            if getattr(row, f"{name}_key") != key:
                setattr(row, f"{name}_key", key)

    event.listen(entity, "before_insert", keep)
    event.listen(entity, "before_update", keep)
