"""`Usage`: the tokens of one call in one way of counting, whichever way the provider has.

| provider | cached tokens | reasoning |
|---|---|---|
| Anthropic | beside `input_tokens` | inside `output_tokens`, not told apart |
| OpenAI, and whoever speaks as it does | inside the prompt's tokens | inside the completion's tokens |
| Gemini | inside `promptTokenCount` | beside `candidatesTokenCount` |
| Pydantic AI, LangChain | inside the input's tokens | inside the output's tokens |

Here, as OpenTelemetry's GenAI conventions have it, a total holds its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from decimal import Decimal
from typing import Any

from agent_system.errors import ValidationError

__all__ = ["Usage"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """The tokens of one call; None is a count that nobody reported, which is not 0.

    Example:
        >>> usage = Usage.from_anthropic({"input_tokens": 3, "cache_creation_input_tokens": 100, "output_tokens": 20})
        >>> usage.input_tokens
        103
    """

    input_tokens: int | None = None
    """All tokens that the model read."""
    output_tokens: int | None = None
    """All tokens that the model wrote."""
    cache_read_input_tokens: int | None = None
    """Those of input_tokens that came from a cache."""
    cache_creation_input_tokens: int | None = None
    """Those of input_tokens that were written to a cache."""
    cache_creation_5m_input_tokens: int | None = None
    """Those of cache_creation_input_tokens that are kept for five minutes."""
    cache_creation_1h_input_tokens: int | None = None
    """Those of cache_creation_input_tokens that are kept for an hour."""
    reasoning_output_tokens: int | None = None
    """Those of output_tokens that were reasoning."""
    cost_usd: Decimal | float | None = None
    """What the provider says that the call cost, in dollars; None: it does not say."""
    raw_usage: Any = field(default=None, repr=False)
    """The provider's own words, as JSON can hold them."""

    def as_fields(self) -> dict[str, Any]:
        """What is known, by the names of the ledger's columns."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_anthropic(cls, usage: Any) -> Usage:
        """Read the `usage` of an Anthropic message, or of a stream's event.

        Args:
            usage: The object of the SDK, or its JSON.

        Raises:
            ValidationError: A count is no number.
        """
        read = _Reader(usage, "anthropic")
        plain, cached = read("input_tokens"), read("cache_read_input_tokens")
        split = read.inner("cache_creation")
        five_minutes, hour = split("ephemeral_5m_input_tokens"), split("ephemeral_1h_input_tokens")
        created = read("cache_creation_input_tokens")
        if created is None:
            created = _sum(five_minutes, hour)
        return cls(
            # The last event of a stream may tell of the output alone.
            input_tokens=_sum(plain, cached, created),
            output_tokens=read("output_tokens"),
            cache_read_input_tokens=cached,
            cache_creation_input_tokens=created,
            cache_creation_5m_input_tokens=five_minutes,
            cache_creation_1h_input_tokens=hour,
            raw_usage=_plain(usage),
        )

    @classmethod
    def from_openai(cls, usage: Any) -> Usage:
        """Read the `usage` of a chat completion or of a response, from OpenAI or whoever speaks as it does.

        DeepSeek's count of cache hits and OpenRouter's `cost` are understood too.

        Args:
            usage: The object of the SDK, or its JSON.

        Raises:
            ValidationError: A count is no number.
        """
        read = _Reader(usage, "openai")
        inputs = read.inner("prompt_tokens_details") or read.inner("input_tokens_details")
        outputs = read.inner("completion_tokens_details") or read.inner("output_tokens_details")
        return cls(
            input_tokens=read("prompt_tokens", "input_tokens"),
            # An embedding has no completion; it says so by a total that is the prompt's.
            output_tokens=_output(read),
            cache_read_input_tokens=_first(inputs("cached_tokens"), read("prompt_cache_hit_tokens")),
            cache_creation_input_tokens=inputs("cache_write_tokens"),
            reasoning_output_tokens=outputs("reasoning_tokens"),
            cost_usd=read.amount("cost"),
            raw_usage=_plain(usage),
        )

    @classmethod
    def from_gemini(cls, usage: Any) -> Usage:
        """Read the `usageMetadata` of a Gemini response.

        Args:
            usage: The object of the SDK (`usage_metadata`), or its JSON (`usageMetadata`).

        Raises:
            ValidationError: A count is no number.
        """
        read = _Reader(usage, "gemini")
        thoughts = read("thoughts_token_count", "thoughtsTokenCount")
        prompt = read("prompt_token_count", "promptTokenCount")
        tools = read("tool_use_prompt_token_count", "toolUsePromptTokenCount")
        return cls(
            input_tokens=_sum(prompt, tools),
            output_tokens=_sum(read("candidates_token_count", "candidatesTokenCount"), thoughts),
            cache_read_input_tokens=read("cached_content_token_count", "cachedContentTokenCount"),
            reasoning_output_tokens=thoughts,
            raw_usage=_plain(usage),
        )

    @classmethod
    def from_pydantic_ai(cls, usage: Any) -> Usage:
        """Read the usage of a Pydantic AI request or run (`result.usage()`); a run's is the sum of its requests.

        Raises:
            ValidationError: A count is no number.
        """
        read = _Reader(usage, "pydantic_ai")
        # Before its version 1 they were called request and response tokens.
        return cls(
            input_tokens=read("input_tokens", "request_tokens"),
            output_tokens=read("output_tokens", "response_tokens"),
            cache_read_input_tokens=read("cache_read_tokens"),
            cache_creation_input_tokens=read("cache_write_tokens"),
            reasoning_output_tokens=read.inner("details")("reasoning_tokens"),
            raw_usage=_plain(usage),
        )

    @classmethod
    def from_langchain(cls, usage: Any) -> Usage:
        """Read the `usage_metadata` of a LangChain message.

        Raises:
            ValidationError: A count is no number.
        """
        read = _Reader(usage, "langchain")
        inputs = read.inner("input_token_details")
        return cls(
            input_tokens=read("input_tokens"),
            output_tokens=read("output_tokens"),
            cache_read_input_tokens=inputs("cache_read"),
            cache_creation_input_tokens=inputs("cache_creation"),
            reasoning_output_tokens=read.inner("output_token_details")("reasoning"),
            raw_usage=_plain(usage),
        )


class _Reader:
    """Reads counts from a mapping or from an object's attributes."""

    def __init__(self, source: Any, provider: str) -> None:
        self._source = source
        self._provider = provider

    def __bool__(self) -> bool:
        return self._source is not None

    def __call__(self, *names: str) -> int | None:
        """The count under the first of these names that has one."""
        for name in names:
            value = self._get(name)
            if value is not None:
                is_whole = isinstance(value, float) and value.is_integer()
                if isinstance(value, bool) or not (isinstance(value, int) or is_whole):
                    message = f"{self._provider} usage, {name}: {value!r} is no number of tokens"
                    raise ValidationError(message, field=name)
                return int(value)
        return None

    def amount(self, name: str) -> Decimal | float | None:
        """The amount of dollars under this name."""
        value = self._get(name)
        return value if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) else None

    def inner(self, name: str) -> _Reader:
        """What reads the counts of a part."""
        return _Reader(self._get(name), self._provider)

    def _get(self, name: str) -> Any:
        source = self._source
        return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def _output(read: _Reader) -> int | None:
    written, prompt = read("completion_tokens", "output_tokens"), read("prompt_tokens")
    if written is None and prompt is not None and read("total_tokens") == prompt:
        return 0
    return written


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _plain(usage: Any) -> Any:
    """The provider's words as JSON can hold them; None where an object does not tell them."""
    if usage is None or isinstance(usage, Mapping):
        return None if usage is None else dict(usage)
    if is_dataclass(usage) and not isinstance(usage, type):
        return asdict(usage)
    dump = getattr(usage, "model_dump", None)
    return None if dump is None else dump(mode="json")
