"""What to call a run's project, model and tools, read off the places where the files name them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent_system.importers.trajectory.run import UNKNOWN, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_system.importers.trajectory.shape import Fields

__all__ = ["declared_tools", "model_and_host", "project_name"]

# "owner__repository", with "-1234" or "-i1" behind it for the issue: how SWE-bench and SWE-agent name their instances.
INSTANCE = re.compile(r"(?P<owner>[A-Za-z0-9](?:[\w.-]*?[A-Za-z0-9])?)__(?P<repository>[A-Za-z0-9][\w.-]*?)(?:-i?\d+)?")
GITHUB_URL = re.compile(r"https?://github\.com/(?P<owner>[^/\s]+)/(?P<repository>[^/\s]+?)(?:\.git)?(?:/.*)?")
WORKING_DIRECTORY = re.compile(r"\(Current directory: /([^)\n]+)\)")

# A command as SWE-agent's prompt for models without function calls documents it.
DECLARATION = re.compile(
    r"^(?P<name>\w+):\n  docstring: (?P<description>.*)\n  signature: (?P<signature>.*)$", re.MULTILINE
)


def project_name(configuration: Fields | None, name: str, directories: Iterable[str]) -> str:
    """Return "owner/repository" where the run names one, else the name of its file.

    Args:
        configuration: the file's `replay_config`.
        name: the file's name without its suffix.
        directories: working directories and outputs that may show one, in the order of the run.
    """
    for url in _repository_urls(configuration):
        if found := GITHUB_URL.fullmatch(url):
            return f"{found['owner']}/{found['repository']}"
    problem = configuration.child("problem_statement") if configuration else None
    instances = [problem.text("id") if problem else None, name]
    for instance in (*instances, *_folders(directories)):
        if instance and (found := INSTANCE.fullmatch(instance)) and "__" not in found["repository"]:
            return f"{found['owner']}/{found['repository']}"
    return name


def _repository_urls(configuration: Fields | None) -> list[str]:
    environment = configuration.child("env") if configuration else None
    repository = environment.child("repo") if environment else None
    problem = configuration.child("problem_statement") if configuration else None
    urls = [place.text("github_url") for place in (repository, problem) if place]
    return [url for url in urls if url]


def _folders(directories: Iterable[str]) -> Iterable[str]:
    """Yield the top-level folder of each directory, or of each prompt that shows one."""
    for text in directories:
        found = WORKING_DIRECTORY.search(text)
        path = found[1] if found else text if text.startswith("/") else ""
        yield path.strip("/").partition("/")[0]


def model_and_host(configuration: Fields | None) -> tuple[str, str]:
    """Return the names of the model and of the host that served it; "openai/gpt-4o" names both."""
    agent = configuration.child("agent") if configuration else None
    model = agent.child("model") if agent else None
    name = (model.text("name") if model else None) or UNKNOWN
    host, slash, rest = name.partition("/")
    return (rest, host) if slash and host and rest else (name, UNKNOWN)


def declared_tools(system_prompt: str) -> list[ToolSpec]:
    """Return the commands that a system prompt documents."""
    return [
        ToolSpec(name=found["name"], description=found["description"].strip(), signature=found["signature"].strip())
        for found in DECLARATION.finditer(system_prompt)
    ]
