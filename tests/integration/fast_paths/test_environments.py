"""The fast paths stand on details of SQLAlchemy, aiosqlite and pydantic: do these hold in all versions that we allow?

Each environment is made anew, with what pip finds for it, and runs the guards of those details, the tests of the fast
paths and the command line. It takes minutes, so only `scripts/test --full` does it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import URL_VARIABLE

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

pytestmark = [pytest.mark.full, pytest.mark.timeout(1_200)]

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEST_TOOLS = ("pytest", "pytest-alembic", "pytest-asyncio", "pytest-timeout", "hypothesis")
TESTS = ("tests/unit", "tests/integration/fast_paths")
LOWER_BOUND = re.compile(r"(?P<name>[\w-]+)(\[[\w,]+\])?>=(?P<version>[\d.]+)")


def oldest_versions() -> list[str]:
    """The lower bounds of everything that is needed to run, as constraints."""
    bounds = []
    for requirement in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"]]:
        bound = LOWER_BOUND.match(requirement)
        assert bound, f"{requirement} has no lower bound"
        bounds.append(f"{bound['name']}=={bound['version']}")
    return bounds


def interpreters() -> dict[str, str]:
    """The Pythons of this machine that we support, by their version; pyenv's are found although none is chosen."""
    found = {}
    for classifier in PROJECT["classifiers"]:
        version = classifier.rpartition(" :: ")[2]
        if classifier.startswith("Programming Language :: Python :: 3."):
            candidates = [shutil.which(f"python{version}"), *pyenv_interpreters(version)]
            working = [candidate for candidate in candidates if candidate and works(candidate)]
            found |= {version: working[0]} if working else {}
    return found


def pyenv_interpreters(version: str) -> list[str]:
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return []
    root = subprocess.run([pyenv, "root"], check=True, capture_output=True, text=True).stdout.strip()
    return sorted(map(str, Path(root, "versions").glob(f"{version}.*/bin/python{version}")))


def works(interpreter: str) -> bool:
    return subprocess.run([interpreter, "-c", ""], check=False, capture_output=True).returncode == 0


class Environment:
    """A virtual environment with this project in it."""

    def __init__(self, folder: Path, interpreter: str) -> None:
        # The script takes the `python3` that it finds first.
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(interpreter)
        self.folder = folder
        self.python = folder / "environment" / "bin" / "python"
        paths = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        self.run(ROOT / "scripts" / "new-environment", folder / "environment", PATH=paths)

    def install(self, constraints: list[str]) -> None:
        """Install the project as users do, and what its tests need."""
        file = self.folder / "constraints.txt"
        pinned = (ROOT / "constraints.txt").read_text().splitlines()
        tools = [line for line in pinned if line.partition("==")[0] in TEST_TOOLS]
        file.write_text("\n".join([*constraints, *tools]))
        self.pip("install", "-c", file, f"{ROOT}[postgres]", *TEST_TOOLS)
        self.pip("check")

    def pip(self, *arguments: str | Path) -> None:
        self.run(self.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def run(self, *command: str | Path, **variables: str) -> None:
        """Run a program in the folder of the environment; what it says is told when it fails."""
        kept = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
        done = subprocess.run(
            command, check=False, cwd=self.folder, env=kept | variables, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-5_000:]}\n{done.stderr[-5_000:]}"

    def check(self, server: PostgresServer) -> None:
        """Run the tests and the command line."""
        self.run(self.python, "-m", "agent_system", "--help")
        self.run(self.python, "-m", "agent_system", "--url", self.folder / "system.db", "upgrade")
        self.run(self.python, "-m", "agent_system", "--url", self.folder / "system.db", "health")
        url = server.url.render_as_string(hide_password=False)
        tests = [ROOT / name for name in TESTS]
        options = ("-q", "-p", "no:cacheprovider", "--rootdir", ROOT, "-c", ROOT / "pyproject.toml")
        self.run(self.python, "-m", "pytest", *options, *tests, **{URL_VARIABLE: url})


def test_the_oldest_versions_that_are_allowed(tmp_path: Path, postgres_server: PostgresServer) -> None:
    environment = Environment(tmp_path, sys.executable)
    environment.install(oldest_versions())
    environment.check(postgres_server)


@pytest.mark.parametrize("version", interpreters())
def test_the_newest_versions_on_every_python(version: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    environment = Environment(tmp_path, interpreters()[version])
    environment.install([])
    environment.check(postgres_server)
