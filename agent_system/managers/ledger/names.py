"""Projects, hosts and models by their names, made where they are not there, inside the unit of work that needs them.

A name is looked up by its unique index in the very transaction that uses it. That takes as long as it would take to
prove that an id remembered from before is still right, and can never be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from sqlalchemy import bindparam, insert, select

from agent_system.database.plans import compile_plan
from agent_system.database.statements import UnlessThere
from agent_system.errors import NotFoundError, ScopeError, ValidationError
from agent_system.managers.core.store import RowStore
from agent_system.managers.ledger.addresses import find_model
from agent_system.managers.ledger.pricing import Rates
from agent_system.models import Host, Model, Project, metadata
from agent_system.models.columns import Text
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan

__all__ = [
    "UNKNOWN",
    "GivenHost",
    "GivenModel",
    "GivenProject",
    "LedgerNames",
    "ModelReference",
    "ProjectReference",
    "model_reference",
    "project_reference",
]

UNKNOWN = "unknown"
"""The name of a model or a host that nobody named."""

_hosts = metadata.tables["hosts"]
_models = metadata.tables["models"]
_projects = metadata.tables["projects"]

GivenProject: TypeAlias = str | UUID | Project | None
"""A shared project's name, any project's key, or its row; None is none."""
GivenHost: TypeAlias = str | int | Host | None
"""A host's name, its key, or its row; None is a host that nobody named."""
GivenModel: TypeAlias = str | int | Model
"""A model's name at its host, its key, or its row."""
ProjectReference: TypeAlias = str | UUID | None


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Which model a caller means."""

    model: str | int
    """Its name, or its key."""
    host: str | int = UNKNOWN
    """Its host's name or key; of no account where the model's key is given."""

    @property
    def shown(self) -> str:
        """The model for people."""
        return f"{self.host}/{self.model}" if isinstance(self.model, str) else str(self.model)


def model_reference(model: GivenModel | None, host: GivenHost = None) -> ModelReference:
    """Read what a caller gave for a model and a host: names, keys or rows; None is a thing that nobody named.

    Raises:
        ValidationError: One of them is none of these.
    """
    return ModelReference(
        UNKNOWN if model is None else _name_or_key(model, Model, "model"),
        UNKNOWN if host is None else _name_or_key(host, Host, "host"),
    )


def project_reference(project: GivenProject) -> ProjectReference:
    """Read what a caller gave for a project: its name, its key or its row; None is none.

    Raises:
        ValidationError: It is none of these.
    """
    value: Any = project.id if isinstance(project, Project) else project
    if value is None or isinstance(value, (str, UUID)):
        return value
    message = f"project: {project!r} is neither a name nor the key of a project"
    raise ValidationError(message, field="project")


def _name_or_key(given: Any, entity: type[Any], field: str) -> str | int:
    value = given.id if isinstance(given, entity) else given
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    message = f"{field}: {given!r} is neither a name nor the key of a {field}"
    raise ValidationError(message, field=field)


class LedgerNames:
    """Finds and makes what ledger entries refer to."""

    def __init__(self, dialect: Dialect, clock: Callable[[], datetime]) -> None:
        self._dialect = dialect
        self._make_project = _UniqueInsert(RowStore(Project, dialect, clock))
        self._make_host = _UniqueInsert(RowStore(Host, dialect, clock))
        self._make_model = _UniqueInsert(RowStore(Model, dialect, clock))
        self._read_project_id: Any = _projects.c.id.type.dialect_impl(dialect).result_processor(dialect, None)
        name = bindparam("name_key", type_=Text())
        shared = select(_projects.c.id).where(_projects.c.user_id.is_(None), _projects.c.name_key == name)
        self.project_plan = compile_plan(shared, dialect)
        self._host_plan = compile_plan(select(_hosts.c.id).where(_hosts.c.name_key == name), dialect)
        self._model_plans: dict[tuple[type, type], Plan] = {}

    def project(self, executor: Executor, project: ProjectReference) -> UUID | None:
        """The key of a project; one that is named and not there is made, in the scope that all share."""
        if not isinstance(project, str):
            return project
        parameters = self.project_plan.encode({"name_key": name_key(project)})
        rows = executor.fetch(self.project_plan, parameters)
        if not rows:
            self._make_project(executor, {"name": project})
            rows = executor.fetch(self.project_plan, parameters)
        if not rows:
            # What a facade that is bound to somebody makes is theirs, and not what this name means.
            message = f"projects: {project!r} is no shared project; give the key of a project of this scope"
            raise ScopeError(message, table="projects", field="name")
        found: UUID = self._read_project_id(rows[0][0])
        return found

    def model(
        self, executor: Executor, wanted: ModelReference, moment: datetime, input_tokens: int | None
    ) -> tuple[int, Rates | None]:
        """The key of a model, and what it cost at a moment; one that is named and not there is made with its host.

        Raises:
            NotFoundError: There is no model, or no host, with the key that was given.
        """
        found = self.find_model(executor, wanted, moment, input_tokens)
        if found is None:
            self.ensure_model(executor, wanted)
            found = self.find_model(executor, wanted, moment, input_tokens)
        if found is None:
            raise NotFoundError(Model.__name__, wanted.shown)
        return found

    def find_model(
        self, executor: Executor, wanted: ModelReference, moment: datetime, input_tokens: int | None
    ) -> tuple[int, Rates | None] | None:
        """The key of a model, and what it cost at a moment for so many tokens read; None when it is not there."""
        plan = self.model_plan(wanted)
        host = name_key(wanted.host) if isinstance(wanted.host, str) else wanted.host
        values = {"model": wanted.model, "host": host, "moment": moment, "input_tokens": input_tokens}
        rows = executor.fetch(plan, plan.encode(values))
        return (rows[0][0], Rates.of_row(rows[0][1:])) if rows else None

    def model_plan(self, wanted: ModelReference) -> Plan:
        """The statement that finds a model by what is known of it, with its price."""
        kind = (type(wanted.model), type(wanted.host))
        plan = self._model_plans.get(kind)
        if plan is None:
            plan = self._model_plans[kind] = compile_plan(find_model(wanted), self._dialect)
        return plan

    def make_model(self, executor: Executor, wanted: ModelReference) -> tuple[bool, int]:
        """Make a model with its host where they are not there; tell whether it was made, and its key.

        Raises:
            NotFoundError: There is no host with the key that was given.
        """
        made = self.ensure_model(executor, wanted)
        statement = select(_models.c.id).where(_models.c.name == wanted.model)
        of_host = statement.where(_models.c.host_id == self._host_id(executor, wanted.host))
        return made, int(executor.execute(of_host).scalar_one())

    def make_host(self, executor: Executor, name: str, base_url: str | None = None) -> bool:
        """Make a host where it is not there; tell whether it was made."""
        return self._make_host(executor, {"name": name, "base_url": base_url})

    def ensure_model(self, executor: Executor, wanted: ModelReference) -> bool:
        """Make a model that is named, with its host, where they are not there; tell whether the model was made.

        Raises:
            NotFoundError: Its key was given, and there is none.
        """
        if not isinstance(wanted.model, str):
            raise NotFoundError(Model.__name__, wanted.model)
        return self._make_model(executor, {"name": wanted.model, "host_id": self._host_id(executor, wanted.host)})

    def _host_id(self, executor: Executor, host: str | int) -> int:
        if isinstance(host, int):
            return host
        parameters = self._host_plan.encode({"name_key": name_key(host)})
        rows = executor.fetch(self._host_plan, parameters)
        if not rows:
            self.make_host(executor, host)
            rows = executor.fetch(self._host_plan, parameters)
        return int(rows[0][0])


class _UniqueInsert:
    """Writes a row unless one of its name is there; on PostgreSQL it waits for whoever is writing one."""

    def __init__(self, store: RowStore[Any]) -> None:
        self._store = store
        plans = store.plans
        written = {key: column for key, column in plans.columns.items() if key not in plans.counted}
        values = {column.name: bindparam(key, type_=column.type) for key, column in written.items()}
        statement = insert(plans.table).values(values).ext(UnlessThere()).inline()
        self._plan = compile_plan(statement, plans.dialect, adds_rows=True)

    def __call__(self, executor: Executor, data: Mapping[str, Any]) -> bool:
        values = self._store.validator.create_values(data)
        return executor.change(self._plan, self._store.encode(self._plan, values)) > 0
