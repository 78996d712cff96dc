"""What search keeps in memory says the same as the slow way, whatever was put in and taken out before."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agent_system.search import matrix as matrix_module
from agent_system.search.bm25 import Statistics, idf
from agent_system.search.codes import Codes
from agent_system.search.embedding.embedder import normalised
from agent_system.search.fusion import K, fused
from agent_system.search.matching import Row
from agent_system.search.matrix import MANY, Matrix, best_of, likeness_of, roughly_like, vectors_from
from agent_system.search.postings import Postings
from agent_system.search.query import Term

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHTS = (1.0, 1.5)
WORDS = ["a", "b", "c", "d", "e", "f", "g", "pizza", "比萨", "olives", "of", "the"]


def test_a_matrix_is_what_was_put_into_it() -> None:
    chance, random_ = random.Random(1), np.random.default_rng(1)
    matrix, expected = Matrix(4), dict[int, list[float]]()
    for _ in range(300):
        ids = chance.sample(range(900), chance.randint(0, 12))
        if chance.random() < 0.6:
            vectors = random_.standard_normal((len(ids), 4)).astype("<f4")
            matrix.put(ids, vectors)
            expected |= dict(zip(ids, vectors.tolist(), strict=True))
        else:
            matrix.remove(ids)
            for one in ids:
                expected.pop(one, None)
        query = random_.standard_normal(4).astype("<f4")
        among = np.asarray(chance.sample(range(900), 50), np.int64)
        for only, wanted in ((None, set(expected)), (among, set(among.tolist()) & set(expected))):
            found, likeness = matrix.best(query, 7, only)
            by_hand = sorted((float(np.dot(expected[one], query)) for one in wanted), reverse=True)[:7]
            assert likeness == pytest.approx(by_hand, abs=1e-4)
            assert set(found) <= wanted
        assert len(matrix) == len(expected)
    assert matrix.used_bytes <= matrix.size_bytes


@pytest.mark.parametrize("dimensions", [64, 100, 300])
def test_signs_find_what_is_alike_among_what_was_put_in(dimensions: int) -> None:
    chance, random_ = random.Random(5), np.random.default_rng(5)
    codes, expected = Codes(dimensions), dict[int, Any]()
    assert codes.candidates(np.ones(dimensions, "<f4"), 3).tolist() == []
    for _ in range(40):
        ids = chance.sample(range(900), chance.randint(0, 60))
        if chance.random() < 0.7:
            vectors = normalised(random_.standard_normal((len(ids), dimensions)).astype("<f4"))
            codes.put(ids, vectors)
            expected |= dict(zip(ids, vectors, strict=True))
        else:
            codes.remove(ids)
            for one in ids:
                expected.pop(one, None)
        assert set(codes.candidates(random_.standard_normal(dimensions), 2_000).tolist()) == expected.keys()
    assert len(codes) == len(expected)
    assert codes.used_bytes <= codes.size_bytes
    assert codes.used_bytes == pytest.approx(len(codes) * (-(-dimensions // 64) * 8 + 9), rel=0.4)
    for one, vector in list(expected.items())[:50]:
        # Itself is the only one with all signs in common, and what is near it has most of them.
        near = vector + random_.standard_normal(dimensions) * 0.3 / dimensions**0.5
        assert one in codes.candidates(near, 5).tolist()
        among = np.asarray([*chance.sample(range(900), 100), one], np.int64)
        own = codes.candidates(near, 5, among).tolist()
        assert one in own
        assert set(own) <= set(among.tolist()) & expected.keys()


def test_of_equal_rows_the_newer_one_is_first() -> None:
    ids, likeness = np.arange(10), np.ones(10)
    assert best_of(ids, likeness, 3)[0] == [9, 8, 7]
    assert best_of(ids, -np.inf * likeness, 3) == ([], [])
    assert best_of(ids[:0], likeness[:0], 3) == ([], [])


def test_the_best_of_many_are_those_of_all() -> None:
    random_ = np.random.default_rng(3)
    for turn in range(12):
        # Some with many that are equal, some with hardly any that count.
        likeness = np.round(random_.random(MANY + 500) * 10 ** (turn % 4))
        likeness[random_.random(len(likeness)) < turn / 12] = -np.inf
        ids = random_.permutation(len(likeness))
        by_hand = sorted(zip(likeness.tolist(), ids.tolist(), strict=True), reverse=True)
        count = (1, 9, 125, 4_000)[turn % 4]
        expected = [one for one in by_hand[:count] if one[0] > -np.inf]
        assert list(zip(*reversed(best_of(ids, likeness, count)), strict=True)) == expected


@pytest.mark.parametrize("count", [0, 1, 8, 9, 16, 17, 1_000])
def test_two_threads_compute_what_one_does(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_module, "PART_NUMBERS", 8 * 3)
    chance = np.random.default_rng(5)
    rows = chance.standard_normal((count, 3)).astype(np.float32)
    rows[::2] = rows[:1]
    query = chance.standard_normal(3).astype(np.float32)
    found = likeness_of(rows, query)
    assert (found == np.einsum("ij,j->i", rows, query)).all()
    assert len(np.unique(found[::2])) == min(1, count)
    assert np.abs(roughly_like(rows, query) - found).max(initial=0) < 1e-5


@pytest.mark.parametrize("count", [1, 31, 33, 10_001, 20_000])
def test_of_equal_vectors_the_newer_ones_are_the_best(count: int) -> None:
    chance = np.random.default_rng(6)
    vector = chance.standard_normal(256).astype(np.float32)
    vector /= np.linalg.norm(vector)
    matrix = Matrix(256)
    matrix.put(range(count), np.tile(vector, (count, 1)))
    matrix.remove([count - 1])
    query = chance.standard_normal(256).astype(np.float32)
    found, likeness = matrix.best(query / np.linalg.norm(query), 10)
    assert found == list(range(count - 2, max(count - 12, -1), -1))
    assert len(set(likeness)) == min(1, count - 1)


def test_what_one_of_two_threads_cannot_compute_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(matrix_module, "PART_NUMBERS", 1)
    monkeypatch.setattr(np, "einsum", fail)
    with pytest.raises(MemoryError):
        likeness_of(np.ones((100, 1), np.float32), np.ones(1, np.float32))


def test_what_is_no_vector_of_the_model_is_passed_over() -> None:
    ids, vectors = vectors_from([(1, b"\0\0\x80\x3f"), (2, b""), (3, b"\0" * 5)], 1)
    assert ids == [1]
    assert vectors.tolist() == [[1.0]]


def by_hand(rows: dict[int, Sequence[str]], words: Sequence[str], among: int | None = None) -> dict[int, float]:
    """How well each row fits; `among` so many rows of a scope, of which those are as long as usual that match."""
    cut = {key: Row(texts, WEIGHTS) for key, texts in rows.items()}
    terms = [Term((word,)) for word in dict.fromkeys(words)]
    size = len(cut) if among is None else among
    tells = {term: idf(size, sum(row.frequency(term) > 0 for row in cut.values())) for term in terms}
    alike = [row for row in cut.values() if among is None or any(map(row.frequency, terms))]
    statistics = Statistics(tells, sum(row.length for row in alike) / max(len(alike), 1))
    return {key: score for key, row in cut.items() if (score := statistics.score(row)) > 0}


def test_postings_rank_as_the_texts_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_system.search.postings.LEAST_GONE", 20)
    monkeypatch.setattr("agent_system.search.postings.SHORT_LIST", 0)
    chance = random.Random(2)
    postings = Postings(WEIGHTS, 1_000)
    expected: dict[int, Sequence[str]] = {}
    for turn in range(60):
        ids = chance.sample(range(150), chance.randint(0, 9))
        if chance.random() < 0.8:
            texts = [[" ".join(chance.choices(WORDS, k=chance.randint(0, 6))) for _ in WEIGHTS] for _ in ids]
            postings.put(ids, texts)
            expected |= dict(zip(ids, texts, strict=True))
        else:
            postings.remove(ids)
            for one in ids:
                expected.pop(one, None)
        if turn % 5:
            continue
        words = chance.choices([*WORDS, "nowhere"], k=4)
        # What is gone still counts as a row with a word, until it is merged away.
        assert set(postings.best(words, 150)[0]) == by_hand(expected, words).keys()
        if postings._segments:
            postings._merge(0)
        scores = by_hand(expected, words)
        found, likeness = postings.best(words, 8)
        assert likeness == pytest.approx(sorted(scores.values(), reverse=True)[:8], rel=1e-4)
        assert [scores[one] for one in found] == pytest.approx(likeness, rel=1e-4)
        # One by one, and by turns by arrays.
        monkeypatch.setattr("agent_system.search.ranking.FEW_LOOKUPS", turn % 2 * 1_000)
        among = chance.sample(range(150), 40)
        of_scope = by_hand({one: expected[one] for one in among if one in expected}, words, among=len(among))
        own, likeness = postings.best_among(words, among, 100)
        assert set(own) == set(of_scope) == set(among) & set(scores)
        assert likeness == pytest.approx([of_scope[one] for one in own], rel=1e-4)
    assert len(postings) == len(expected)
    assert Postings(WEIGHTS, 10).best(["a"], 5) == ([], [])


def test_a_word_whose_rows_are_gone_is_found_in_those_that_came_later() -> None:
    postings = Postings([1.0], 1_000)
    postings.put([1, 2], [["old common"], ["common"]])
    postings.remove([1])
    postings._merge(0)
    postings.put([3], [["old common"]])
    rows = [2, 3]

    assert postings.best(["old"], 5)[0] == postings.best_among(["old"], rows, 5)[0] == [3]
    assert postings.best(["common", "old"], 5)[0] == postings.best_among(["common", "old"], rows, 5)[0] == [3, 2]


def test_ranks_are_fused_by_their_reciprocals() -> None:
    parts = fused({"text": [1, 2], "vector": [2, 3]}, {"text": 1.0, "vector": 0.5})
    assert parts == {
        1: {"text": 1 / (K + 1)},
        2: {"text": 1 / (K + 2), "vector": 0.5 / (K + 1)},
        3: {"vector": 0.5 / (K + 2)},
    }
    assert fused({"text": [1], "vector": [2]}, {"vector": 0}) == {1: {"text": 1 / (K + 1)}}
