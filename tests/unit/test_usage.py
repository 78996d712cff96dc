"""Providers count tokens differently; `Usage` brings all of them to one way of counting."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from agent_system.errors import ValidationError
from agent_system.managers.ledger.usage import Usage


def counts(usage: Usage) -> dict[str, Any]:
    return {key: value for key, value in usage.as_fields().items() if key != "raw_usage"}


def test_anthropic_counts_cached_tokens_beside_the_input() -> None:
    message = {
        "input_tokens": 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2455,
        "output_tokens": 23,
        "server_tool_use": {"web_search_requests": 1},
        "service_tier": "standard",
    }
    usage = Usage.from_anthropic(message)
    assert counts(usage) == {
        "input_tokens": 2459,
        "output_tokens": 23,
        "cache_read_input_tokens": 2455,
        "cache_creation_input_tokens": 0,
    }
    assert usage.raw_usage == message
    last_event = Usage.from_anthropic({"output_tokens": 15})
    assert counts(last_event) == {"output_tokens": 15}
    split = Usage.from_anthropic({"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 7}})
    assert counts(split) == {
        "input_tokens": 8,
        "cache_creation_input_tokens": 7,
        "cache_creation_1h_input_tokens": 7,
    }


def test_openai_counts_cached_and_reasoning_tokens_inside() -> None:
    completion = {
        "prompt_tokens": 2006,
        "completion_tokens": 300,
        "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 192},
    }
    assert counts(Usage.from_openai(completion)) == {
        "input_tokens": 2006,
        "output_tokens": 300,
        "cache_read_input_tokens": 1920,
        "reasoning_output_tokens": 192,
    }
    details = SimpleNamespace(cached_tokens=5, cache_write_tokens=3)
    response = SimpleNamespace(
        input_tokens=10, output_tokens=2, input_tokens_details=details, output_tokens_details=None
    )
    assert counts(Usage.from_openai(response)) == {
        "input_tokens": 10,
        "output_tokens": 2,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 3,
    }
    assert counts(Usage.from_openai({"prompt_tokens": 8, "total_tokens": 8})) == {"input_tokens": 8, "output_tokens": 0}


def test_those_who_speak_as_openai_does_say_more() -> None:
    deepseek = {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64}
    assert Usage.from_openai(deepseek).cache_read_input_tokens == 64
    openrouter = {"prompt_tokens": 100, "completion_tokens": 5, "cost": 0.00014}
    assert Usage.from_openai(openrouter).cost_usd == 0.00014
    assert Usage.from_openai({"prompt_tokens": 1, "completion_tokens": 1, "cost": "free"}).cost_usd is None


def test_gemini_counts_thoughts_beside_the_candidates() -> None:
    words = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 600,
        "candidatesTokenCount": 50,
        "thoughtsTokenCount": 200,
        "toolUsePromptTokenCount": 30,
        "totalTokenCount": 1280,
    }
    usage = Usage.from_gemini(words)
    assert counts(usage) == {
        "input_tokens": 1030,
        "output_tokens": 250,
        "cache_read_input_tokens": 600,
        "reasoning_output_tokens": 200,
    }
    assert (usage.input_tokens or 0) + (usage.output_tokens or 0) == words["totalTokenCount"]
    snake = SimpleNamespace(prompt_token_count=10, candidates_token_count=5)
    assert counts(Usage.from_gemini(snake)) == {"input_tokens": 10, "output_tokens": 5}


@dataclass
class RunUsage:
    """The shape of Pydantic AI's usage."""

    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    details: dict[str, int] = field(default_factory=dict)


def test_pydantic_ai_and_langchain_count_everything_inside() -> None:
    usage = Usage.from_pydantic_ai(RunUsage(100, 20, 30, 40, {"reasoning_tokens": 8}))
    assert counts(usage) == {
        "input_tokens": 100,
        "output_tokens": 40,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 20,
        "reasoning_output_tokens": 8,
    }
    assert usage.raw_usage["details"] == {"reasoning_tokens": 8}
    old = SimpleNamespace(request_tokens=3, response_tokens=4, details=None)
    assert counts(Usage.from_pydantic_ai(old)) == {"input_tokens": 3, "output_tokens": 4}
    message = {
        "input_tokens": 350,
        "output_tokens": 240,
        "input_token_details": {"cache_creation": 200, "cache_read": 100},
        "output_token_details": {"reasoning": 200},
    }
    assert counts(Usage.from_langchain(message)) == {
        "input_tokens": 350,
        "output_tokens": 240,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 200,
        "reasoning_output_tokens": 200,
    }


@pytest.mark.parametrize("read", [Usage.from_anthropic, Usage.from_openai, Usage.from_gemini, Usage.from_pydantic_ai])
def test_what_was_not_reported_is_missing_and_not_zero(read: Any) -> None:
    assert read(None) == Usage()
    assert counts(read({})) == {}


@pytest.mark.parametrize("count", ["12", True, 1.5, float("nan"), float("inf"), [1]])
def test_what_is_no_count_is_refused(count: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Usage.from_anthropic({"input_tokens": count})
    assert caught.value.field == "input_tokens"


def test_an_object_of_an_sdk_keeps_its_words() -> None:
    def model_dump(mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"input_tokens": 1}

    assert Usage.from_anthropic(SimpleNamespace(input_tokens=1, model_dump=model_dump)).raw_usage == {"input_tokens": 1}
    assert Usage.from_anthropic(SimpleNamespace(input_tokens=1)).raw_usage is None
