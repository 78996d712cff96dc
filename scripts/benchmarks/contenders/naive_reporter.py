"""The naive way: rows fetched by `AsyncSession` and added up in Python, one query per agent, get and then create."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from agent_system.models import Agent, AgentTool, Host, Model, Project, TokenUsage, Tool, ToolUsage
from agent_system.models.naming import name_key
from scripts.benchmarks.contenders.async_session import open_engine
from scripts.benchmarks.ledger_rows import CAPABILITY, NANO_PER_1K

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["NaiveReporter"]


class NaiveReporter:
    """A session per operation, objects of the table classes, sums in Python."""

    async def open(self, path: Path, options: Options) -> None:
        """Make the engine and the factory of sessions."""
        self._engine = open_engine(path, options)
        self._sessions = async_sessionmaker(self._engine, class_=AsyncSession, expire_on_commit=False)

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def summary(self) -> Any:
        """Fetch all, add up."""
        return _added(await self._all(TokenUsage), lambda _: None)

    async def by_model(self) -> Any:
        """Fetch all, add up by model, then fetch the names."""
        added = _added(await self._all(TokenUsage), lambda row: row.model_id)
        models = {model.id: model for model in await self._all(Model)}
        hosts = {host.id: host for host in await self._all(Host)}
        return {(hosts[models[id_].host_id].name, models[id_].name): sums for id_, sums in added.items()}

    async def by_day(self) -> Any:
        """Fetch all, add up by day."""
        return _added(await self._all(TokenUsage), lambda row: row.timestamp.date())

    async def tool_statistics(self) -> Any:
        """Fetch all, add up by tool."""
        statistics: dict[str, list[Any]] = {}
        for row in await self._all(ToolUsage):
            entry = statistics.setdefault(row.tool_name, [0, 0, 0, []])
            entry[0] += 1
            entry[1] += row.success is True
            entry[2] += row.success is False
            if row.duration_ms is not None:
                entry[3].append(row.duration_ms)
        return {
            name: (calls, good, bad, min(times), sum(times) / len(times), max(times))
            for name, (calls, good, bad, times) in statistics.items()
        }

    async def find_capable(self) -> Any:
        """Fetch all agents, then the tools of each that has the capability."""
        found = {}
        async with self._sessions() as session:
            for agent in (await session.exec(select(Agent))).all():
                if CAPABILITY in agent.capabilities:
                    its_tools = select(Tool).join(AgentTool).where(AgentTool.agent_id == agent.id)
                    found[agent.id] = (agent, (await session.exec(its_tools.order_by(col(Tool.name_key)))).all())
        return found

    async def log_usage(self, row: Row) -> None:
        """Get or create each of the three, add, commit; once more when somebody else has created one meanwhile."""
        while True:
            try:
                async with self._sessions() as session:
                    await _log(session, row)
            except IntegrityError:
                continue
            return

    def figures(self, report: Any) -> Any:
        """How many groups, and how much in all."""
        first = next(iter(report.values()))
        if isinstance(first[0], Agent):
            return len(report), sum(len(tools) for _, tools in report.values())
        if len(first) == len(("calls", "good", "bad", "min", "average", "max")):
            return len(report), sum(entry[0] for entry in report.values())
        return len(report), sum(sums[0] for sums in report.values()), sum(sums[-1] for sums in report.values())

    async def _all(self, entity: type[Any]) -> Sequence[Any]:
        async with self._sessions() as session:
            return (await session.exec(select(entity))).all()


def _added(rows: Sequence[TokenUsage], key: Callable[[TokenUsage], Any]) -> dict[Any, list[int]]:
    """Requests, failures, unpriced and unreported ones, tokens and cost by key."""
    added: dict[Any, list[int]] = defaultdict(lambda: [0] * 9)
    for row in rows:
        sums = added[key(row)]
        if row.kind == "usage":
            sums[0] += 1
            sums[1] += not row.success
            sums[2] += row.cost_nano_usd is None
            sums[3] += row.usage_state == "missing"
        sums[4] += row.input_tokens or 0
        sums[5] += row.output_tokens or 0
        sums[6] += row.cache_read_input_tokens or 0
        sums[7] += row.cache_creation_input_tokens or 0
        sums[8] += row.cost_nano_usd or 0
    return dict(added)


async def _log(session: AsyncSession, row: Row) -> None:
    named = select(Project).where(Project.name_key == name_key(row["project"]), col(Project.user_id).is_(None))
    project = (await session.exec(named)).first()
    if project is None:
        project = Project(name=row["project"])
        session.add(project)
        await session.flush()
    host = (await session.exec(select(Host).where(Host.name_key == name_key(row["host"])))).first()
    if host is None:
        host = Host(name=row["host"])
        session.add(host)
        await session.flush()
    offered = select(Model).where(Model.name == row["model"], Model.host_id == host.id)
    model = (await session.exec(offered)).first()
    if model is None:
        model = Model(name=row["model"], host_id=host.id)
        session.add(model)
        await session.flush()
    cost = None
    if model.input_cost_per_1k is not None and model.output_cost_per_1k is not None:
        cost = row["input_tokens"] * model.input_cost_per_1k + row["output_tokens"] * model.output_cost_per_1k
    tokens = {name: row[name] for name in ("input_tokens", "output_tokens", "request_id", "user_id")}
    nano = None if cost is None else round(cost * NANO_PER_1K)
    session.add(TokenUsage(project_id=project.id, model_id=model.id, cost_nano_usd=nano, **tokens))
    await session.commit()
