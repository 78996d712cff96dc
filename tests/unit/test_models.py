"""Rules that every table keeps."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import CheckConstraint, Computed, Table, UniqueConstraint, create_engine, event, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import configure_mappers
from sqlmodel import Session, SQLModel

from agent_system import models, types
from agent_system.models import TableModel, metadata
from agent_system.models.columns import Enumerated, Json, UtcDateTime
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column

ENTITIES: list[type[SQLModel]] = [
    value for name in models.__all__ if isinstance(value := getattr(models, name), type) and value is not TableModel
]
TABLES = list(metadata.tables.values())
COLUMNS = [column for table in TABLES for column in table.columns]
# PostgreSQL cuts longer names off.
LONGEST_NAME = 63

VERSIONED = {
    "agents",
    "capabilities_config",
    "config",
    "context_documents",
    "conversations",
    "memories",
    "process_instances",
    "processes",
    "projects",
    "prompts",
    "tasks",
    "tools",
    "user_identities",
    "users",
    "workspaces",
}
# Rows that are added and never changed, and pairs.
UNCHANGING = {
    "capabilities_history",
    "config_history",
    "agent_status",
    "context_document_keys",
    "document_versions",
    "entity_effectiveness",
    "events",
    "imported_rows",
    "logs",
    "memory_tags",
    "file_accesses",
    "knowledge_usage",
    "project_agents",
    "promise_dependencies",
    "prompt_history",
    "prompt_label_moves",
    "task_activities",
    "task_dependencies",
}
# Whose `version` is the one of a row that they belong to.
OF_A_VERSION = {
    "capabilities_history",
    "config_history",
    "document_versions",
    "prompt_history",
}
# References that are none to the database: the row referred to may go, or refers back.
LOOSE = {
    "agents.created_by_task_id",
    "audit_seals.first_event_id",
    "audit_seals.key_id",
    "audit_seals.last_event_id",
    "chat_state.chat_id",
    "chat_state.last_seen_message_id",
    "budget_accounts.user_id",
    "budget_reservations.user_id",
    "budgets.user_id",
    "context_documents.created_by_task_id",
    "conversations.fork_message_id",
    "conversations.head_message_id",
    "entity_effectiveness.entity_id",
    "events.entity_id",
    "events.key_id",
    "events.seal_id",
    "events.tree_id",
    "entity_relationships.source_id",
    "entity_relationships.target_id",
    "memories.channel_id",
    "memories.guild_id",
    "messages.channel_id",
    "messages.guild_id",
    "messages.tool_call_id",
    "model_usage_stats.message_id",
    "optimization_opportunities.entity_id",
    "process_instances.current_step_id",
    "process_instances.task_id",
    "processes.created_by_task_id",
    "promises.chat_id",
    "promises.message_id",
    "queue.chat_id",
    "review_counters.entity_id",
    "tasks.tree_id",
    "token_usage.request_id",
    "token_usage.user_id",
    "tool_usage.call_id",
    "tools.created_by_task_id",
    "user_identities.discord_id",
    "workspaces.current_project_id",
}
# Names that the seeds give.
SEED_INDEXES = {
    "idx_alerts_type_time",
    "idx_capabilities_name_enabled",
    "idx_credit_provider_time",
    "idx_usage_model_time",
    "idx_usage_timestamp",
    "idx_usage_user_time",
}
SEED_MOMENTS = {"last_updated", "rate_limit_reset", "scheduled_for", "timestamp"}


def name_of(column: Column[Any]) -> str:
    return f"{column.table.name}.{column.name}"


def entity_of(table: Table) -> Any:
    return next(entity for entity in ENTITIES if entity.__table__ is table)  # type: ignore[attr-defined]


def field_of(column: Column[Any]) -> Any:
    entity = entity_of(column.table)
    return entity.model_fields[entity.__mapper__.get_property_by_column(column).key]


def indexes(table: Table) -> Iterator[tuple[list[str], str | None]]:
    yield [column.name for column in table.primary_key], None
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns], None
    for index in table.indexes:
        where = index.dialect_options["sqlite"]["where"]
        yield [column.name for column in index.columns], None if where is None else where.text


def test_every_table_class_is_exported() -> None:
    assert {entity.__tablename__ for entity in ENTITIES} == set(metadata.tables)
    assert models.__all__ == sorted(models.__all__)
    assert types.__all__ == sorted(types.__all__, key=lambda name: (not name.isupper(), name))


def test_mappers_are_complete() -> None:
    configure_mappers()


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_column_is_described(table: Table) -> None:
    for column in table.columns:
        description = field_of(column).description or ""
        assert description.endswith("."), name_of(column)
        if column.nullable:
            assert "null" in description.lower(), f"{name_of(column)}: when is it null?"


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_foreign_keys_have_an_index_and_say_what_a_deletion_does(table: Table) -> None:
    for constraint in table.foreign_key_constraints:
        names = [column.name for column in constraint.columns]
        usable = {None, f"{names[0]} IS NOT NULL"}
        assert any(found[: len(names)] == names and where in usable for found, where in indexes(table)), names
        assert constraint.ondelete in {"CASCADE", "SET NULL", "RESTRICT"}
        assert not constraint.deferrable
        assert constraint.ondelete != "SET NULL" or all(column.nullable for column in constraint.columns)


def test_what_looks_like_a_reference_is_one() -> None:
    suspects = {name_of(column) for column in COLUMNS if column.name.endswith("_id") and not column.foreign_keys}
    assert suspects == LOOSE


def test_references_make_no_circle_but_to_themselves() -> None:
    # sorted_tables raises a warning, which is an error here, when there is one.
    order = [table.name for table in metadata.sorted_tables]
    for table in TABLES:
        for key in table.foreign_keys:
            target = key.column.table
            assert target is table or order.index(target.name) < order.index(table.name)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_names_are_ours_and_fit(table: Table) -> None:
    for constraint in table.constraints:
        assert constraint.name, constraint
        assert re.match(rf"(pk|uq|ck|fk)_{table.name}", str(constraint.name))
    for named in [*table.constraints, *table.indexes]:
        assert len(str(named.name)) <= LONGEST_NAME
    for index in table.indexes:
        assert re.match(rf"(idx|uq)_{table.name}_", str(index.name)) or index.name in SEED_INDEXES, index.name


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_no_index_is_the_beginning_of_another(table: Table) -> None:
    whole = [found for found, where in indexes(table) if where is None]
    for one in whole:
        assert not [other for other in whole if other is not one and other[: len(one)] == one], one


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_enumeration_has_its_check(table: Table) -> None:
    checks = {check.name: check.sqltext for check in table.constraints if isinstance(check, CheckConstraint)}
    for column in table.columns:
        if isinstance(column.type, Enumerated):
            check = checks[f"ck_{table.name}_{column.name}"]
            texts = [f"'{member.value}'" for member in column.type.enum]
            assert str(check.compile(dialect=postgresql.dialect())) == f"{column.name} IN ({', '.join(texts)})"
            spelled_out = " OR ".join(f"{column.name} = {text}" for text in texts)
            assert str(check.compile(dialect=sqlite.dialect())) == spelled_out


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_default_of_the_database_is_that_of_python(table: Table) -> None:
    for column in table.columns:
        if not (column.primary_key or column.nullable or isinstance(column.server_default, Computed)):
            check_default(column)


def check_default(column: Column[Any]) -> None:
    field = field_of(column)
    if field.is_required():
        assert column.server_default is None
    elif field.default_factory is not None and not isinstance(column.type, Json | UtcDateTime):
        assert column.unique
    elif field.default is not None:
        assert column.server_default is not None, name_of(column)
    else:
        # Kept by the layer: name keys and the tree of a task.
        assert column.name.endswith("_key") or name_of(column) == "tasks.tree_id", name_of(column)


def test_what_changes_is_counted_and_dated() -> None:
    assert {table.name for table in TABLES if "version" in table.columns} == VERSIONED | OF_A_VERSION
    assert {table.name for table in TABLES if "created_at" not in table.columns} == set()
    assert {table.name for table in TABLES if "updated_at" not in table.columns} == UNCHANGING


def test_times_end_in_at_and_measures_in_their_unit() -> None:
    for column in COLUMNS:
        if isinstance(column.type, UtcDateTime):
            assert column.name.endswith("_at") or column.name in SEED_MOMENTS | {"valid_from"}
        assert not re.search(r"(duration|latency|elapsed|size)$", column.name), f"{name_of(column)} lacks its unit"


def test_no_relation_loads_by_attribute_access() -> None:
    configure_mappers()
    for entity in ENTITIES:
        for relation in entity.__mapper__.relationships:  # type: ignore[attr-defined]
            assert relation.lazy == "raise", relation
            assert relation.viewonly, relation


def test_legacy_spellings_lead_to_members() -> None:
    for name in types.__all__:
        if name.endswith("_LEGACY"):
            mapping = getattr(types, name)
            enums = {type(value) for value in mapping.values()}
            assert len(enums) == 1
            (enum,) = enums
            if issubclass(enum, StrEnum):
                assert not set(mapping) & {member.value for member in enum}, f"{name} maps what needs no mapping"


@pytest.mark.parametrize(
    ("one", "other"), [("Researcher", " RESEARCHER "), ("Straße", "STRASSE"), ("ﬁle", "FILE"), ("É", "e\u0301")]
)
def test_names_that_people_take_for_the_same_have_one_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)
    assert name_key(name_key(one)) == name_key(one)


class TestInASession:
    """The classes work in a plain SQLModel session, without our managers."""

    @pytest.fixture
    def session(self) -> Iterator[Session]:
        engine = create_engine("sqlite://")
        event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA foreign_keys = ON"))
        metadata.create_all(engine)
        with Session(engine) as session:
            yield session
        engine.dispose()

    def test_keys_of_names_are_filled_and_kept(self, session: Session) -> None:
        user = models.User(username="Ada", email=" Ada@Example.org")
        session.add(user)
        session.commit()
        assert (user.username_key, user.email_key) == ("ada", "ada@example.org")
        user.username, user.email = "Grace", None
        session.commit()
        assert (user.username_key, user.email_key) == ("grace", None)

    @pytest.mark.parametrize("owner", [None, "ada"])
    def test_agents_of_one_owner_have_different_names(self, session: Session, owner: str | None) -> None:
        user_id = None
        if owner:
            user = models.User(username=owner)
            session.add(user)
            session.flush()
            user_id = user.id
        session.add(models.Agent(name="Researcher", user_id=user_id))
        session.flush()
        session.add(models.Agent(name="researcher ", user_id=user_id))
        with pytest.raises(IntegrityError, match="UNIQUE"):
            session.flush()

    def test_different_owners_may_use_one_name(self, session: Session) -> None:
        users = [models.User(username="ada"), models.User(username="grace")]
        session.add_all(users)
        session.flush()
        session.add_all([models.Agent(name="r", user_id=owner) for owner in (None, users[0].id, users[1].id)])
        session.flush()

    def test_owner_has_one_default_workspace(self, session: Session) -> None:
        session.add_all([models.Workspace(name="a", is_default=True), models.Workspace(name="b")])
        session.flush()
        session.add(models.Workspace(name="c", is_default=True))
        with pytest.raises(IntegrityError, match="UNIQUE"):
            session.flush()

    def test_root_task_is_its_own_tree(self, session: Session) -> None:
        root = models.Task(instruction="do")
        session.add(root)
        session.flush()
        assert root.tree_id == root.id

    def test_sums_are_computed_by_the_database(self, session: Session) -> None:
        host = models.Host(name="h")
        session.add(host)
        session.flush()
        model = models.Model(name="m", host_id=host.id)
        session.add(model)
        session.flush()
        known = models.TokenUsage(model_id=model.id, input_tokens=3, output_tokens=4, cost_nano_usd=1_500_000_000)
        missing = models.TokenUsage(model_id=model.id, input_tokens=3, usage_state=types.UsageState.PARTIAL)
        session.add_all([known, missing])
        session.commit()
        assert (known.total_tokens, known.cost_usd) == (7, 1.5)
        assert (missing.total_tokens, missing.cost_usd) == (None, None)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"input_tokens": -1},
            {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 3},
            {"output_tokens": 5, "reasoning_output_tokens": 6},
            {"cache_creation_input_tokens": 1, "cache_creation_1h_input_tokens": 2},
            {"usage_state": types.UsageState.MISSING, "input_tokens": 0},
            {"cost_nano_usd": -1},
            {"attempt": 0},
        ],
        ids=str,
    )
    def test_ledger_refuses_what_cannot_be(self, session: Session, wrong: dict[str, Any]) -> None:
        host = models.Host(name="h")
        session.add(host)
        session.flush()
        model = models.Model(name="m", host_id=host.id)
        session.add(model)
        session.flush()
        session.add(models.TokenUsage(model_id=model.id, **wrong))
        with pytest.raises(IntegrityError, match="CHECK"):
            session.flush()

    def test_attempts_at_one_request_are_rows_of_their_own(self, session: Session) -> None:
        host = models.Host(name="h")
        session.add(host)
        session.flush()
        model = models.Model(name="m", host_id=host.id)
        session.add(model)
        session.flush()
        session.add_all([models.TokenUsage(model_id=model.id, request_id="r", attempt=number) for number in (1, 2)])
        session.add_all([models.TokenUsage(model_id=model.id) for _ in range(2)])
        session.flush()
        session.add(models.TokenUsage(model_id=model.id, request_id="r", attempt=2))
        with pytest.raises(IntegrityError, match="UNIQUE"):
            session.flush()

    def test_deleting_a_user_takes_what_is_theirs_and_keeps_the_ledger(self, session: Session) -> None:
        user = models.User(username="ada")
        session.add(user)
        session.flush()
        identity = models.UserIdentity(id=str(user.id), user_id=user.id, display_name="Ada")
        agent = models.Agent(name="r", user_id=user.id)
        project = models.Project(name="p", user_id=user.id)
        host = models.Host(name="h")
        session.add_all([identity, agent, project, host])
        session.flush()
        conversation = models.Conversation(user_id=user.id, agent_id=agent.id)
        model = models.Model(name="m", host_id=host.id)
        session.add_all([conversation, model])
        session.flush()
        said = models.Message(role=types.MessageRole.USER, conversation_id=conversation.id, user_id=identity.id)
        elsewhere = models.Message(role=types.MessageRole.USER, channel_id="c", user_id=identity.id)
        session.add_all([said, elsewhere])
        session.flush()
        usage = models.TokenUsage(model_id=model.id, project_id=project.id, message_id=said.id, agent_id=agent.id)
        session.add(usage)
        session.commit()

        session.delete(user)
        session.commit()

        assert session.execute(text("SELECT count(*) FROM agents")).scalar() == 0
        assert session.execute(text("SELECT count(*) FROM conversations")).scalar() == 0
        assert session.execute(text("SELECT id, user_id FROM messages")).all() == [(elsewhere.id, None)]
        assert session.execute(text("SELECT project_id, message_id, agent_id FROM token_usage")).all() == [
            (None, None, None)
        ]

    def test_deleting_an_agent_keeps_its_conversations(self, session: Session) -> None:
        agent = models.Agent(name="r")
        session.add(agent)
        session.flush()
        session.add(models.Conversation(agent_id=agent.id))
        session.commit()
        session.delete(agent)
        session.commit()
        assert session.execute(text("SELECT agent_id FROM conversations")).all() == [(None,)]

    def test_plain_sql_gets_the_same_defaults(self, session: Session) -> None:
        session.execute(
            text("INSERT INTO agents (id, name, name_key) VALUES ('01a1fdd2-0000-7000-8000-000000000001', 'r', 'r')")
        )
        row = session.execute(select(models.Agent)).scalar_one()
        assert (row.status, row.capabilities, row.meta, row.version) == (types.AgentStatus.IDLE, [], {}, 1)
        assert row.id == UUID("01a1fdd2-0000-7000-8000-000000000001")
        assert abs((row.created_at - datetime.now(UTC)).total_seconds()) < 60

    def test_relation_that_was_not_asked_for_is_an_error(self, session: Session) -> None:
        agent = models.Agent(name="r")
        session.add(agent)
        session.commit()
        with pytest.raises(InvalidRequestError, match="raise"):
            agent.tools  # noqa: B018

    def test_update_in_a_session_dates_the_row(self, session: Session) -> None:
        agent = models.Agent(name="r")
        session.add(agent)
        session.commit()
        before = agent.updated_at
        agent.instruction = "new"
        session.commit()
        assert agent.updated_at > before

    def test_program_may_have_classes_of_the_same_name(self) -> None:
        class Agent(SQLModel):
            name: str

        assert Agent(name="x").name == "x"
        assert TableModel.metadata is metadata
        assert not SQLModel.metadata.tables
