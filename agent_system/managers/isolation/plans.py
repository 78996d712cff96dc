"""Compiled statements of a scope, each made once for a set of dimensions, whoever they name."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, CompoundSelect, Delete, Insert, Select, Update, bindparam

from agent_system.database.plans import compile_plan
from agent_system.errors import ScopeError
from agent_system.managers.isolation.checks import WriteChecks
from agent_system.managers.isolation.conditions import Conditions
from agent_system.managers.isolation.rewriting import Rewriter, known_table
from agent_system.managers.isolation.scope import BIND_PREFIX, BIND_TYPES, Dimension
from agent_system.managers.isolation.values import (
    Literal,
    from_scoped_select,
    insert_columns,
    literal_of,
    update_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Dialect

    from agent_system.database.plans import Plan
    from agent_system.managers.isolation.checks import Look, TableChecks

__all__ = ["ScopeRules", "ScopedPlan"]

# Managers keep their plans; what is compiled for one call alone shall not fill the memory.
MOST_PLANS = 4_096
ABSENT = "absent_"
BINDS = MappingProxyType({BIND_PREFIX + dimension: dimension for dimension in Dimension})


@dataclass(frozen=True, slots=True)
class ScopedPlan:
    """A plan of a manager as a scope runs it."""

    plan: Plan
    places: tuple[int | Dimension | Literal, ...]
    """Where each parameter comes from: the given ones by position, whom the scope names, or the statement itself."""
    checks: TableChecks | None = None
    """What the values have to be that are written; None when none are."""
    looked_at: tuple[tuple[str, int | Literal], ...] = ()
    """The written columns that matter, with where their values come from."""
    is_new: bool = False
    """Whether it adds a row of given values."""
    filled: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of a plan that adds rows: the columns that may be filled in, with the positions of their parameters."""

    def parameters(self, given: Sequence[Any], own: Mapping[Dimension, Any]) -> list[Any]:
        """The parameters for the given ones of the original plan."""
        return [
            given[place] if isinstance(place, int) else own[place] if isinstance(place, Dimension) else place.value
            for place in self.places
        ]

    def written(self, given: Sequence[Any]) -> dict[str, Any]:
        """The values that matter, by column."""
        return {name: given[place] if isinstance(place, int) else place.value for name, place in self.looked_at}


class ScopeRules:
    """What a set of dimensions means for statements: shared by all scopes that have it.

    Args:
        dimensions: The dimensions.
        dialect: What the statements are compiled for.
    """

    def __init__(self, dimensions: frozenset[Dimension], dialect: Dialect) -> None:
        self.dialect = dialect
        self.dimensions = dimensions
        conditions = Conditions(dimensions, by_key=True)
        self.checks = WriteChecks(conditions, dimensions, dialect)
        self._rewriter = Rewriter(conditions)
        self._conditions = conditions
        self._encoders = {
            dimension: BIND_TYPES[dimension].dialect_impl(dialect).bind_processor(dialect) for dimension in Dimension
        }
        self._plans: OrderedDict[int, tuple[Plan, ScopedPlan]] = OrderedDict()
        self._questions: dict[Look, ScopedPlan] = {}

    def encode(self, values: Mapping[Dimension, Any]) -> dict[Dimension, Any]:
        """Whom the dimensions name, as the driver takes it."""
        encoded = {}
        for dimension, value in values.items():
            process = self._encoders[dimension]
            encoded[dimension] = value if process is None else process(value)
        return encoded

    def plan(self, plan: Plan) -> ScopedPlan:
        """The plan as a scope runs it.

        Raises:
            ScopeError: It cannot be bound to a scope, or a scope may not do what it does.
        """
        known = self._plans.get(id(plan))
        if known is not None:
            return known[1]
        scoped = self._compile(plan)
        # With the plan itself, so that its id is nobody else's as long as it is known here.
        self._plans[id(plan)] = plan, scoped
        if len(self._plans) > MOST_PLANS:
            self._plans.popitem(last=False)
        return scoped

    def question(self, look: Look) -> ScopedPlan:
        """The statement that finds out whether there is a row that may be named; its parameter is the row's key."""
        scoped = self._questions.get(look)
        if scoped is None:
            compiled = self.checks.plan(look)
            places = tuple(BINDS.get(name, 0) for name in compiled.parameters)
            scoped = self._questions[look] = ScopedPlan(compiled, places)
        return scoped

    def _compile(self, plan: Plan) -> ScopedPlan:
        statement: Any = plan.statement
        if isinstance(statement, (Select, CompoundSelect)):
            compiled = compile_plan(self._rewriter.select(statement), self.dialect)
            return self.place(compiled, plan)
        if isinstance(statement, Insert):
            return self._compile_insert(plan, statement)
        if isinstance(statement, (Update, Delete)):
            return self._compile_change(plan, statement)
        message = "a statement of this kind cannot be bound to a scope"
        raise ScopeError(message)

    def _compile_change(self, plan: Plan, statement: Any) -> ScopedPlan:
        checks = self.checks.of(known_table(statement.table).name)
        written = {} if isinstance(statement, Delete) else update_columns(statement)
        if isinstance(statement, Delete):
            checks.may_delete()
        else:
            checks.may_change(written)
        compiled = compile_plan(self._rewriter.change(statement), self.dialect, deletes=plan.deletes)
        if plan.key_position is not None:
            compiled = replace(compiled, key_position=compiled.parameters.index(plan.parameters[plan.key_position]))
        looked_at = self._looked_at(plan, written, checks)
        return replace(self.place(compiled, plan), checks=checks, looked_at=looked_at)

    def _compile_insert(self, plan: Plan, statement: Insert) -> ScopedPlan:
        checks = self.checks.of(known_table(statement.table).name)
        checks.may_add()
        if statement.select is not None:
            rewritten = from_scoped_select(statement, self._rewriter, checks, self._conditions)
            return self.place(compile_plan(rewritten, self.dialect, adds_rows=plan.adds_rows), plan)
        written = insert_columns(statement)
        absent = {name: bindparam(ABSENT + name, type_=kind) for name, kind in checks.fillable.items()}
        absent = {name: bind for name, bind in absent.items() if name not in written}
        compiled = compile_plan(statement.values(absent), self.dialect, adds_rows=plan.adds_rows)
        filled = {
            name: tuple(place for place, other in enumerate(compiled.parameters) if other == bind.key)
            for name, bind in (written | absent).items()
            if name in checks.fillable and isinstance(bind, BindParameter)
        }
        looked_at = self._looked_at(plan, written, checks)
        return replace(self.place(compiled, plan), checks=checks, looked_at=looked_at, is_new=True, filled=filled)

    def _looked_at(
        self, plan: Plan, written: Mapping[str, Any], checks: TableChecks
    ) -> tuple[tuple[str, int | Literal], ...]:
        found: list[tuple[str, int | Literal]] = []
        for name in sorted(checks.looked_at & written.keys()):
            value = written[name]
            literal = literal_of(value)
            if literal is not None:
                found.append((name, checks.encoded(name, literal, self.dialect)))
            elif isinstance(value, BindParameter):
                found.append((name, plan.positions[value.key]))
            else:
                checks.may_compute(name)
        return tuple(found)

    def place(self, compiled: Plan, plan: Plan) -> ScopedPlan:
        """Find for each parameter of a compiled statement where it comes from."""
        places: list[int | Dimension | Literal] = []
        for name, process in zip(compiled.parameters, compiled.processors, strict=True):
            constant = compiled.constants.get(name)
            if name in BINDS:
                places.append(BINDS[name])
            elif name.startswith(ABSENT):
                places.append(Literal(None))
            elif constant is not None and constant != plan.constants.get(name):
                # Names that SQLAlchemy counts may be another parameter's in the original.
                places.append(Literal(constant if process is None else process(constant)))
            else:
                places.append(plan.positions[name])
        return ScopedPlan(compiled, tuple(places))
