"""What is said: conversations, their named heads, and messages in and outside of them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Relationship

from agent_system.models.agents import Agent
from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt, Text
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    format_field,
    int_field,
    int_key,
    json_field,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    real_field,
    reference,
    required_enum_field,
    text_field,
    text_key,
    unique_uuid_field,
    updated_at_field,
    uuid_key,
    version_field,
)
from agent_system.types import (
    ConversationStatus,
    Counter,
    FeedbackRating,
    Int64,
    JsonObject,
    JsonValue,
    MessageRole,
    RowId,
    StreamingState,
)

__all__ = ["Conversation", "ConversationHead", "Message", "MessageFeedback"]

FORMAT_VERSION = 1
"""The newest form of a message's content, parts and tool calls that this version reads and writes."""


class ConversationHead(TableModel, table=True):
    """A named end of a conversation, as a branch is in a version control system."""

    __tablename__ = "conversation_heads"

    conversation_id: UUID = reference(
        "conversations.id", "The conversation.", ondelete="CASCADE", primary_key=True, default=REQUIRED
    )
    name: str = text_key("Name of the head, unique in the conversation.")
    message_id: int = reference(
        "messages.id", "The last message of this branch.", ondelete="CASCADE", key=BigInt, default=REQUIRED, index=True
    )
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class Message(TableModel, table=True):
    """Something said by somebody: in a conversation, in a channel, by mail, or to a person by an agent."""

    __tablename__ = "messages"
    __table_args__ = (
        Index(None, "conversation_id", "id"),
        present_index("channel_id", "created_at"),
        present_index("guild_id", "created_at"),
        present_index("parent_id"),
        present_index("response_id"),
        present_index("task_id"),
        present_index("agent_id"),
        partial_index(
            "priority",
            "id",
            where="requires_response AND responded_at IS NULL",
            name="idx_messages_pending_response",
        ),
        partial_index(
            "user_id",
            "id",
            where="role = 'agent' AND conversation_id IS NULL AND read_at IS NULL",
            name="idx_messages_unread",
        ),
        partial_index("conversation_id", where="streaming_state = 'streaming'", name="idx_messages_streaming"),
        enum_check("role", MessageRole),
        enum_check("streaming_state", StreamingState),
        *non_negative(
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "reasoning_output_tokens",
            "response_time_ms",
            "format_version",
        ),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the message; rises in the order of writing, and so in the order of a conversation.")
    uid: UUID = unique_uuid_field("Public key, a UUIDv7; a second append with it is the first one repeated.")
    conversation_id: UUID | None = reference(
        "conversations.id", "The conversation; null for a message outside of any.", ondelete="CASCADE"
    )
    parent_id: int | None = reference(
        "messages.id", "The message before this one on its branch; null for the first.", ondelete="SET NULL", key=BigInt
    )
    task_id: UUID | None = reference(
        "tasks.id", "The task in whose course it was said; null when in none.", ondelete="SET NULL"
    )
    agent_id: UUID | None = reference(
        "agents.id", "The agent that said it; null when no agent did.", ondelete="SET NULL"
    )
    user_id: str | None = reference(
        "user_identities.id",
        "Whose message it is; null when not known or when the person was deleted.",
        ondelete="SET NULL",
        key=Text,
        index=True,
    )
    channel_id: str | None = text_field("The channel of the platform; null when in none.", None)
    guild_id: str | None = text_field("The server or community of the platform; null when in none.", None)
    role: MessageRole = required_enum_field(MessageRole, "Who speaks.")
    author_name: str | None = text_field("How the speaker is called; null when not known.", None)
    message_type: str | None = text_field(
        "Kind of message, as the platform or runtime names it; null when it has none.", None
    )
    content: str = text_field("The text; empty while nothing has been streamed, or when there are only tool calls.", "")
    parts: JsonValue = json_field("Content that is more than text, as the model's API wants it; null: text is all.")
    tool_calls: JsonValue = json_field("The tool calls that the message asks for, as a JSON array; null when none.")
    tool_call_id: str | None = text_field("The call that a message of role tool answers; null otherwise.", None)
    response_id: int | None = reference(
        "messages.id", "The message that answers this one; null when none does.", ondelete="SET NULL", key=BigInt
    )
    email_metadata: JsonValue = json_field("Headers of the mail that it came by; null when it was no mail.")
    input_method: str | None = text_field("How it was entered, such as text or voice; null when not known.", None)
    has_image: bool = flag_field("Whether a picture came with it.", default=False)
    model: str | None = text_field("The model that wrote it; null when none did or it is not known.", None)
    provider: str | None = text_field("Who runs the model; null when not known.", None)
    input_tokens: Counter | None = count_field("All tokens that the model read; null when not reported.", None)
    output_tokens: Counter | None = count_field("All tokens that the model wrote; null when not reported.", None)
    cache_read_input_tokens: Counter | None = count_field(
        "Those of input_tokens that came from a cache; null when not reported.", None
    )
    cache_creation_input_tokens: Counter | None = count_field(
        "Those of input_tokens that were written to a cache; null when not reported.", None
    )
    reasoning_output_tokens: Counter | None = count_field(
        "Those of output_tokens that were reasoning; null when not reported.", None
    )
    response_time_ms: float | None = real_field("Milliseconds that the model took; null when not known.", None)
    streaming_state: StreamingState = enum_field(StreamingState.NONE, "Whether the text is still growing.")
    priority: Int64 = int_field("Of messages that wait for a person: higher is shown first.", 0)
    requires_response: bool = flag_field("Whether a person has to answer.", default=False)
    suggested_actions: JsonValue = json_field("Answers that the person may choose from; null when none are offered.")
    read_at: datetime | None = moment_field("When the addressee read it; null: not yet, or nobody keeps track.")
    responded_at: datetime | None = moment_field("When the person answered; null: not yet.")
    format_version: Counter = format_field("Version of the form of content, parts and tool_calls.", FORMAT_VERSION)
    extra_terms: str | None = text_field(
        "Words that the index would not find in the content, such as those of scripts without blanks; null: none.", None
    )
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When it was said, in UTC.", index=True)
    updated_at: datetime = updated_at_field()


class MessageFeedback(TableModel, table=True):
    """What a person thinks of a message; one opinion of each."""

    __tablename__ = "message_feedback"
    __table_args__ = (
        partial_index("message_id", "user_id", where="user_id IS NOT NULL", unique=True),
        partial_index(
            "message_id", where="user_id IS NULL", unique=True, name="idx_message_feedback_message_id_of_nobody"
        ),
        present_index("user_id"),
        enum_check("rating", FeedbackRating),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the feedback.")
    message_id: int = reference(
        "messages.id", "The message.", ondelete="CASCADE", key=BigInt, default=REQUIRED, index=True
    )
    user_id: str | None = reference(
        "user_identities.id",
        "Whose opinion it is; it goes with them. Null where the runtime knows no users.",
        ondelete="CASCADE",
        key=Text,
    )
    rating: FeedbackRating = required_enum_field(FeedbackRating, "How the message was found.")
    comment: str | None = text_field("Why, in the person's words; null when they did not say.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field(index=True)
    updated_at: datetime = updated_at_field()


class Conversation(TableModel, table=True):
    """A course of messages between people and agents; it may branch."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index(None, "last_message_at", "id"),
        present_index("user_id", "last_message_at", "id"),
        present_index("agent_id", "last_message_at", "id"),
        present_index("project_id", "last_message_at", "id"),
        present_index("workspace_id"),
        present_index("parent_conversation_id"),
        present_index("fork_message_id"),
        present_index("session_uuid"),
        enum_check("status", ConversationStatus),
        *non_negative("revision", "message_count"),
    )

    id: UUID = uuid_key("Key of the conversation, a UUIDv7.")
    user_id: UUID | None = reference("users.id", "Owner; null: shared by all.", ondelete="CASCADE")
    agent_id: UUID | None = reference(
        "agents.id", "The agent that takes part; null: none, or it was deleted.", ondelete="SET NULL"
    )
    project_id: UUID | None = reference(
        "projects.id", "The project that it is about; null when none.", ondelete="SET NULL"
    )
    workspace_id: UUID | None = reference(
        "workspaces.id", "The workspace that it happens in; null when none.", ondelete="SET NULL"
    )
    parent_conversation_id: UUID | None = reference(
        "conversations.id", "The conversation that it was forked from; null when from none.", ondelete="SET NULL"
    )
    fork_message_id: Int64 | None = int_field(
        "The last message that it shares with its parent; no foreign key (messages refer to conversations). "
        "Null when it was not forked.",
        None,
    )
    title: str = text_field("Title for lists.", "")
    status: ConversationStatus = enum_field(ConversationStatus.ACTIVE, "active, or archived and hidden from lists.")
    session_uuid: str | None = text_field("Id of the runtime's session; null when there is none.", None)
    head_message_id: Int64 | None = int_field(
        "The last message of the current branch; no foreign key (messages refer to conversations, and an append "
        "updates this row first). Null while there is none.",
        None,
    )
    current_head: str | None = text_field(
        "The named head that moves with head_message_id at every append; null: the current branch has no name.", None
    )
    is_forked: bool = flag_field(
        "Whether two messages share a parent: then history is read by walking up.", default=False
    )
    revision: Counter = count_field("Counts appends and moves of the head; compared and swapped, never a clock.")
    message_count: Counter = count_field("How many messages it has, on all branches.")
    last_message_at: datetime = created_at_field(
        "When the last message was said, in UTC; when the conversation was made, while there is none."
    )
    archived_at: datetime | None = moment_field("When it was archived; null: it is not.")
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    agent: Agent | None = Relationship(sa_relationship_kwargs={"viewonly": True, "lazy": "raise"})
    messages: list[Message] = Relationship(
        sa_relationship_kwargs={"viewonly": True, "lazy": "raise", "order_by": "Message.id"}
    )
    heads: list[ConversationHead] = Relationship(
        sa_relationship_kwargs={"viewonly": True, "lazy": "raise", "order_by": "ConversationHead.name"}
    )
