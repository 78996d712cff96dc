"""Embedders: the same vectors every time, and an error of ours when there are none."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from agent_system.errors import EmbeddingError, MissingExtraError
from agent_system.search.embedding import endpoint, minilm
from agent_system.search.embedding.embedder import embedded
from agent_system.search.embedding.endpoint import EndpointEmbedder, EndpointOptions
from agent_system.search.embedding.hashing import HashingEmbedder
from agent_system.search.embedding.minilm import MiniLmEmbedder
from agent_system.search.embedding.wordllama import WordLlamaEmbedder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from agent_system.search.embedding.embedder import Embedder

    Answer = tuple[int, Any, dict[str, str]]

AWKWARD = ["", " ", "\0", "\ud800", "比萨", "x" * 10_000, "😀"]


class Given:
    """Returns what it was given."""

    name = "given"
    dimensions = 2

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors

    async def embed(self, texts: Sequence[str]) -> Any:  # noqa: ARG002
        return self.vectors


async def test_hashing_gives_the_same_vectors_on_every_machine() -> None:
    (vector,) = await HashingEmbedder(8).embed(["Pizza"])
    assert vector.tolist() == pytest.approx(
        [0.0, 0.447214, 0.0, -0.447214, 0.447214, 0.0, -0.447214, 0.447214], abs=1e-5
    )
    assert vector.dtype == np.dtype("<f4")
    again = await HashingEmbedder(8).embed(["pizza", "PIZZA"])
    assert (again == vector).all()


@pytest.mark.parametrize("vectors", [[[1.0]], [[1.0, 2.0]], [["a", "b"]] * 2, [[1.0, float("nan")]] * 2, None, "ab"])
async def test_what_are_no_vectors_is_refused(vectors: Any) -> None:
    with pytest.raises(EmbeddingError, match="given returned"):
        await embedded(Given(vectors), ["a", "b"])


async def test_vectors_have_the_length_one_or_nothing_in_them() -> None:
    vectors = await embedded(Given([[3, 4], [0, 0]]), ["a", "b"])
    assert vectors.tolist() == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))
    assert (await embedded(Given([]), [])).shape == (0, 2)


# A service.


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Listen on a free port; every connection is over when the block is."""
    served: list[asyncio.Task[Any] | None] = []

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        await serve(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/"
        await asyncio.gather(*(task for task in served if task))


@asynccontextmanager
async def service(answer: Callable[[dict[str, Any]], Answer]) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Serve one folder of HTTP on a free port; yields its URL and the requests that came."""
    requests: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.splitlines()[1:])}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        requests.append({"path": head.split()[1], "key": headers.get("authorization"), **body})
        status, content, more = answer(body)
        text = content if isinstance(content, str) else json.dumps(content)
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in more.items()]
        writer.write("\r\n".join([*lines, "", text]).encode())
        await writer.drain()

    async with listening(serve) as url:
        yield url, requests


def vectors_of(body: dict[str, Any]) -> Answer:
    # In another order than they were asked for.
    items = [{"index": index, "embedding": [float(len(text)), 1.0]} for index, text in enumerate(body["input"])]
    return 200, {"data": items[::-1]}, {}


async def test_a_service_is_asked_in_batches() -> None:
    async with service(vectors_of) as (url, requests):
        options = EndpointOptions(batch=2, asks_for_dimensions=True)
        async with EndpointEmbedder(url, "small", 2, api_key="secret", options=options) as embedder:
            assert embedder.name == "openai/small"
            assert await embedder.embed(["a", "", "ccc"]) == [[1.0, 1.0], [1.0, 1.0], [3.0, 1.0]]
    assert [request["input"] for request in requests] == [["a", " "], ["ccc"]]
    assert {request["path"] for request in requests} == {"/v1/embeddings"}
    assert {request["key"] for request in requests} == {"Bearer secret"}
    assert {(request["model"], request["dimensions"], request["encoding_format"]) for request in requests} == {
        ("small", 2, "float")
    }


async def test_a_service_that_is_busy_is_asked_again() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    answers = [(429, "slow down", {"Retry-After": "7"}), (503, "not yet", {}), (200, None, {})]
    async with (
        service(lambda body: vectors_of(body) if len(requests) == 3 else answers[len(requests) - 1]) as (
            url,
            requests,
        ),
        EndpointEmbedder(url, "m", 2, sleep=sleep) as embedder,
    ):
        assert await embedder.embed(["a"]) == [[1.0, 1.0]]
    assert pauses[0] == 7
    assert 3.5 <= pauses[1] <= 14


@pytest.mark.parametrize(
    ("answer", "tries", "said"),
    [
        ((401, "bad key", {}), 1, "401: bad key"),
        ((500, "oops" * 1_000, {}), 3, "500: oops"),
        ((200, "<html>", {}), 1, "no embeddings"),
        ((200, {"data": [{"index": 5}]}, {}), 1, "no embeddings"),
        ((200, [], {}), 1, "no embeddings"),
    ],
)
async def test_a_service_that_fails_is_an_error_of_ours(answer: Answer, tries: int, said: str) -> None:
    async def sleep(_: float) -> None: ...

    options = EndpointOptions(attempts=3)
    async with (
        service(lambda _: answer) as (url, requests),
        EndpointEmbedder(url, "m", 2, api_key="secret", options=options, sleep=sleep) as embedder,
    ):
        with pytest.raises(EmbeddingError, match=said) as caught:
            await embedder.embed(["a"])
    assert len(requests) == tries
    assert len(str(caught.value)) < 300
    assert "secret" not in str(caught.value)
    assert caught.value.model == "openai/m"


async def test_a_service_that_is_not_there_is_an_error_of_ours() -> None:
    async def sleep(_: float) -> None: ...

    async with service(vectors_of) as (url, _):
        pass
    client = httpx.AsyncClient(timeout=0.05)
    async with EndpointEmbedder(url, "m", 2, client=client, sleep=sleep) as embedder:
        with pytest.raises(EmbeddingError):
            await embedder.embed(["a"])
    assert not client.is_closed
    await client.aclose()


async def test_a_service_that_does_not_answer_in_time_is_an_error_of_ours() -> None:
    async def sleep(_: float) -> None: ...

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    options = EndpointOptions(timeout_seconds=0.05, attempts=2)
    async with listening(silent) as url, EndpointEmbedder(url, "m", 2, options=options, sleep=sleep) as embedder:
        with pytest.raises(EmbeddingError, match="Timeout"):
            await embedder.embed(["a"])


# Models that come with their packages.


@pytest.fixture(scope="module")
def wordllama() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


@pytest.mark.parametrize("make", [HashingEmbedder, WordLlamaEmbedder])
async def test_every_text_has_a_vector(make: Callable[[], Embedder]) -> None:
    embedder = make()
    vectors = await embedded(embedder, AWKWARD * 3)
    assert vectors.shape == (len(AWKWARD) * 3, embedder.dimensions)
    assert np.isfinite(vectors).all()


async def test_a_local_model_knows_what_is_alike(wordllama: WordLlamaEmbedder) -> None:
    pizza, food, shares = await embedded(
        wordllama, ["a man is eating pizza", "somebody has Italian food", "the stock market fell"]
    )
    assert pizza @ food > 0.2 > pizza @ shares


def test_a_model_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"agent_system\[embeddings-local\]"):
        MiniLmEmbedder()
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"agent_system\[embeddings\]"):
        endpoint.EndpointEmbedder("http://localhost", "m", 2)


@pytest.mark.skipif(importlib.util.find_spec(minilm.PACKAGE) is None, reason="weights that are installed by hand")
async def test_sentences_are_understood_without_torch() -> None:
    texts = ["a man is eating pizza", "somebody has Italian food", "the stock market fell", *AWKWARD]
    pizza, food, shares, *_ = await embedded(MiniLmEmbedder(), texts)
    assert pizza @ food > 0.3
    assert pizza @ shares < 0.1
