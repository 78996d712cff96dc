"""Writing the ledger: one unit of work per call, with the project, the host and the model that it names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from agent_system.database.plans import compile_plan
from agent_system.errors import ValidationError
from agent_system.managers.ledger.fields import TOKEN_CLASSES, check_tokens, known_fields
from agent_system.managers.ledger.merging import merged
from agent_system.managers.ledger.names import ModelReference, ProjectReference, model_reference, project_reference
from agent_system.managers.ledger.pricing import cost_of, nano_usd
from agent_system.types import CostSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.ledger.names import LedgerNames
    from agent_system.models import TokenUsage

__all__ = ["LedgerEntry", "UsageLog"]

# Known only inside the unit of work.
LATE = ("project_id", "model_id", "cost_nano_usd", "cost_source")
REFERENCES = ("agent_id", "task_id", "conversation_id", "message_id")
# What is given by a name of its own, or counts tokens, or is part of the key of a request.
NOT_FACTS = {"project", "host", "model", "cost_usd", "cost_nano_usd", "usage_state", *TOKEN_CLASSES} | {
    "request_id",
    "attempt",
    "timestamp",
}


@dataclass(slots=True)
class LedgerEntry:
    """A call to a model that is ready to be written."""

    values: dict[str, Any]
    """The row; what only the unit of work knows is filled in by it."""
    insert: Callable[[Executor], None]
    project: ProjectReference
    model: ModelReference
    names_model: bool
    """Whether the caller said which model it was."""
    reported_nano_usd: int | None
    state_given: bool
    given: frozenset[str]
    """The columns that the caller gave, but for tokens and cost."""

    @property
    def references(self) -> dict[str, Any]:
        """The rows that the caller referred to; when one of them is missing, the error names it."""
        given = {key: self.values[key] for key in REFERENCES}
        return given | {"project_id": None if isinstance(self.project, str) else self.project}


class UsageLog:
    """Prepares entries and writes them in units of work."""

    def __init__(self, store: RowStore[TokenUsage], names: LedgerNames, dialect: Dialect) -> None:
        self._store = store
        self._names = names
        table, columns = store.plans.table, store.plans.columns
        wanted = [columns[key] == bindparam(key, type_=columns[key].type) for key in ("request_id", "attempt")]
        self.request_plan = compile_plan(select(table).where(*wanted).with_for_update(), dialect)

    def prepare(self, fields: Mapping[str, Any]) -> LedgerEntry:
        """Check what is known of a call.

        Raises:
            ValidationError: A field is unknown, has a wrong type, or contradicts another.
        """
        known = known_fields(fields)
        data = {key: value for key, value in known.items() if key not in {"project", "host", "model", "cost_usd"}}
        project, model = known.get("project"), known.get("model")
        values = self._store.validator.create_values({"model_id": 0, **data})
        state_given = "usage_state" in known
        check_tokens(values, state_given=state_given)
        return LedgerEntry(
            values,
            self._store.prepare_insert(values, late=LATE),
            project_reference(project),
            model_reference(model, known.get("host")),
            model is not None,
            _reported(known, values),
            state_given,
            frozenset(key for key, value in data.items() if value is not None and key not in NOT_FACTS),
        )

    def write(self, executor: Executor, entry: LedgerEntry) -> dict[str, Any]:
        """Write an entry, or bring it together with the one of the same request and attempt; return the row."""
        values = entry.values
        if values["request_id"] is not None:
            rows = executor.fetch(self.request_plan, self.request_plan.encode(values))
            if rows:
                return self._merge(executor, self._store.plans.hydrate.decode(rows[0]), entry)
        values["project_id"] = self._names.project(executor, entry.project)
        model_id, rates = self._names.model(executor, entry.model, values["timestamp"], values["input_tokens"])
        values["model_id"] = model_id
        cost, source = entry.reported_nano_usd, CostSource.REPORTED
        if cost is None:
            cost, source = cost_of(values, rates), CostSource.COMPUTED
        values["cost_nano_usd"] = cost
        values["cost_source"] = None if cost is None else source
        entry.insert(executor)
        return values

    def write_all(self, executor: Executor, entries: list[LedgerEntry]) -> list[dict[str, Any]]:
        """Write entries in order; return their rows."""
        return [self.write(executor, entry) for entry in entries]

    def _merge(self, executor: Executor, row: dict[str, Any], entry: LedgerEntry) -> dict[str, Any]:
        """Bring a row together with another report of the same call."""
        new, given = {**entry.values}, set(entry.given)
        new["usage_state"] = entry.values["usage_state"] if entry.state_given else None
        new["cost_nano_usd"] = entry.reported_nano_usd
        new["cost_source"] = None if entry.reported_nano_usd is None else CostSource.REPORTED
        if entry.project is not None:
            new["project_id"] = self._names.project(executor, entry.project)
            given.add("project_id")
        if entry.names_model:
            new["model_id"], _ = self._names.model(executor, entry.model, row["timestamp"], None)
            given.add("model_id")
        changes = merged(row, new, given, partial(self._price, executor, row))
        return self._store.change(executor, {"id": row["id"]}, changes) if changes else row

    def _price(self, executor: Executor, row: Mapping[str, Any], tokens: Mapping[str, Any]) -> int | None:
        model = ModelReference(tokens["model_id"])
        _, rates = self._names.model(executor, model, row["timestamp"], tokens["input_tokens"])
        return cost_of(tokens, rates)


def _reported(known: Mapping[str, Any], values: Mapping[str, Any]) -> int | None:
    """The cost that the provider reported, in nano-dollars; None when it did not."""
    dollars, nano = known.get("cost_usd"), values["cost_nano_usd"]
    if dollars is not None and nano is not None:
        message = "token_usage.cost_usd: give the cost in dollars or in nano-dollars, not both"
        raise ValidationError(message, field="cost_usd", entity="TokenUsage")
    if dollars is not None:
        return nano_usd(dollars, "cost_usd")
    if nano is not None and nano < 0:
        message = "token_usage.cost_nano_usd: a call cannot cost less than nothing"
        raise ValidationError(message, field="cost_nano_usd", entity="TokenUsage")
    return None if nano is None else int(nano)
