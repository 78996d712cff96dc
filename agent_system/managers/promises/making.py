"""Making promises: one or a whole graph of them, each with what it waits for and with its job, in one unit of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import insert, select

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.promises.dependents import standing
from agent_system.models import Promise, metadata
from agent_system.types import DependencyPolicy, PromiseStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent_system.database.executor import Executor
    from agent_system.managers.promises.promise_jobs import PromiseJobs

__all__ = ["LATE", "Draft", "Making", "Prerequisites", "in_order", "policies_of"]

Prerequisites: TypeAlias = "Iterable[int | str] | Mapping[Any, DependencyPolicy | str]"
"""What a promise waits for: ids or, in a graph, names; as a mapping with what a failure of each does."""

LATE = ("status", "error_message", "completed_at")
"""What only the unit of work knows that writes a new promise."""

INT64 = 2**63
FIELD = "depends_on"

_promises = metadata.tables["promises"]
_edges = metadata.tables["promise_dependencies"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A promise that is ready to be written."""

    values: dict[str, Any]
    """Its columns."""
    insert: Callable[[Executor], None]
    """What writes it, with the identity of its user."""
    depends_on: Mapping[int | str, DependencyPolicy]
    """Ids of promises that are there, or names of others that are written with it."""


class Making:
    """Writes drafts."""

    def __init__(self, jobs: PromiseJobs) -> None:
        self._jobs = jobs

    def write(self, executor: Executor, drafts: Mapping[str, Draft]) -> list[dict[str, Any]]:
        """Write promises, each after those that it waits for, with their jobs; returns their columns in that order.

        Raises:
            NotFoundError: One depends on a promise that is not there.
        """
        known = _lock(executor, {one for draft in drafts.values() for one in draft.depends_on if isinstance(one, int)})
        ids: dict[int | str, int] = {}
        rows = []
        for name, draft in drafts.items():
            parents = {ids.get(one, one): policy for one, policy in draft.depends_on.items()}
            row = self._write(executor, draft, parents, known)
            ids[name] = row["id"]
            known[row["id"]] = row["status"]
            rows.append(row)
        return rows

    def _write(
        self,
        executor: Executor,
        draft: Draft,
        parents: Mapping[Any, DependencyPolicy],
        known: Mapping[int, PromiseStatus],
    ) -> dict[str, Any]:
        values = draft.values
        status, reason = standing((one, known[one], policy) for one, policy in parents.items())
        has_failed = status is PromiseStatus.FAILED
        # A unit of work may run again, so that everything it knows is set each time.
        values |= {"status": status, "error_message": reason, "job_id": None}
        values["completed_at"] = values["created_at"] if has_failed else None
        draft.insert(executor)
        if parents:
            edges = [
                {
                    "promise_id": values["id"],
                    "depends_on_id": one,
                    "on_failure": policy,
                    "created_at": values["created_at"],
                }
                for one, policy in parents.items()
            ]
            executor.execute(insert(_edges).values(edges))
        if status is PromiseStatus.PENDING:
            values["job_id"] = self._jobs.enqueue(executor, values)
        return dict(values)


def _lock(executor: Executor, ids: Iterable[int]) -> dict[int, PromiseStatus]:
    """Where promises stand; they are locked, so that none of them ends before the new one is seen to wait for it."""
    wanted = sorted(ids)
    if not wanted:
        return {}
    columns = _promises.c
    statement = select(columns.id, columns.status).where(columns.id.in_(wanted)).order_by(columns.id).with_for_update()
    rows: list[Any] = list(executor.execute(statement))
    found: dict[int, PromiseStatus] = dict(rows)
    for one in wanted:
        if one not in found:
            raise NotFoundError(Promise.__name__, one)
    return found


def policies_of(depends_on: Prerequisites) -> dict[int | str, DependencyPolicy]:
    """What a promise depends on, each with its policy: it fails with what fails, unless the caller says otherwise.

    Raises:
        ValidationError: It is no list of ids or names, or a policy is none.
    """
    if isinstance(depends_on, (str, bytes)):
        raise _refusal(FIELD, f"a list of ids or names, not {depends_on!r}")
    pairs = depends_on.items() if isinstance(depends_on, Mapping) else ((one, "fail") for one in depends_on)
    policies: dict[int | str, DependencyPolicy] = {}
    for one, policy in pairs:
        if isinstance(one, bool) or not isinstance(one, (int, str)) or (isinstance(one, int) and abs(one) >= INT64):
            raise _refusal(FIELD, f"ids or names of promises, not {one!r}")
        try:
            policies[one] = DependencyPolicy(policy)
        except ValueError:
            raise _refusal(FIELD, f"a policy is one of {', '.join(DependencyPolicy)}, not {policy!r}") from None
    return policies


def in_order(drafts: Mapping[str, Draft]) -> dict[str, Draft]:
    """The drafts of a graph, each after those that it depends on.

    Raises:
        ValidationError: Some wait for each other, or one for a name that no draft has.
    """
    names: dict[str, Sequence[str]] = {}
    for name, draft in drafts.items():
        names[name] = [one for one in draft.depends_on if isinstance(one, str)]
        for one in names[name]:
            if one not in drafts:
                raise _refusal(FIELD, f"{name!r} depends on {one!r}, which is not among the promises")
    try:
        return {name: drafts[name] for name in TopologicalSorter(names).static_order()}
    except CycleError as exc:
        ring = " → ".join(repr(name) for name in exc.args[1])
        raise _refusal(FIELD, f"{ring} wait for each other, all of them for ever") from None


def _refusal(field: str, rule: str) -> ValidationError:
    return ValidationError(f"promises.{field}: {rule}", field=field, entity="promises")
