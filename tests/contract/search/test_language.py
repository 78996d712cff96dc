"""What people type finds what they mean, the same on both engines and by both ways of looking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_system.search import text_search

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager

# As East Asian keyboards write it.
WIDE = "".join(chr(ord(letter) + 0xFEE0) for letter in "fullwidth")
MEMORIES = {
    "a": "Ada likes pizza with olives",
    "b": "Pizza and pasta are Italian dishes",
    "c": "Bob repairs bicycles; his dog is called Pizza-Boy",
    "d": "The user preferences are kept in config.yaml",
    "e": "preferences of the user",
    "f": "Café crème at the naïve Zoë's, called ÉCLAIR",
    "g": "我喜欢吃比萨。用Python写代码",
    "h": "東京都に住んでいます",
    "i": "京都に行きたい",
    "j": "저는 피자를 좋아해요",
    "k": "ฉันชอบพิซซ่า",
    "l": "Жизнь прекрасна, ёлка и йогурт",
    "m": "don't forget: C++ isn't C, it's 100% different_thing",
    "n": f"see ﬁle №5 and {WIDE} love🤗pizzeria",
    "o": "nul\0byte and half \ud83d pair",
    "p": "हिन्दी में लिखा है",
    "q": "ΟΔΥΣΣΕΥΣ και ὁδός",
}


@pytest.fixture(params=["one by one", "by the index"])
async def em(em: EntityManager, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EntityManager:
    if request.param == "by the index":
        monkeypatch.setattr(text_search, "FEW_ROWS", 0)
    await em.memories.create_many(
        {"user_id": "u", "content": content, "category": name} for name, content in MEMORIES.items()
    )
    await em.memories.create_many({"user_id": "v", "content": content} for content in MEMORIES.values())
    return em


async def found(em: EntityManager, text: str) -> str:
    hits = await em.memories.search(text, user_id="u", limit=50)
    assert all(hit.found_by == ("text",) for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return "".join(sorted(hit.item.category for hit in hits))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pizza", "abc"),
        ("PIZZA", "abc"),
        ("pizza pasta", "abc"),
        ("pizza OR bicycles", "abc"),
        ("pizza AND pasta", "b"),
        ("pizza AND pasta AND bicycles", ""),
        ("pizza NOT olives", "bc"),
        ("pizza pasta NOT olives NOT dog", "b"),
        ("pizza AND NOT olives OR preferences", "bcde"),
        ('"user preferences"', "d"),
        ('"preferences user"', ""),
        ('"pizza with" pasta', "ab"),
        ("prefer*", "de"),
        ('"prefer*"', ""),
        ("pizz* NOT boy", "abn"),
        ("cafe", "f"),
        ("CAFÉ eclair", "f"),
        ("naive", "f"),
        ("config.yaml", "d"),
        ("it's", "fm"),
        ("C++", "m"),
        ("100%", "m"),
        ("thing", "m"),
        ("比萨", "g"),
        ("萨", "g"),
        ("python", "g"),
        ("Python写", "g"),
        ("我喜欢 AND 比萨", "g"),
        ('"喜欢吃比萨"', "g"),
        ('"比萨喜欢"', ""),
        ("東京", "h"),
        ('"東京都"', "h"),
        ("京都", "hi"),
        ("京都 NOT 東京", "i"),
        ("피자", "j"),
        ("พิซซ่า", "k"),
        ("жизнь", "l"),
        ("ЁЛКА", "l"),
        ("йогурт", "l"),
        ("file", "n"),
        ("fullwidth", "n"),
        (WIDE.upper(), "n"),
        ("pizzeria", "n"),
        ("love", "n"),
        ("nul", "o"),
        ("half AND pair", "o"),
        ("हिन्दी", "p"),
        ("οδυσσευς", "q"),
    ],
)
async def test_query_finds(em: EntityManager, text: str, expected: str) -> None:
    assert await found(em, text) == expected


@pytest.mark.parametrize("text", ["", " ", "\0", '"', '""', "*", "\ud800", "—", "。", " \n\t"])
async def test_text_without_words_finds_nothing_by_words(em: EntityManager, text: str) -> None:
    assert all(hit.found_by == ("substring",) for hit in await em.memories.search(text, user_id="u"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("izz", "abcn"), ("icycle", "c"), ("%", "m"), ("++", "m"), ("yaml config.", "d"), ("IZZ", "abcn")],
)
async def test_parts_of_words_are_found_when_no_word_is(em: EntityManager, text: str, expected: str) -> None:
    hits = await em.memories.search(text, user_id="u")
    assert "".join(sorted(hit.item.category for hit in hits)) == expected
