"""Claiming: who gets which jobs.

Where no rule concerns the types that are asked for, a claim is one statement. Otherwise what could be claimed is locked
first, then chosen by the rules, then leased. That a job has a concurrency key is seen only when it has been claimed: if
its key may not run now it is given back in the same transaction, and the rest is chosen with care.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_system.database.dialects.batches import dump_rows
from agent_system.managers.queue.claim_statement import ClaimStatements
from agent_system.managers.queue.keys import KeyCounts
from agent_system.managers.queue.rules import Rule, RuleBook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.plans import TablePlans
    from agent_system.managers.queue.lease_clock import LeaseClock
    from agent_system.managers.queue.settlements import Completion
    from agent_system.models import Job

__all__ = ["MOST_LEASE_SECONDS", "ClaimRequest", "Claims", "Glance"]

MOST_LEASE_SECONDS = 86_400.0
"""The longest lease: a worker that needs longer prolongs it."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What somebody wants to claim, apart from how many."""

    types: tuple[str, ...] | None
    """Of these types only; None: of any."""
    lease_seconds: float
    worker: str


class Glance(NamedTuple):
    """What a claim has to mind, as it was at the beginning of its transaction."""

    now: datetime
    """When that was."""
    is_due: bool
    """Whether the time of jobs has come that wait for it."""
    has_rules: bool
    """Whether any type has rules."""


@dataclass(slots=True)
class _Claim:
    """One claim in its unit of work."""

    executor: Executor
    request: ClaimRequest
    wanted: int
    moments: dict[str, Any]
    rows: list[Any]
    blocked: set[str]

    @property
    def missing(self) -> int:
        """So many are still to be found."""
        return self.wanted - len(self.rows)


class Claims:
    """Makes claims in units of work; returns rows as the driver gives them."""

    def __init__(self, plans: TablePlans[Job], clock: Callable[[], datetime], lease_clock: LeaseClock) -> None:
        self.statements = ClaimStatements(plans.dialect)
        self._rules = RuleBook(plans.dialect)
        self._keys = KeyCounts(plans.dialect)
        self._clock = clock
        self._lease_clock = lease_clock
        self._decode_type = plans.hydrate.processor("task_type") or str
        self._at = {key: position for position, key in enumerate(plans.hydrate.keys)}
        self._seen_keys = False

    def look(self, executor: Executor) -> Glance:
        """Look what a claim has to mind; from now on the transaction goes along indexes."""
        now, plan = self._clock(), self.statements.look
        ((is_due, has_rules, _),) = executor.fetch(plan, plan.encode({"now": now}))
        return Glance(now, bool(is_due), bool(has_rules))

    def claim(
        self,
        executor: Executor,
        request: ClaimRequest,
        wanted: int,
        *,
        after: Sequence[Completion] = (),
        glance: Glance | None = None,
    ) -> list[Any]:
        """Claim up to so many jobs, the most urgent first.

        Args:
            after: What was done before in the same transaction: others may wait for its end too.
            glance: What `look` saw in the same transaction; None: it has not looked.
        """
        glance = glance or self.look(executor)
        now, steady = glance.now, self._lease_clock.now()
        moments = {
            "now": now,
            "steady": steady,
            "too_far": steady + timedelta(seconds=MOST_LEASE_SECONDS),
            "until": steady + timedelta(seconds=request.lease_seconds),
            "worker": request.worker,
        }
        claim = _Claim(executor, request, wanted, moments, [], set())
        if glance.is_due:
            promote = self.statements.promote
            executor.change(promote, promote.encode(moments))
        has_rules = glance.has_rules and self._rules.apply_to(executor, request.types)
        if after and (has_rules or any(one.is_keyed for one in after)):
            executor.notify()
        if has_rules or self._seen_keys or not self._claim_freely(claim):
            self._claim_with_care(claim)
        return sorted(claim.rows, key=self._urgency)

    def _urgency(self, row: Any) -> Any:
        at = self._at
        return -row[at["priority"]], row[at["scheduled_for"]] or row[at["created_at"]], row[at["id"]]

    def _claim_freely(self, claim: _Claim) -> bool:
        """Claim by one statement; False when keys were in the way and the rest is to be chosen with care."""
        types = claim.request.types or ()
        plan = self.statements.claim(len(types))
        while claim.missing > 0:
            limits = {f"limit_{number}": claim.missing for number in range(len(types) or 1)}
            values = limits | _named(types, types) | claim.moments | {"wanted": claim.missing}
            found = claim.executor.fetch(plan, plan.encode(values))
            live = [row for row in found if self._is_begun(row)]
            keyed = [row for row in live if row[self._at["concurrency_key"]] is not None]
            if keyed:
                self._seen_keys = True
                refused = self._refused(claim, sorted(keyed, key=self._urgency))
                claim.rows += [row for row in live if row[self._at["id"]] not in refused]
                return False
            claim.rows += live
            if len(live) == len(found):
                # Whatever there was has been claimed.
                break
        return True

    def _is_begun(self, row: Any) -> bool:
        return row[self._at["lease_expires_at"]] is not None

    def _refused(self, claim: _Claim, keyed: Sequence[Any]) -> set[int]:
        """Give back jobs whose key may not run now; returns their ids."""
        at = self._at
        keys = [row[at["concurrency_key"]] for row in keyed]
        locked = self._keys.lock(claim.executor, sorted(set(keys)))
        running = self._keys.running(claim.executor)
        running.subtract(keys)
        refused = []
        for row, key in zip(keyed, keys, strict=True):
            if key in locked and running[key] < 1:
                running[key] += 1
            else:
                refused.append(row[at["id"]])
                claim.blocked.add(key)
        if refused:
            plan = self.statements.give_back
            ids = dump_rows([id_] for id_ in refused)
            claim.executor.change(plan, plan.encode({"ids": ids, "now": claim.moments["now"]}))
        return set(refused)

    def _claim_with_care(self, claim: _Claim) -> None:
        """Claim what the rules allow, a step at a time."""
        executor = claim.executor
        rules = self._rules.read(executor, claim.moments["now"])
        types = claim.request.types
        if types is None:
            types = self._all_types(executor)
        choice = _Choice(self._keys, rules, executor, claim.blocked, self._decode_type)
        began: list[str] = []
        while types and claim.missing > 0:
            candidates = self._candidates(claim, types, choice)
            known = len(choice.blocked)
            chosen = choice.choose(candidates, claim.missing)
            if chosen:
                plan = self.statements.take
                values = claim.moments | {"ids": dump_rows([id_] for id_ in chosen)}
                live = [row for row in executor.fetch(plan, plan.encode(values)) if self._is_begun(row)]
                claim.rows += live
                began += [self._decode_type(row[self._at["task_type"]]) for row in live]
            elif len(choice.blocked) == known:
                break
        self._rules.remember(executor, rules, began, claim.moments["now"])

    def _candidates(self, claim: _Claim, types: Sequence[str], choice: _Choice) -> list[Any]:
        plan = self.statements.candidates(len(types))
        limits = {f"limit_{number}": choice.most(kind, claim.missing) for number, kind in enumerate(types)}
        again = [kind if choice.may_begin_again(kind) else None for kind in types]
        blocked = dump_rows([key] for key in choice.blocked)
        values = limits | _named(types, again) | claim.moments | {"wanted": claim.missing, "blocked": blocked}
        return claim.executor.fetch(plan, plan.encode(values))

    def _all_types(self, executor: Executor) -> tuple[str, ...]:
        found = {
            self._decode_type(row[0])
            for row in executor.fetch(self.statements.running_types, self.statements.running_types.encode({}))
        }
        plan, after = self.statements.next_type, ""
        while rows := executor.fetch(plan, plan.encode({"after": after})):
            after = self._decode_type(rows[0][0])
            found.add(after)
        return tuple(sorted(found))


class _Choice:
    """Chooses among candidates by the rules of their types and by their keys."""

    def __init__(
        self,
        keys: KeyCounts,
        rules: dict[str, Rule],
        executor: Executor,
        blocked: set[str],
        decode_type: Callable[[Any], str],
    ) -> None:
        self._keys = keys
        self._decode_type = decode_type
        self._rules = rules
        self._executor = executor
        self._locked: set[str] = set()
        self._running = keys.running(executor)
        self.blocked = blocked
        most = max([1, *(rule.per_key for rule in rules.values())])
        blocked.update(key for key, count in self._running.items() if count >= most)

    def most(self, task_type: str, wanted: int) -> int:
        """So many of a type may be begun, at most as many as are wanted."""
        rule = self._rules.get(task_type)
        limits = [] if rule is None else [limit for limit in (rule.allowed, rule.rate) if limit is not None]
        return min([wanted, *limits])

    def may_begin_again(self, task_type: str) -> bool:
        """Whether jobs of a type that were lost may be begun again: they are among those that run."""
        rule = self._rules.get(task_type)
        return rule is None or rule.rate != 0

    def choose(self, candidates: Sequence[Any], wanted: int) -> list[int]:
        """The ids of those that may be begun, in the order of their urgency."""
        self._lock({row[4] for row in candidates if row[4] is not None})
        chosen: list[int] = []
        for id_, _priority, ready_at, encoded_type, key in candidates:
            if len(chosen) == wanted:
                break
            task_type, is_lost = self._decode_type(encoded_type), ready_at is None
            if self._may_begin(task_type, key, is_lost=is_lost):
                chosen.append(id_)
                self._count(task_type, key, is_lost=is_lost)
        return chosen

    def _lock(self, keys: set[str]) -> None:
        new = keys - self._locked
        if new:
            locked = self._keys.lock(self._executor, sorted(new))
            self._locked |= locked
            self.blocked |= new - locked
            # Whoever had the lock before may have begun a job.
            self._running = self._keys.running(self._executor)

    def _may_begin(self, task_type: str, key: str | None, *, is_lost: bool) -> bool:
        rule = self._rules.get(task_type, Rule())
        if rule.rate == 0 or (rule.allowed == 0 and not is_lost):
            return False
        if key is None or (key in self._locked and self._running[key] - is_lost < rule.per_key):
            return True
        self.blocked.add(key)
        return False

    def _count(self, task_type: str, key: str | None, *, is_lost: bool) -> None:
        rule = self._rules.get(task_type, Rule())
        if rule.rate is not None:
            rule.rate -= 1
        if not is_lost:
            if rule.allowed is not None:
                rule.allowed -= 1
            if key is not None:
                self._running[key] += 1


def _named(types: Sequence[str], again: Sequence[str | None]) -> dict[str, Any]:
    named: dict[str, Any] = {f"type_{number}": task_type for number, task_type in enumerate(types)}
    return named | {f"lost_type_{number}": task_type for number, task_type in enumerate(again)}
