"""What is stored of a text is what is stored of its parts, so that a text can grow inside the database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent_system.models.codec import ESCAPE, decode_text, encode_text

# Every kind of character that the codec looks at, and what escapes are made of.
PIECES = st.lists(st.text(st.sampled_from(["\0", ESCAPE, "\ud83d", "\ude00", "\U0001f600", "0", "d", "8", "3", "é"])))


@given(PIECES)
def test_stored_parts_make_the_stored_whole(pieces: list[str]) -> None:
    stored = "".join(encode_text(piece) for piece in pieces)
    assert stored == encode_text("".join(pieces))
    assert decode_text(stored) == "".join(pieces)
