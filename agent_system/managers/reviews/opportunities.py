"""Opportunities: what could be done better, who found it how often, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from agent_system.errors import TransitionError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.entities import stored_key, stored_type
from agent_system.managers.core.where import conditions
from agent_system.models import OptimizationOpportunity, metadata
from agent_system.types import OpportunityStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable

    from agent_system.database.executor import Executor
    from agent_system.managers.core.where import Where
    from agent_system.managers.reviews.findings import Finding
    from agent_system.types import Effort

__all__ = ["OpportunityManager"]

OPEN = (OpportunityStatus.PENDING, OpportunityStatus.IN_PROGRESS)

_opportunities = metadata.tables["optimization_opportunities"]


class OpportunityManager(Manager[OptimizationOpportunity]):
    """Opportunities: what could be done better; of one kind an entity has at most one that is open."""

    entity = OptimizationOpportunity
    fixed = frozenset({"entity_type", "entity_id", "opportunity_type"})

    def normalise(self, values: dict[str, Any]) -> None:
        """Spell the entity as events do."""
        if "entity_type" in values:
            values["entity_type"] = stored_type(values["entity_type"])

    def new_values(self, data: Mapping[str, Any] | OptimizationOpportunity) -> dict[str, Any]:
        """Accept an entity's key as it is, not only as text."""
        if isinstance(data, Mapping) and "entity_id" in data:
            data = {**data, "entity_id": stored_key(data["entity_id"])}
        return super().new_values(data)

    async def propose(
        self,
        entity_type: str,
        entity_id: Any,
        opportunity_type: str,
        description: str = "",
        *,
        potential_impact: float = 0.0,
        effort_estimate: Effort | str | None = None,
        created_by_event_id: int | None = None,
    ) -> OptimizationOpportunity:
        """Write down what could be done better; one of the same kind that is open is counted once more instead.

        Raises:
            ValidationError: A value was refused.
        """
        fields = {"description": description, "potential_impact": potential_impact}
        named = {"entity_type": entity_type, "entity_id": entity_id, "opportunity_type": opportunity_type}
        facts = {"effort_estimate": effort_estimate, "created_by_event_id": created_by_event_id}
        values = self.new_values(named | fields | facts)
        insert = self.insertion(values)
        work = self._proposal(values, insert)
        return self.plans.hydrate.build(await self.run_racing(work, values))

    def proposing(self, event: Mapping[str, Any]) -> Callable[[Executor, Finding], dict[str, Any]]:
        """What proposes, in a unit of work, what an event has shown."""

        def propose(executor: Executor, finding: Finding) -> dict[str, Any]:
            values = self.new_values(
                {
                    "entity_type": event["entity_type"],
                    "entity_id": event["entity_id"],
                    "opportunity_type": finding.opportunity_type,
                    "description": finding.description,
                    "potential_impact": finding.potential_impact,
                    "effort_estimate": finding.effort_estimate,
                    "created_by_event_id": event["id"],
                }
            )
            return self._proposal(values, self.insertion(values))(executor)

        return propose

    def _proposal(
        self, values: dict[str, Any], insert: Callable[[Executor], None]
    ) -> Callable[[Executor], dict[str, Any]]:
        named = [_opportunities.c[key] == values[key] for key in ("entity_type", "entity_id", "opportunity_type")]
        statement = select(*_opportunities.columns).where(*named, _opportunities.c.status.in_(OPEN)).with_for_update()

        def work(executor: Executor) -> dict[str, Any]:
            row = executor.execute(statement).first()
            if row is None:
                insert(executor)
                return values
            found = dict(zip(self.plans.hydrate.keys, row, strict=True))
            changes = {
                "occurrence_count": found["occurrence_count"] + 1,
                "potential_impact": max(found["potential_impact"], values["potential_impact"]),
            }
            return self.store.change(executor, {"id": found["id"]}, changes)

        return work

    async def begin(self, id: int) -> OptimizationOpportunity:  # noqa: A002
        """Say that somebody works on it.

        Raises:
            NotFoundError: There is no such opportunity.
            TransitionError: It is closed.
        """
        return await self.update(id, {"status": OpportunityStatus.IN_PROGRESS})

    async def complete(self, id: int, result: str | None = None) -> OptimizationOpportunity:  # noqa: A002
        """Close it because it was used. Raises as `begin` does."""
        return await self.update(id, {"status": OpportunityStatus.COMPLETED, "result": result})

    async def reject(self, id: int, reason: str | None = None) -> OptimizationOpportunity:  # noqa: A002
        """Close it because it is none. Raises as `begin` does."""
        return await self.update(id, {"status": OpportunityStatus.REJECTED, "result": reason})

    async def find_open(self, where: Where = None, limit: int = 100) -> builtins.list[OptimizationOpportunity]:
        """Return what is open, what would help most first."""
        wanted = [_opportunities.c.status.in_(OPEN), *conditions(self.plans, where)]
        order = (_opportunities.c.potential_impact.desc(), _opportunities.c.id)
        return await self.select(self.query().where(*wanted).order_by(*order).limit(limit))

    async def of_entity(self, entity_type: str, entity_id: Any) -> builtins.list[OptimizationOpportunity]:
        """Return all that was found about one entity, the newest first."""
        named = self.query({"entity_type": stored_type(entity_type), "entity_id": stored_key(entity_id)})
        return await self.select(named.order_by(_opportunities.c.id.desc()))

    def check_change(self, _executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let nobody change the end of what is closed, and say when it was closed.

        Raises:
            TransitionError: It is closed already.
        """
        status = changes.get("status", before["status"])
        if before["status"] not in OPEN and "status" in changes:
            message = f"opportunity {before['id']} is {before['status']}: it stays so"
            raise TransitionError(
                message,
                entity=self.store.name,
                entity_id=before["id"],
                current=str(before["status"]),
                wanted=str(status),
                allowed=(),
            )
        if status not in OPEN:
            changes.setdefault("completed_at", self._clock())
