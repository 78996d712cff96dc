"""`scripts/bench search`: how well and how fast memories are found, ours beside others, in one interleaved run.

Each question is about one known memory. recall@10 is the share of questions whose memory is among the ten best, MRR the
average of 1 / its place. Every contender is asked each question before anybody is asked the next one. The questions are
embedded beforehand; how long that takes is shown apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_system.search.embedding.wordllama import WordLlamaEmbedder
from scripts.benchmarks.search_corpus import corpus
from scripts.benchmarks.search_peers import FOUND, Chroma, Known, LangGraph, Ours, RawFts, SqliteVec, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scripts.benchmarks.search_corpus import Corpus
    from scripts.benchmarks.search_peers import Peer

__all__ = ["main"]

ROWS, USERS, QUESTIONS, INSERTS = 100_000, 1_000, 200, 100
WARM_UP = 5
# How far one contender's keys lie from another's when several write into one table.
APART = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was measured of one contender; times in milliseconds."""

    name: str
    kind: str
    recall: float
    mrr: float
    p50: float
    p99: float
    insert: float
    fill_seconds: float
    memory_mb: float | None


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench search", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help=f"memories ({ROWS:,})")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help=f"questions ({QUESTIONS})")
    parser.add_argument("--inserts", type=int, default=INSERTS, help=f"single inserts of each contender ({INSERTS})")
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    parser.add_argument("--url", help="a PostgreSQL database that is empty, to be measured too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        figures, facts = asyncio.run(_measure(Path(folder), options))
    print(_table(figures, facts))
    if options.json:
        options.json.write_text(json.dumps({"facts": facts, "figures": list(map(asdict, figures))}, indent=1) + "\n")
    return 0


async def _measure(folder: Path, options: argparse.Namespace) -> tuple[list[Figures], dict[str, str]]:
    texts = corpus(options.rows, max(1, options.rows * USERS // ROWS), options.questions)
    embedder = Known(WordLlamaEmbedder())
    vectors = await embedder.learn(texts.texts)
    began = time.perf_counter()
    for question in texts.questions:
        await embedder.learn([question.text])
    embedding = (time.perf_counter() - began) / len(texts.questions)
    facts = {
        "memories": f"{len(texts.texts):,} of {len(set(texts.users)):,} users, {_words(texts):.0f} words each",
        "questions": f"{len(texts.questions)}; to embed one takes {embedding * 1000:.2f} ms ({embedder.name})",
        "durability": options.durability,
    }
    peers, missing = _peers(folder, options, embedder)
    facts |= missing
    filled = {}
    for peer in peers:
        began = time.perf_counter()
        await peer.fill(texts, vectors)
        filled[peer.name] = time.perf_counter() - began
        _say(f"{peer.name} has {len(texts.texts):,} memories after {filled[peer.name]:.1f} s")
    found, times = await _ask(peers, texts, embedder)
    inserts = await _insert(peers, texts, embedder, options.inserts)
    figures = [_figures(peer, texts, found[peer.name], times[peer.name], inserts[peer.name], filled) for peer in peers]
    for peer in peers:
        await peer.close()
    return figures, facts


def _peers(folder: Path, options: argparse.Namespace, embedder: Known) -> tuple[list[Peer], dict[str, str]]:
    """Who is there, and why others are not."""
    durability = options.durability
    store = Store(folder / "ours.db", durability, embedder)
    peers: list[Peer] = [
        Ours(store, "ours, text", "text"),
        Ours(store, "ours, vector", "vector"),
        Ours(store, "ours, hybrid", "hybrid"),
        Ours(store, "ours, one user's", "user"),
        RawFts(folder, durability),
    ]
    if options.url:
        server = Store(options.url, durability, embedder)
        peers += [Ours(server, f"ours, {kind}, PostgreSQL", kind) for kind in ("text", "hybrid")]
    others: dict[str, Callable[[], Peer]] = {
        "sqlite-vec": lambda: SqliteVec(folder, durability, embedder.dimensions),
        "chromadb": lambda: Chroma(folder),
        "langgraph": lambda: LangGraph(folder, embedder),
    }
    missing = {}
    for name, make in others.items():
        try:
            peers.append(make())
        except (ImportError, AttributeError) as exc:
            missing[name] = f"skipped, {type(exc).__name__}: {exc}"
    return peers, missing


async def _ask(peers: Iterable[Peer], texts: Corpus, embedder: Known) -> tuple[dict[str, Any], dict[str, list[float]]]:
    found: dict[str, list[list[int]]] = {peer.name: [] for peer in peers}
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for position, question in enumerate([*texts.questions[:WARM_UP], *texts.questions]):
        (vector,) = await embedder.embed([question.text])
        for peer in peers:
            began = time.perf_counter()
            keys = await peer.find(question, vector)
            took = time.perf_counter() - began
            if position >= WARM_UP:
                found[peer.name].append(keys)
                times[peer.name].append(took * 1000)
    return found, times


async def _insert(peers: Sequence[Peer], texts: Corpus, embedder: Known, count: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(count):
        for position, peer in enumerate(peers):
            key = (position + 1) * APART + number
            text = f"{texts.texts[number]} {key}"
            (vector,) = await embedder.embed([text])
            began = time.perf_counter()
            await peer.add(key, text, vector)
            times[peer.name].append((time.perf_counter() - began) * 1000)
    return times


def _figures(
    peer: Peer, texts: Corpus, found: Any, times: list[float], inserts: list[float], filled: dict[str, float]
) -> Figures:
    places = [
        keys.index(question.answer + 1) + 1 if question.answer + 1 in keys else None
        for question, keys in zip(texts.questions, found, strict=True)
    ]
    memory = peer.memory_bytes
    return Figures(
        name=peer.name,
        kind=peer.kind,
        recall=sum(place is not None for place in places) / len(places),
        mrr=sum(1 / place for place in places if place) / len(places),
        p50=statistics.median(times),
        p99=sorted(times)[int(len(times) * 0.99)],
        insert=statistics.median(inserts),
        fill_seconds=filled[peer.name],
        memory_mb=None if memory is None else memory / 1e6,
    )


def _table(figures: Sequence[Figures], facts: dict[str, str]) -> str:
    raw = next(one for one in figures if one.name == RawFts.name)
    lines = [f"{name}: {value}" for name, value in facts.items()]
    lines += ["", f"{'':24}{f'recall@{FOUND}':>10}{'MRR':>7}{'p50 ms':>9}{'p99 ms':>9}{'of raw':>8}{'insert ms':>11}"]
    for one in figures:
        times = f"{one.p50:9.2f}{one.p99:9.2f}{one.p50 / raw.p50:8.3f}{one.insert:11.3f}"
        lines.append(f"{one.name:24}{one.recall:10.3f}{one.mrr:7.3f}{times}")
    kept = max((one.memory_mb or 0.0 for one in figures), default=0.0)
    lines.append(f"\nours keeps {kept:.0f} MB of words and vectors in memory")
    return "\n".join(lines)


def _words(texts: Corpus) -> float:
    return statistics.mean(len(text.split()) for text in texts.texts)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
