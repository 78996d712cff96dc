"""Writing the ledger: one unit of work per call, with the project, the host and the model that it names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.store import RowStore
from agent_system.managers.ledger.addresses import Addresses
from agent_system.managers.ledger.fields import TOKEN_CLASSES, check_tokens, known_fields
from agent_system.managers.ledger.merging import merged
from agent_system.managers.ledger.names import ModelReference, ProjectReference, model_reference, project_reference
from agent_system.managers.ledger.pricing import cost_of, in_dollars, nano_usd
from agent_system.models import Model, TokenUsage
from agent_system.types import CostSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor
    from agent_system.managers.core.rules import TableRules
    from agent_system.managers.ledger.names import LedgerNames

__all__ = ["LedgerEntry", "UsageLog", "UsageStore"]

# Known only inside the unit of work.
LATE = ("project_id", "model_id", "cost_nano_usd", "cost_source")
REFERENCES = ("agent_id", "task_id", "conversation_id", "message_id")
# What is given by a name of its own, or counts tokens, or is part of the key of a request.
NOT_FACTS = {"project", "host", "model", "cost_usd", "cost_nano_usd", "usage_state", *TOKEN_CLASSES} | {
    "request_id",
    "attempt",
    "timestamp",
}


class UsageStore(RowStore[TokenUsage]):
    """Writes ledger entries; what the database computes follows from the other values here just as well.

    SQLite takes half as long again for an insert that has to return something.
    """

    def __init__(self, dialect: Dialect, clock: Callable[[], datetime], rules: TableRules) -> None:
        super().__init__(TokenUsage, dialect, clock, rules)
        self._made_by_database = self.plans.counted

    def prepare_insert(
        self, values: dict[str, Any], *, audit: bool = True, late: tuple[str, ...] = ()
    ) -> Callable[[Executor], None]:
        """As for other rows."""
        insert = super().prepare_insert(values, audit=audit, late=late)
        read, written, cost = values["input_tokens"], values["output_tokens"], values["cost_nano_usd"]
        values["total_tokens"] = None if read is None or written is None else read + written
        values["cost_usd"] = in_dollars(cost)
        return insert


@dataclass(slots=True)
class LedgerEntry:
    """A call to a model that is ready to be written."""

    values: dict[str, Any]
    """The row; what only the unit of work knows is filled in by it."""
    insert: Callable[[Executor], None]
    project: ProjectReference
    model: ModelReference
    reported_nano_usd: int | None
    given: Mapping[str, Any]
    """What the caller said."""

    @property
    def references(self) -> dict[str, Any]:
        """The rows that the caller referred to; when one of them is missing, the error names it."""
        given = {key: self.values[key] for key in REFERENCES}
        return given | {"project_id": None if isinstance(self.project, str) else self.project}

    @property
    def facts(self) -> set[str]:
        """The columns that the caller gave, but for tokens, cost and what the row is found by."""
        return {key for key, value in self.given.items() if value is not None and key not in NOT_FACTS}


class UsageLog:
    """Prepares entries and writes them in units of work."""

    def __init__(
        self,
        store: RowStore[TokenUsage],
        names: LedgerNames,
        dialect: Dialect,
        new_values: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._store = store
        self._new_values = new_values
        self._names = names
        self.addresses = Addresses(dialect)

    def prepare(self, fields: Mapping[str, Any]) -> LedgerEntry:
        """Check what is known of a call.

        Raises:
            ValidationError: A field is unknown, has a wrong type, or contradicts another.
        """
        known = known_fields(fields)
        data = {"model_id": 0, **known}
        project, model, host, dollars = (data.pop(key, None) for key in ("project", "model", "host", "cost_usd"))
        values = self._new_values(data)
        check_tokens(values, state_given="usage_state" in known)
        return LedgerEntry(
            values,
            self._store.prepare_insert(values, late=LATE),
            # A facade that is bound to a project fills it in.
            values["project_id"] if project is None else project_reference(project),
            model_reference(model, host),
            _reported(dollars, values["cost_nano_usd"]),
            known,
        )

    def write(self, executor: Executor, entry: LedgerEntry) -> dict[str, Any]:
        """Write an entry, or bring it together with the one of the same request and attempt; return the row."""
        values = entry.values
        address = self.addresses.find(executor, entry.model, entry.project, values)
        entry_id = self.addresses.find_entry(executor, values) if address is None else address.entry_id
        row = None if entry_id is None else self._store.get(executor, {"id": entry_id}, lock=True)
        if row is not None:
            return self._merge(executor, row, entry)
        if address is None:
            self._names.ensure_model(executor, entry.model)
            address = self.addresses.find(executor, entry.model, entry.project, values)
        if address is None:
            raise NotFoundError(Model.__name__, entry.model.shown)
        project_id = address.project_id
        values["project_id"] = self._names.project(executor, entry.project) if project_id is None else project_id
        values["model_id"] = address.model_id
        cost, source = entry.reported_nano_usd, CostSource.REPORTED
        if cost is None:
            cost, source = cost_of(values, address.rates), CostSource.COMPUTED
        values["cost_nano_usd"], values["cost_usd"] = cost, in_dollars(cost)
        values["cost_source"] = None if cost is None else source
        entry.insert(executor)
        return values

    def write_all(self, executor: Executor, entries: list[LedgerEntry]) -> list[dict[str, Any]]:
        """Write entries in order; return their rows."""
        return [self.write(executor, entry) for entry in entries]

    def _merge(self, executor: Executor, row: dict[str, Any], entry: LedgerEntry) -> dict[str, Any]:
        """Bring a row together with another report of the same call."""
        new, facts = {**entry.values}, entry.facts
        new["usage_state"] = entry.values["usage_state"] if "usage_state" in entry.given else None
        new["cost_nano_usd"] = entry.reported_nano_usd
        new["cost_source"] = None if entry.reported_nano_usd is None else CostSource.REPORTED
        if entry.project is not None:
            new["project_id"] = self._names.project(executor, entry.project)
            facts.add("project_id")
        if entry.given.get("model") is not None:
            new["model_id"], _ = self._names.model(executor, entry.model, row["timestamp"], None)
            facts.add("model_id")
        changes = merged(row, new, facts, partial(self._price, executor, row))
        return self._store.change(executor, {"id": row["id"]}, changes) if changes else row

    def _price(self, executor: Executor, row: Mapping[str, Any], tokens: Mapping[str, Any]) -> int | None:
        model = ModelReference(tokens["model_id"])
        _, rates = self._names.model(executor, model, row["timestamp"], tokens["input_tokens"])
        return cost_of(tokens, rates)


def _reported(dollars: Any, nano: int | None) -> int | None:
    """The cost that the provider reported, in nano-dollars; None when it did not."""
    if dollars is not None and nano is not None:
        message = "token_usage.cost_usd: give the cost in dollars or in nano-dollars, not both"
        raise ValidationError(message, field="cost_usd", entity="TokenUsage")
    if nano is not None and nano < 0:
        message = "token_usage.cost_nano_usd: a call cannot cost less than nothing"
        raise ValidationError(message, field="cost_nano_usd", entity="TokenUsage")
    return nano if dollars is None else nano_usd(dollars, "cost_usd")
