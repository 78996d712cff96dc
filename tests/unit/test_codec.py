"""The codec brings back exactly what it was given, and leaves alone what needs no care."""

from __future__ import annotations

import json
import timeit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent_system.models.codec import ESCAPE, decode_json, decode_text, encode_json, encode_text

# Every code point, with the ones that the codec is about made frequent.
characters = st.one_of(
    st.characters(),
    st.characters(categories=["Cs"]),
    st.sampled_from(["\0", ESCAPE, "0", "d", "8", "\ud83d", "\ude00"]),
)
texts = st.text(characters)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(texts)
@example("\ud83d\ude00")
@example(f"{ESCAPE}0")
@example(f"{ESCAPE}d800")
@example(f"\ud800{ESCAPE}{ESCAPE}\0")
def test_any_text_comes_back(text: str) -> None:
    assert decode_text(encode_text(text)) == text


@given(texts)
def test_what_is_stored_is_valid_everywhere(text: str) -> None:
    stored = encode_text(text)
    assert "\0" not in stored
    assert stored.encode().decode() == stored


@given(texts, texts)
def test_different_texts_are_stored_differently(one: str, other: str) -> None:
    assert (encode_text(one) == encode_text(other)) == (one == other)


@pytest.mark.parametrize(
    "text", ["", "plain", "naïve", "текст", "漢字", "😀 and 👩‍👩‍👧", "\ue000\uf8ff", "\t\r\n\x7f\x85\ufeff\uffff"]
)
def test_clean_text_is_the_same_object(text: str) -> None:
    assert encode_text(text) is text
    assert decode_text(text) is text


def test_stored_form_is_as_documented() -> None:
    assert encode_text(f"a\0b\ud800c\udfff{ESCAPE}") == f"a{ESCAPE}0b{ESCAPE}d800c{ESCAPE}dfff{ESCAPE}{ESCAPE}"


@pytest.mark.parametrize("text", [ESCAPE, f"{ESCAPE}x", f"{ESCAPE}d7ff", f"a{ESCAPE}D800"])
def test_escape_that_somebody_else_wrote_stays_as_it_is(text: str) -> None:
    assert decode_text(text) == text


@given(json_values)
@example({"\0": ["\ud800", {"\udfff": ESCAPE}]})
@example("\\u0000")
@example({"a": "\\u0000", "b": "\0"})
@example("\\ud800")
def test_any_json_value_comes_back(value: object) -> None:
    stored = encode_json(value)
    assert decode_json(stored) == value
    assert json.dumps(decode_json(stored)) == json.dumps(value)


@given(json_values)
def test_stored_json_is_json_without_escaped_nul(value: object) -> None:
    stored = encode_json(value)
    json.loads(stored)
    assert stored.encode().decode() == stored
    assert "\0" not in stored
    # PostgreSQL refuses the escape \u0000 as soon as anybody looks into the value.
    assert "\\u0000" not in stored.replace("\\\\", "")


def test_json_is_compact_and_readable() -> None:
    assert encode_json({"name": "Zoë 😀", "tags": [1, None, True]}) == '{"name":"Zoë 😀","tags":[1,null,true]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [float("nan")], {"a": float("inf")}])
def test_numbers_that_json_lacks_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json(value)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {"a": object()}])
def test_values_that_json_lacks_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode_json(value)


def test_nesting_without_end_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (endless, deep):
        with pytest.raises(ValueError, match=r"Circular|deeply"):
            encode_json(value)


@pytest.mark.parametrize(
    "text", ["", "{", "{'a': 1}", "not json", "[1,]", "NaN", '{"a": NaN}', "[" * 100_000, '"\ud800']
)
def test_malformed_json_comes_back_as_its_text(text: str) -> None:
    assert decode_json(encode_text(text)) == text


def test_empty_containers_are_new_ones_each_time() -> None:
    first, second = decode_json("{}"), decode_json("{}")
    first["a"] = 1
    assert second == {}
    assert decode_json("[]") is not decode_json("[]")


def test_clean_text_costs_next_to_nothing() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 4
    nothing = min(timeit.repeat(lambda: len(text), number=20_000, repeat=5))
    encoding = min(timeit.repeat(lambda: encode_text(text), number=20_000, repeat=5))
    # A handful of calls of the cheapest built-in; 100 ns where that takes 40.
    assert encoding < 8 * nothing


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' {"a": 1}\n', {"a": 1}),
        ("\t[1]", [1]),
        ("7 ", 7),
        ('"x"', "x"),
        ("{} ", {}),
        ("1 2", "1 2"),
        ("", ""),
        (" ", " "),
    ],
)
def test_spaces_around_json_that_somebody_else_wrote_mean_nothing(text: str, value: object) -> None:
    assert decode_json(text) == value
