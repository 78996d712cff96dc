"""Everything that a call to a model has to know before it is written, found by one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, null, select

from agent_system.database.plans import compile_plan
from agent_system.managers.ledger.pricing import Rates, price_columns, valid_price
from agent_system.models import metadata
from agent_system.models.columns import BigInt, Text, UtcDateTime
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy import Dialect, Select

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.ledger.names import ModelReference, ProjectReference

__all__ = ["Address", "Addresses", "find_model"]

_hosts = metadata.tables["hosts"]
_models = metadata.tables["models"]
_prices = metadata.tables["model_prices"]
_projects = metadata.tables["projects"]
_usage = metadata.tables["token_usage"]


class Address(NamedTuple):
    """Where a call belongs."""

    model_id: int
    rates: Rates | None
    """What the model cost; None: nobody knows."""
    project_id: UUID | None
    """None: it is not there, or none was named."""
    entry_id: int | None
    """The entry of the same request and attempt; None when there is none."""


class Addresses:
    """Finds addresses."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._read_project_id: Any = _projects.c.id.type.dialect_impl(dialect).result_processor(dialect, None)
        self._plans: dict[tuple[type, type, type, bool], Plan] = {}
        self.entry_plan = compile_plan(_entry(), dialect)

    def find(
        self, executor: Executor, model: ModelReference, project: ProjectReference, call: Mapping[str, Any]
    ) -> Address | None:
        """Where a call belongs; None when its model is not there.

        Args:
            call: Its `timestamp`, `input_tokens`, `request_id` and `attempt`.
        """
        plan = self.plan(model, project, has_request=call["request_id"] is not None)
        host: Any = model.host
        named: Any = project if isinstance(project, str) else None
        values = {
            "model": model.model,
            "host": host if isinstance(host, int) else name_key(host),
            "moment": call["timestamp"],
            "input_tokens": call["input_tokens"],
            "project": None if named is None else name_key(named),
            "request_id": call["request_id"],
            "attempt": call["attempt"],
        }
        rows = executor.fetch(plan, plan.encode(values))
        if not rows:
            return None
        model_id, project_id, entry_id, *price = rows[0]
        if project_id is not None:
            project_id = self._read_project_id(project_id)
        elif named is None:
            project_id = project
        return Address(model_id, Rates.of_row(price), project_id, entry_id)

    def find_entry(self, executor: Executor, call: Mapping[str, Any]) -> int | None:
        """The entry of the same request and attempt; None when there is none.

        Args:
            call: Its `request_id` and `attempt`.
        """
        if call["request_id"] is None:
            return None
        rows = executor.fetch(self.entry_plan, self.entry_plan.encode(call))
        return int(rows[0][0]) if rows else None

    def plan(self, model: ModelReference, project: ProjectReference, *, has_request: bool) -> Plan:
        """The statement for a call of which so much is known."""
        kind = (type(model.model), type(model.host), type(project), has_request)
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = compile_plan(
                _address(model, is_named=isinstance(project, str), has_request=has_request), self._dialect
            )
        return plan


def _address(model: ModelReference, *, is_named: bool, has_request: bool) -> Select[Any]:
    project_id: Any = null()
    if is_named:
        named = _projects.c.name_key == bindparam("project", type_=Text())
        project_id = select(_projects.c.id).where(_projects.c.user_id.is_(None), named).scalar_subquery()
    entry_id: Any = _entry().scalar_subquery() if has_request else null()
    return find_model(model, project_id.label("project_id"), entry_id.label("entry_id"))


def _entry() -> Select[Any]:
    request_id, attempt = bindparam("request_id", type_=Text()), bindparam("attempt", type_=BigInt)
    return select(_usage.c.id).where(_usage.c.request_id == request_id, _usage.c.attempt == attempt)


def find_model(model: ModelReference, *more: Any) -> Select[Any]:
    """A model by what is known of it (parameters `model` and `host`), with what it costs at the parameter `moment`.

    Its key comes first, then what else is wanted, then what `Rates.of_row` reads.
    """
    price = valid_price(_models.c.id, bindparam("moment", type_=UtcDateTime()), bindparam("input_tokens", type_=BigInt))
    joined = _models.outerjoin(_prices, price)
    statement = select(_models.c.id, *more, *price_columns()).select_from(joined)
    if not isinstance(model.model, str):
        return statement.where(_models.c.id == bindparam("model", type_=BigInt))
    host_id: Any = bindparam("host", type_=BigInt)
    if isinstance(model.host, str):
        named = _hosts.c.name_key == bindparam("host", type_=Text())
        host_id = select(_hosts.c.id).where(named).scalar_subquery()
    return statement.where(_models.c.name == bindparam("model", type_=Text()), _models.c.host_id == host_id)
