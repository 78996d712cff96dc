"""`ScopedExecutor`: what a unit of work gets in a scope, so that no verb has to think of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import CompoundSelect, Delete, Insert, Select, Update

from agent_system.errors import ScopeError
from agent_system.managers.isolation.statements import StatementRules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import CursorResult, Executable

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.isolation.checks import Look
    from agent_system.managers.isolation.plans import ScopedPlan, ScopeRules
    from agent_system.managers.isolation.scope import Dimension, Scope

__all__ = ["Guard", "ScopedExecutor"]


class Guard:
    """One scope and what it means for statements."""

    def __init__(self, scope: Scope, rules: ScopeRules) -> None:
        self.scope = scope
        self.rules = rules
        self.own: Mapping[Dimension, Any] = rules.encode(scope.values)
        self.statements = StatementRules(scope, rules)

    def complete(self, table: str, values: dict[str, Any]) -> None:
        """Fill in to whom a new row belongs.

        Args:
            table: The table.
            values: Its complete values by attribute.

        Raises:
            ScopeError: The scope may add no such row.
        """
        checks = self.rules.checks.of(table)
        checks.may_add()
        values |= checks.missing(values, self.scope.values)


class ScopedExecutor:
    """Runs statements over the rows of one scope inside one unit of work."""

    __slots__ = ("_answers", "_guard", "_inner")

    def __init__(self, inner: Executor, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard
        # What has been found stays found in the transaction.
        self._answers: set[tuple[Look, Any]] = set()

    @property
    def trusted(self) -> Executor:
        """The executor for the layer's own bookkeeping, which follows from what the scope allowed."""
        return self._inner.trusted

    @property
    def counts_on(self) -> bool:
        """A row that names another one is checked before it is written, so that the other one has to be there."""
        return False

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a SQLAlchemy Core statement over the rows of the scope.

        Raises:
            ScopeError: It cannot be bound to a scope, or would write what is not the scope's.
        """
        rules = self._guard.statements
        if isinstance(statement, (Select, CompoundSelect)):
            return self._inner.execute(rules.select(statement), parameters)
        if isinstance(statement, Insert):
            return self._inner.execute(*rules.insert(statement, parameters, self.ask))
        if isinstance(statement, (Update, Delete)):
            return self._inner.execute(rules.change(statement, parameters, self.ask), parameters)
        message = "a statement of this kind cannot be bound to a scope"
        raise ScopeError(message)

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run a compiled statement over the rows of the scope and return what it finds."""
        scoped = self._guard.rules.plan(plan)
        return self._inner.fetch(scoped.plan, self._prepare(scoped, parameters))

    def insert(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Insert one row of the scope and return its counted key."""
        scoped = self._guard.rules.plan(plan)
        return self._inner.insert(scoped.plan, self._prepare(scoped, parameters))

    def insert_unless_there(self, plan: Plan, parameters: Sequence[Any]) -> int | None:
        """Insert one row of the scope and return its counted key; None when it is there."""
        scoped = self._guard.rules.plan(plan)
        return self._inner.insert_unless_there(scoped.plan, self._prepare(scoped, parameters))

    def insert_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows of the scope and return their counted keys, in order."""
        scoped = self._guard.rules.plan(plan)
        return self._inner.insert_many(scoped.plan, [self._prepare(scoped, row) for row in rows])

    def change(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Run a compiled statement over the rows of the scope and return how many rows it changed."""
        scoped = self._guard.rules.plan(plan)
        return self._inner.change(scoped.plan, self._prepare(scoped, parameters))

    def change_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Run a compiled statement over the rows of the scope once for each tuple of parameters."""
        scoped = self._guard.rules.plan(plan)
        self._inner.change_many(scoped.plan, [self._prepare(scoped, row) for row in rows])

    def change_each(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Change rows of the scope that are there."""
        scoped = self._guard.rules.plan(plan)
        self._inner.change_each(scoped.plan, [self._prepare(scoped, row) for row in rows])

    def insert_pairs(
        self, plan: Plan, rows: Sequence[Sequence[Any]], other: Plan, others: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows of the scope, each with its companion, which is the layer's own bookkeeping."""
        scoped = self._guard.rules.plan(plan)
        self._inner.insert_pairs(scoped.plan, [self._prepare(scoped, row) for row in rows], other, others)

    def notify(self) -> None:
        """Let those who wait for changes look."""
        self._inner.notify()

    def prefer_indexes(self) -> None:
        """As the executor below."""
        self._inner.prefer_indexes()

    def forget(self) -> None:
        """Let what is deleted from now on leave nothing behind in the file."""
        self._inner.forget()

    def ask(self, look: Look, value: Any) -> bool:
        """Whether there is a row that may be named.

        Args:
            look: Where, and for what.
            value: Its key, encoded.
        """
        if (look, value) in self._answers:
            return True
        plan = self._guard.rules.question(look)
        found = bool(self._inner.fetch(plan.plan, plan.parameters((value,), self._guard.own)))
        if found:
            self._answers.add((look, value))
        return found

    def _prepare(self, scoped: ScopedPlan, given: Sequence[Any]) -> list[Any]:
        own = self._guard.own
        parameters = scoped.parameters(given, own)
        checks = scoped.checks
        if checks is not None:
            values = scoped.written(given)
            checks.check(values, own, self.ask, is_new=scoped.is_new)
            if scoped.is_new:
                for name, value in checks.missing(values, own).items():
                    for place in scoped.filled[name]:
                        parameters[place] = value
        return parameters
