"""The exception tree is what its module's docstring draws, and an error carries its data as attributes."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING

import pytest

from agent_system import errors

if TYPE_CHECKING:
    from agent_system.errors import AgentSystemError

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
DRAWN = re.compile(r"^(?P<branches>[│├└─ ]*)(?P<name>\w+Error)\b", re.MULTILINE)


def drawn_parents() -> dict[str, str]:
    """Read the tree of the docstring: class to parent."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in DRAWN.finditer(errors.__doc__ or ""):
        depth, name = len(line["branches"]), line["name"]
        while path and path[-1][0] >= depth:
            path.pop()
        parents[name] = path[-1][1] if path else "Exception"
        path.append((depth, name))
    return parents


def test_docstring_draws_the_tree_as_it_is() -> None:
    assert drawn_parents() == {error.__name__: error.__base__.__name__ for error in CLASSES if error.__base__}


def test_all_is_complete_and_sorted() -> None:
    assert errors.__all__ == sorted(error.__name__ for error in CLASSES)


@pytest.mark.parametrize("error", CLASSES)
def test_class_docstring_is_the_default_message(error: type[AgentSystemError]) -> None:
    assert error.__name__.endswith("Error")
    assert error.__doc__
    if error not in {errors.MissingExtraError, errors.NotFoundError}:
        assert str(error()) == error.__doc__.strip()
        assert str(error("what happened")) == "what happened"


def test_errors_carry_their_data() -> None:
    duplicate = errors.DuplicateKeyError("taken", table="users", constraint="uq_users_username", fields=("username",))
    assert (duplicate.table, duplicate.constraint, duplicate.field) == ("users", "uq_users_username", "username")
    assert errors.CheckError().field is None
    conflict = errors.ConflictError(entity="agent", entity_id=1, expected_version=2, actual_version=3)
    assert (conflict.entity, conflict.entity_id) == ("agent", 1)
    assert (conflict.expected_version, conflict.actual_version) == (2, 3)
    transition = errors.TransitionError(entity="Task", current="failed", wanted="running", allowed=("pending",))
    assert (transition.current, transition.wanted, transition.allowed) == ("failed", "running", ("pending",))
    refused = errors.ValidationError("no such column", field="colour", entity="agent")
    assert (refused.field, refused.entity) == ("colour", "agent")
    assert errors.ConfigurationError("wrong", variable="AGENT_SYSTEM_POOL_SIZE").variable == "AGENT_SYSTEM_POOL_SIZE"
    lost = errors.LeaseLostError("late", job_id=1, lease_token=2, status="cancelled")
    assert (lost.job_id, lost.lease_token, lost.status) == (1, 2, "cancelled")
    assert errors.ImportFileError("no JSON", path="run.traj").path == "run.traj"


def test_missing_row_is_named() -> None:
    missing = errors.NotFoundError("agent", 7)
    assert (missing.entity, missing.entity_id) == ("agent", 7)
    assert str(missing) == "there is no agent with the id 7"


def test_missing_extra_tells_what_to_install() -> None:
    missing = errors.MissingExtraError("postgres", "A PostgreSQL database")
    assert missing.extra == "postgres"
    assert 'pip install "agent_system[postgres]"' in str(missing)


@pytest.mark.parametrize(
    "error",
    [errors.DatabaseBusyError(), errors.DuplicateKeyError("taken", table="users", fields=("username",))],
)
def test_errors_travel_between_processes(error: AgentSystemError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
