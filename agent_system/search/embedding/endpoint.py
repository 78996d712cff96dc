"""`EndpointEmbedder`: vectors from any service that speaks OpenAI's embeddings API."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from agent_system.errors import EmbeddingError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    import httpx

__all__ = ["EndpointEmbedder", "EndpointOptions"]

EXTRA = "embeddings"
# Seconds; doubled after each attempt, as https://platform.openai.com/docs/guides/rate-limits advises.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
# Of what a service says about an error, so much is repeated.
MOST_OF_ERROR = 200
WORTH_RETRYING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
NO_CONTENT = " "
"""What is sent for an empty text, which the API refuses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointOptions:
    """How a service is asked."""

    provider: str = "openai"
    """Who runs it; the vectors are known under `provider/model`."""
    batch: int = 128
    """Most texts of one request; OpenAI takes 2,048 (https://platform.openai.com/docs/api-reference/embeddings), and
    fewer lose less when one fails."""
    timeout_seconds: float = 30.0
    """Longest wait for one answer."""
    attempts: int = 4
    """How often a request is tried that fails for a reason that may pass."""
    asks_for_dimensions: bool = False
    """Whether to ask for vectors of the wanted size, which some models can shorten."""


class EndpointEmbedder:
    """Asks a service such as OpenAI, Ollama, vLLM, LM Studio or llama.cpp's server.

    Args:
        url: Where the API begins, such as `https://api.openai.com/v1`.
        model: The model, as the service calls it.
        dimensions: How many numbers its vectors have.
        api_key: The key, sent as a bearer token; None: none is sent.
        options: How it is asked; None: as `EndpointOptions()` says.
        client: The client to use, which stays the caller's; None makes one.
        sleep: What waits between attempts; tests pass one that does not.

    Example:
        >>> async with EndpointEmbedder("http://localhost:11434/v1", "nomic-embed-text", 768) as embedder:
        ...     em = EntityManager(db, embedder=embedder)
    """

    def __init__(
        self,
        url: str,
        model: str,
        dimensions: int,
        *,
        api_key: str | None = None,
        options: EndpointOptions | None = None,
        client: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = _httpx()
        self._options = options if options is not None else EndpointOptions()
        self.name = f"{self._options.provider}/{model}"
        self.dimensions = dimensions
        self._url = url.rstrip("/") + "/embeddings"
        self._body: dict[str, Any] = {"model": model, "encoding_format": "float"}
        if self._options.asks_for_dimensions:
            self._body["dimensions"] = dimensions
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._sleep = sleep
        self._owns_client = client is None
        timeout = self._options.timeout_seconds
        self._client = client if client is not None else self._http.AsyncClient(timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a client that was given stays open."""
        if self._owns_client:
            await self._client.aclose()

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in order, as the service gives them.

        Raises:
            EmbeddingError: The service refused, did not answer in time, or answered something else.
        """
        vectors: list[list[float]] = []
        size = max(self._options.batch, 1)
        for start in range(0, len(texts), size):
            part = [text or NO_CONTENT for text in texts[start : start + size]]
            vectors += self._read(await self._ask(part), len(part))
        return vectors

    async def _ask(self, texts: Sequence[str]) -> httpx.Response:
        problem = EmbeddingError(model=self.name)
        pause = FIRST_PAUSE
        for attempt in range(max(self._options.attempts, 1)):
            if attempt:
                await self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            try:
                body = {**self._body, "input": texts}
                answer = await self._client.post(self._url, json=body, headers=self._headers)
            except (self._http.HTTPError, self._http.InvalidURL, UnicodeEncodeError) as exc:
                problem = EmbeddingError(f"{self.name}: {type(exc).__name__}: {exc}", model=self.name)
                problem.__cause__ = exc
                if not isinstance(exc, self._http.TransportError):
                    raise problem from exc
                continue
            if answer.is_success:
                return answer
            problem = EmbeddingError(
                f"{self.name}: the service answered {answer.status_code}: {answer.text[:MOST_OF_ERROR]}",
                model=self.name,
                status=answer.status_code,
            )
            if answer.status_code not in WORTH_RETRYING:
                break
            pause = _wanted_pause(answer, pause)
        raise problem

    def _read(self, answer: httpx.Response, count: int) -> list[list[float]]:
        try:
            found = {item["index"]: item["embedding"] for item in answer.json()["data"]}
            return [found[index] for index in range(count)]
        except (ValueError, KeyError, TypeError) as exc:
            message = f"{self.name}: the service answered something that are no embeddings"
            raise EmbeddingError(message, model=self.name) from exc


def _wanted_pause(answer: httpx.Response, pause: float) -> float:
    """How long to wait: as long as the service says, otherwise about as long as the attempts before tell."""
    try:
        return min(float(answer.headers["retry-after"]), LONGEST_PAUSE)
    except (KeyError, ValueError):
        # So that those who were refused together do not come back together.
        return pause * random.uniform(0.5, 1.0)  # noqa: S311


def _httpx() -> Any:
    try:
        import httpx  # noqa: PLC0415 (an optional extra)
    except ImportError as exc:
        raise MissingExtraError(EXTRA, "an embedder that asks a service") from exc
    return httpx
