"""`scripts/bench search`: how well and how fast memories are found, ours beside others, in one interleaved run.

Each question is about one known memory. recall@10 is the share of questions whose memory is among the ten best, MRR the
average of 1 / its place. The questions are embedded beforehand; how long that takes is shown apart. Inserts are single
ones, and then 64 at once, five times by turns.

Questions and single inserts go by turns of twenty of each contender, and what the first of each turn takes is shown
apart: it finds the processor's caches full of what the contender before has left there. All files are read once before,
so that nobody is measured by the disk.

sqlite-vec and langgraph's store want a Python whose sqlite3 loads extensions; who is not there is told and left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_system.search.embedding.wordllama import WordLlamaEmbedder
from scripts.benchmarks.search_corpus import corpus
from scripts.benchmarks.search_peers import FOUND, OTHER, Chroma, Known, LangGraph, Ours, RawFts, SqliteVec, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scripts.benchmarks.search_corpus import Corpus
    from scripts.benchmarks.search_peers import Peer

__all__ = ["main"]

ROWS, USERS, QUESTIONS, INSERTS = 100_000, 1_000, 200, 200
# Questions, and inserts, of each contender that are not counted.
WARM_UP, WARM_INSERTS = 5, 20
# How far one contender's keys lie from another's when several write into one table.
APART = 1_000_000
TOGETHER, ROUNDS_TOGETHER = 64, 5
READ_ALL = """
import pathlib, sys
for file in pathlib.Path(sys.argv[1]).rglob("*"):
    if file.is_file():
        file.read_bytes()
"""
# How many questions, and single inserts, of one contender come after each other before the next one's.
TURN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was measured of one contender; times in milliseconds."""

    name: str
    kind: str
    recall: float
    mrr: float
    p50: float
    p99: float
    first: float
    """p50 of the first questions of the turns."""
    insert: float | None
    first_insert: float | None
    together: float | None
    """Of each of 64 inserts at once."""
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
    await _read_all(folder)
    found, times = await _ask(peers, texts, embedder)
    await _read_all(folder)
    inserts = await _insert(peers, texts, embedder, options.inserts)
    figures = [_figures(peer, texts, found[peer.name], times[peer.name], filled[peer.name]) for peer in peers]
    figures = [replace(one, **inserts.get(one.name, {})) for one in figures]
    for peer in peers:
        await peer.close()
    return figures, facts


async def _read_all(folder: Path) -> None:
    """Have everybody's files in the system's memory: some systems put away what nobody has read for a minute."""
    # By another process: one that closes a file of SQLite's loses its own locks on it.
    reading = await asyncio.create_subprocess_exec(sys.executable, "-c", READ_ALL, str(folder))
    if await reading.wait():
        message = f"the files in {folder} could not be read"
        raise RuntimeError(message)


def _peers(folder: Path, options: argparse.Namespace, embedder: Known) -> tuple[list[Peer], dict[str, str]]:
    """Who is there, and why others are not."""
    durability = options.durability
    store = Store(folder / "ours.db", durability, embedder)
    peers: list[Peer] = [
        Ours(store, "ours, text", "text"),
        Ours(store, "ours, vector", "vector"),
        Ours(store, "ours, hybrid", "hybrid"),
        Ours(store, "ours, one user's", "user"),
        Ours(store, f"ours, durability {'normal' if durability == 'full' else 'full'}", OTHER),
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
    asked = [(question, (await embedder.embed([question.text]))[0]) for question in texts.questions]
    for peer in peers:
        for question, vector in asked[:WARM_UP]:
            await peer.find(question, vector)
    # By turns, so that nobody pays alone for what the one before left of the processor's caches.
    for done in range(0, len(asked), TURN):
        for peer in peers:
            for question, vector in asked[done : done + TURN]:
                began = time.perf_counter()
                found[peer.name].append(await peer.find(question, vector))
                times[peer.name].append((time.perf_counter() - began) * 1000)
    return found, times


async def _insert(peers: Sequence[Peer], texts: Corpus, embedder: Known, count: int) -> dict[str, dict[str, Any]]:
    """How long an insert takes, one after the other and 64 at once, in milliseconds; medians, as `Figures` has them."""
    adding = [peer for peer in peers if peer.adds]
    each = WARM_INSERTS + count + ROUNDS_TOGETHER * TOGETHER
    new = {
        peer.name: iter(await _new_rows(texts, embedder, range(first, first + each)))
        for first, peer in zip(range(APART, APART * len(adding) + 1, APART), adding, strict=True)
    }
    singles: dict[str, list[float]] = {peer.name: [] for peer in adding}
    together: dict[str, list[float]] = {peer.name: [] for peer in adding}
    for peer in adding:
        for row in islice(new[peer.name], WARM_INSERTS):
            await peer.add(*row)
    for done in range(0, count, TURN):
        for peer in adding:
            for row in islice(new[peer.name], min(TURN, count - done)):
                began = time.perf_counter()
                await peer.add(*row)
                singles[peer.name].append((time.perf_counter() - began) * 1000)
    for _ in range(ROUNDS_TOGETHER):
        for peer in adding:
            rows = list(islice(new[peer.name], TOGETHER))
            began = time.perf_counter()
            await peer.add_together(rows)
            together[peer.name].append((time.perf_counter() - began) * 1000 / TOGETHER)
    return {
        name: {
            "insert": statistics.median(singles[name]),
            "first_insert": statistics.median(singles[name][::TURN]),
            "together": statistics.median(together[name]),
        }
        for name in singles
    }


async def _new_rows(texts: Corpus, embedder: Known, keys: range) -> list[tuple[int, str, Any]]:
    new = [f"{texts.texts[key % len(texts.texts)]} {key}" for key in keys]
    return list(zip(keys, new, await embedder.embed(new), strict=True))


def _figures(peer: Peer, texts: Corpus, found: Any, times: list[float], fill_seconds: float) -> Figures:
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
        first=statistics.median(times[::TURN]),
        insert=None,
        first_insert=None,
        together=None,
        fill_seconds=fill_seconds,
        memory_mb=None if memory is None else memory / 1e6,
    )


def _table(figures: Sequence[Figures], facts: dict[str, str]) -> str:
    """What was measured as Markdown, and beside the wanted ratios the measured ones."""
    raw = next(one for one in figures if one.name == RawFts.name)
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- ours keeps {max(one.memory_mb or 0.0 for one in figures):.0f} MB of words and vectors in memory", ""]
    titles = ["p50 ms", "p99 ms", "first of a turn", "p50 of raw", "insert ms", "first of a turn"]
    lines += [f"| | recall@{FOUND} | MRR | {' | '.join(titles)} | of {TOGETHER} at once, each |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for one in figures:
        found = f"{one.recall:.3f} | {one.mrr:.3f} | {one.p50:.2f} | {one.p99:.2f} | {one.first:.2f}"
        inserts = " | ".join(map(_shown, (one.insert, one.first_insert, one.together)))
        lines.append(f"| {one.name} | {found} | {one.p50 / raw.p50:.3f} | {inserts} |")
    return "\n".join([*lines, "", *_verdicts({one.name: one for one in figures})])


def _shown(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.2f}"


def _verdicts(known: dict[str, Figures]) -> Iterator[str]:
    text, hybrid, mine = (known[f"ours, {kind}"] for kind in ("text", "hybrid", "one user's"))
    raw = known[RawFts.name]
    yield f"- text: {text.p50 / raw.p50:.3f} of raw (wanted 0.05), recall {text.recall:.3f} (raw {raw.recall:.3f})"
    yield f"- one user's: {mine.p50:.2f} ms (wanted 1.00)"
    yield f"- hybrid: {hybrid.p50 / raw.p50:.3f} of raw (wanted 0.10), recall {hybrid.recall:.3f}"
    if "sqlite-vec" in known:
        yield f"- vectors: {known['ours, vector'].p50 / known['sqlite-vec'].p50:.3f} of sqlite-vec (wanted 0.20)"
    ours = {name: one for name, one in known.items() if one.insert and name.startswith("ours")}
    for other, wanted in (("chromadb", 20), ("langgraph", 10)):
        if other not in known:
            continue
        for name, one in ours.items():
            times = [(known[other].insert or 0) / (one.insert or 1), (known[other].together or 0) / (one.together or 1)]
            yield f"- inserts, {name}: {times[0]:.1f} and at once {times[1]:.1f} times {other} (wanted {wanted})"


def _words(texts: Corpus) -> float:
    return statistics.mean(len(text.split()) for text in texts.texts)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
