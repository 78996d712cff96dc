"""`EntityManager`: the facade through which everything that the layer remembers is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.clock import utc_now
from agent_system.errors import ScopeError, ValidationError
from agent_system.managers.agents.agents import AgentManager
from agent_system.managers.agents.tools import ToolManager
from agent_system.managers.audit.audit import AuditManager
from agent_system.managers.audit.events import EventManager
from agent_system.managers.audit.relations import RelationManager
from agent_system.managers.configuration.capabilities import CapabilityManager
from agent_system.managers.configuration.config import ConfigManager
from agent_system.managers.configuration.flags import FlagManager
from agent_system.managers.conversations.analytics import ChatAnalytics
from agent_system.managers.conversations.conversations import ConversationManager
from agent_system.managers.conversations.feedback import FeedbackManager
from agent_system.managers.conversations.messages import MessageManager
from agent_system.managers.core.substring import find_containing
from agent_system.managers.documents.context_documents import ContextDocumentManager
from agent_system.managers.documents.knowledge_gaps import KnowledgeGapManager
from agent_system.managers.documents.knowledge_usage import KnowledgeUsageManager
from agent_system.managers.embeddings.embeddings import EmbeddingManager
from agent_system.managers.files.documents import DocumentManager
from agent_system.managers.files.files import FileManager
from agent_system.managers.games.games import GameManager
from agent_system.managers.health import SystemHealth, measure
from agent_system.managers.isolation.database import Isolation
from agent_system.managers.isolation.scope import Scope
from agent_system.managers.ledger.alerts import AlertManager
from agent_system.managers.ledger.budgets import BudgetManager
from agent_system.managers.ledger.credits import CreditManager
from agent_system.managers.ledger.hosts import HostManager
from agent_system.managers.ledger.model_prices import ModelPriceManager
from agent_system.managers.ledger.model_usage import ModelUsageManager
from agent_system.managers.ledger.models import ModelManager
from agent_system.managers.ledger.token_usage import TokenUsageManager
from agent_system.managers.links.links import LinkManager
from agent_system.managers.memories.memories import MemoryManager
from agent_system.managers.processes.process_instances import ProcessInstanceManager
from agent_system.managers.processes.processes import ProcessManager
from agent_system.managers.projects.projects import ProjectManager
from agent_system.managers.projects.workspaces import WorkspaceManager
from agent_system.managers.promises.chat_states import ChatStateManager
from agent_system.managers.promises.promises import PromiseManager
from agent_system.managers.prompts.prompts import PromptManager
from agent_system.managers.queries import DEFAULT_ROWS, DEFAULT_SECONDS, QueryResult, run_query
from agent_system.managers.queue.effects import EffectManager
from agent_system.managers.queue.queue import QueueManager
from agent_system.managers.records.goals import GoalManager
from agent_system.managers.records.logs import LogManager
from agent_system.managers.records.todos import TodoManager
from agent_system.managers.retention import RetentionManager
from agent_system.managers.reviews.effectiveness import EffectivenessManager
from agent_system.managers.reviews.opportunities import OpportunityManager
from agent_system.managers.reviews.reviews import ReviewManager
from agent_system.managers.tasks.tasks import TaskManager
from agent_system.managers.telemetry.agent_status import AgentStatusManager
from agent_system.managers.telemetry.dashboard import DashboardManager
from agent_system.managers.telemetry.tool_usage import ToolUsageManager
from agent_system.managers.users.identities import IdentityManager
from agent_system.managers.users.users import UserManager
from agent_system.types import ENTITY_TYPE_LEGACY, EntityType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.base import Manager
    from agent_system.managers.queries import Parameters
    from agent_system.search.embedding.embedder import Embedder

__all__ = ["EntityManager"]


class EntityManager:
    """One manager per kind of thing, over one database.

    Args:
        db: A `DatabaseManager`; it must be connected when a verb is awaited.
        clock: Where the layer's own timestamps come from; tests pass a fixed one.
        embedder: What makes vectors of memories, messages and context documents; None: they are found by words alone.

    Example:
        >>> async with DatabaseManager(":memory:") as db:
        ...     em = EntityManager(db)
        ...     agent = await em.agents.create({"name": "researcher", "instruction": "Find sources."})
        ...     await em.agents.update(agent.id, {"status": "thinking"})
    """

    def __init__(  # noqa: PLR0915 (a line each)
        self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now, embedder: Embedder | None = None
    ) -> None:
        self.db = db
        self._clock = clock
        self.agents = AgentManager(db, clock=clock)
        self.tools = ToolManager(db, clock=clock)
        self.tasks = TaskManager(db, clock=clock)
        self.context_documents = ContextDocumentManager(db, clock=clock)
        self.processes = ProcessManager(db, clock=clock)
        self.process_instances = ProcessInstanceManager(db, clock=clock)
        self.events = EventManager(db, clock=clock)
        self.audit = AuditManager(db, clock=clock)
        self.retention = RetentionManager(db, clock=clock)
        self.relations = RelationManager(db, clock=clock)
        self.users = UserManager(db, clock=clock)
        self.identities = IdentityManager(db, clock=clock)
        self.projects = ProjectManager(db, clock=clock)
        self.workspaces = WorkspaceManager(db, clock=clock)
        self.conversations = ConversationManager(db, clock=clock)
        self.messages = MessageManager(db, clock=clock)
        self.queue = QueueManager(db, clock=clock)
        self.effects = EffectManager(db, clock=clock)
        self.promises = PromiseManager(db, clock=clock)
        self.chat_states = ChatStateManager(db, clock=clock)
        self.message_feedback = FeedbackManager(db, clock=clock)
        self.memories = MemoryManager(db, clock=clock)
        self.prompts = PromptManager(db, clock=clock)
        self.capabilities = CapabilityManager(db, clock=clock)
        self.config = ConfigManager(db, clock=clock)
        self.flags = FlagManager(db, clock=clock)
        self.logs = LogManager(db, clock=clock)
        self.todos = TodoManager(db, clock=clock)
        self.goals = GoalManager(db, clock=clock)
        self.hosts = HostManager(db, clock=clock)
        self.models = ModelManager(db, clock=clock)
        self.model_prices = ModelPriceManager(db, clock=clock)
        self.token_usage = TokenUsageManager(db, clock=clock)
        self.budgets = BudgetManager(db, clock=clock)
        self.credits = CreditManager(db, clock=clock)
        self.alerts = AlertManager(db, clock=clock)
        self.analytics = ChatAnalytics(db)
        self.model_usage = ModelUsageManager(db, clock=clock)
        self.links = LinkManager(db, clock=clock)
        self.games = GameManager(db, clock=clock)
        self.tool_usage = ToolUsageManager(db, clock=clock)
        self._isolation = Isolation(db)
        self.agent_status = AgentStatusManager(db, clock=clock)
        self.dashboard = DashboardManager(db, clock=clock)
        self.files = FileManager(db, clock=clock)
        self.documents = DocumentManager(db, clock=clock)
        self.reviews = ReviewManager(db, clock=clock)
        self.opportunities = OpportunityManager(db, clock=clock)
        self.effectiveness = EffectivenessManager(db, clock=clock)
        self.knowledge_gaps = KnowledgeGapManager(db, clock=clock)
        self.knowledge_usage = KnowledgeUsageManager(db, clock=clock)
        searched = (self.memories, self.messages, self.context_documents)
        for manager in searched:
            manager.embedder = embedder
        self.embeddings = EmbeddingManager(db, searched, embedder)
        # Seed 001's entity types, for the verbs that take the type as an argument.
        self._by_type: dict[str, Manager[Any]] = {
            "agent": self.agents,
            "tool": self.tools,
            "task": self.tasks,
            EntityType.CONTEXT_DOCUMENT: self.context_documents,
            "process": self.processes,
            "event": self.events,
        }

    async def create(self, entity_type: str, data: Mapping[str, Any]) -> Any:
        """Write one row of an entity type; see `Manager.create`."""
        return await self.of_type(entity_type).create(data)

    async def get(self, entity_type: str, id: Any) -> Any:  # noqa: A002 (seed 001's name)
        """Return the row with this id, or None."""
        return await self.of_type(entity_type).get_by_id(id)

    async def update(
        self,
        entity_type: str,
        id: Any,  # noqa: A002 (seed 001's name)
        changes: Mapping[str, Any],
        expected_version: int | None = None,
    ) -> Any:
        """Change one row; see `Manager.update`."""
        return await self.of_type(entity_type).update(id, changes, expected_version)

    async def delete(self, entity_type: str, id: Any) -> bool:  # noqa: A002 (seed 001's name)
        """Delete one row; False when there is none."""
        return await self.of_type(entity_type).delete(id)

    async def search(
        self, entity_type: str, term: str, fields: Iterable[str] | None = None, limit: int = 50
    ) -> list[Any]:
        """Return rows of an entity type with `term` in one of their texts, whatever the case, the newest first.

        Args:
            entity_type: The type to look among.
            term: What to look for; every character stands for itself. An empty one finds nothing.
            fields: The columns to look in; None is every text column.
            limit: At most so many rows.

        Raises:
            ValidationError: The type or a field is unknown, or the term is too long.
        """
        return await find_containing(self.of_type(entity_type), term, fields, limit)

    async def related(
        self,
        entity_type: str,
        id: Any,  # noqa: A002 (seed 001's name)
        relationship_type: str | None = None,
        target_type: str | None = None,
    ) -> list[Any]:
        """Return the entities that the relationships of one lead to, the strongest first.

        Relationships with entities of other types than `of_type` knows, or with one that is gone, are left out;
        `em.relations.of` has them all, and also those that lead to the entity.

        Args:
            entity_type: Its type.
            id: Its key.
            relationship_type: Only along relationships of this type.
            target_type: Only entities of this type.
        """
        relationships = await self.relations.of(
            entity_type, id, relationship_type=relationship_type, other_type=target_type, direction="out"
        )
        ends = [(each.target_type, each.target_id) for each in relationships]
        entities: dict[tuple[str, str], Any] = {}
        for name in {end_type for end_type, _ in ends} & self._by_type.keys():
            manager = self._by_type[name]
            keys = [manager.store.keys.from_text(key) for end_type, key in ends if end_type == name]
            entities |= {(name, str(key)): entity for key, entity in (await manager.get_many(keys)).items()}
        return [entities[end] for end in dict.fromkeys(ends) if end in entities]

    async def query(
        self,
        sql: str,
        params: Parameters = (),
        limit: int = DEFAULT_ROWS,
        *,
        timeout_seconds: float = DEFAULT_SECONDS,
    ) -> QueryResult:
        """Run one query in plain SQL, which can only read: what an agent asks that no verb answers.

        It reads every table there is, whoever's, so it is not there in a scope; no column with secrets, though
        (`managers/privacy/secret_columns.py`); and what was committed, not what an open transaction has written.

        Args:
            sql: One SELECT, WITH or VALUES in the words of the engine. Values are bound, never written into it.
            params: For `:name` a mapping, for `?` a sequence: numbers, texts, flags, UUIDs, aware datetimes, None.
            limit: At most so many rows, up to 100,000.
            timeout_seconds: After so long it is stopped.

        Raises:
            ValidationError: It is no query, does more than read, reads a secret, or a parameter is missing or wrong.
            StatementTimeoutError: It took too long.

        Example:
            >>> found = await em.query("SELECT name FROM agents WHERE created_at > :day", {"day": yesterday}, limit=10)
            >>> [row["name"] for row in found]
        """
        return await run_query(self.db, sql, params, limit, timeout_seconds=timeout_seconds)

    async def health(self) -> SystemHealth:
        """Measure how the database is, and the work that waits in it; see `SystemHealth`."""
        return await measure(self.db, self._clock)

    def scoped(
        self,
        *,
        user_id: UUID | str | None = None,
        agent_id: UUID | str | None = None,
        guild_id: str | None = None,
        project_id: UUID | str | None = None,
        session: str | None = None,
    ) -> EntityManager:
        """Return a facade that reads, counts and changes only what belongs to one of these, or to all that are given.

        New rows get the owner by themselves. What is somebody else's is not there: it is not found, and cannot be
        referred to. What all share is read and not changed; tables that nobody owns are closed, and so is what leads
        past the scope (sessions, health, the engine, free SQL). `managers/isolation/registry.py` tells whose each table
        is.

        Args:
            user_id: Key of an account, with all identities that are linked to it; or the id of an identity that has
                no account.
            agent_id: Key of an agent.
            guild_id: A server or community of a platform.
            project_id: Key of a project.
            session: Id of a runtime's session.

        Raises:
            ValidationError: None was given, or one cannot be a key.

        Example:
            >>> mine = em.scoped(user_id=user.id)
            >>> conversation = await mine.conversations.create({"title": "Plans"})
        """
        return _ScopedEntityManager(self, self._isolation, Scope.of(user_id, agent_id, guild_id, project_id, session))

    def of_type(self, entity_type: str) -> Manager[Any]:
        """The manager of an entity type: agent, tool, task, context_document (or document), process or event.

        Raises:
            ValidationError: There is no such type.
        """
        manager = self._by_type.get(ENTITY_TYPE_LEGACY.get(entity_type, entity_type))
        if manager is None:
            known = ", ".join(str(name) for name in self._by_type)
            message = f"unknown entity type {entity_type!r}; there are: {known}"
            raise ValidationError(message, field="entity_type")
        return manager


class _ScopedEntityManager(EntityManager):
    """A facade that is bound to a scope: each manager is one of the whole facade, bound when it is first asked for."""

    def __init__(self, whole: EntityManager, isolation: Isolation, scope: Scope) -> None:
        self._whole = whole
        self._isolation = isolation
        self.db = self._scoped_db = self._isolation.database(scope)

    def __getattr__(self, name: str) -> Any:
        """Bind what the whole facade has under this name."""
        # What is asked for while nothing is set, such as by copy.copy(), is not there.
        if name.startswith("__") or "_whole" not in vars(self):
            raise AttributeError(name)
        bound = self._isolation.binder.bound(getattr(self._whole, name), self._scoped_db)
        setattr(self, name, bound)
        return bound

    def scoped(self, **_: Any) -> EntityManager:
        """Not there in a scope: a scope is narrowed by giving all of its dimensions at once."""
        message = "a scoped facade cannot be scoped again; give all dimensions to scoped() of the whole one"
        raise ScopeError(message)
