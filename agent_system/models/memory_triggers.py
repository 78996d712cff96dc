"""What the database keeps of memories whoever writes: `updated_at`, and the rows of `memory_tags`.

An update that sets `updated_at` itself keeps what it set. Being recalled, fading and being consolidated are no changes
of a memory by themselves.
"""

from agent_system.models.triggers import DatabaseKept

__all__ = ["POSTGRESQL", "SQLITE"]

_TAGS_OF_NEW = """
    INSERT INTO memory_tags (memory_id, tag)
    SELECT DISTINCT NEW.id, item.value
    FROM json_each(
      CASE WHEN json_valid(NEW.tags) THEN CASE json_type(NEW.tags) WHEN 'array' THEN NEW.tags END END
    ) AS item
    WHERE item.type = 'text';
"""

SQLITE = DatabaseKept(
    create=(
        """
CREATE TRIGGER update_memories_timestamp AFTER UPDATE ON memories
  WHEN NEW.updated_at IS OLD.updated_at AND (
    NEW.user_id, NEW.guild_id, NEW.channel_id, NEW.agent_id, NEW.project_id, NEW.conversation_id,
    NEW.session_uuid, NEW.kind, NEW.category, NEW.status, NEW.content, NEW.tags, NEW.context, NEW.timestamp,
    NEW.importance, NEW.pinned, NEW.expires_at, NEW.metadata
  ) IS NOT (
    OLD.user_id, OLD.guild_id, OLD.channel_id, OLD.agent_id, OLD.project_id, OLD.conversation_id,
    OLD.session_uuid, OLD.kind, OLD.category, OLD.status, OLD.content, OLD.tags, OLD.context, OLD.timestamp,
    OLD.importance, OLD.pinned, OLD.expires_at, OLD.metadata
  )
  BEGIN
    UPDATE memories SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        f"""
CREATE TRIGGER memories_tags_ai AFTER INSERT ON memories WHEN NEW.tags <> '[]'
  BEGIN{_TAGS_OF_NEW}  END
""",
        f"""
CREATE TRIGGER memories_tags_au AFTER UPDATE OF tags ON memories WHEN NEW.tags IS NOT OLD.tags
  BEGIN
    DELETE FROM memory_tags WHERE memory_id = NEW.id;{_TAGS_OF_NEW}  END
""",
    )
)

POSTGRESQL = DatabaseKept(
    create=(
        """
CREATE FUNCTION update_memories_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_memories_timestamp BEFORE UPDATE ON memories FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at AND (
    NEW.user_id, NEW.guild_id, NEW.channel_id, NEW.agent_id, NEW.project_id, NEW.conversation_id,
    NEW.session_uuid, NEW.kind, NEW.category, NEW.status, NEW.content, NEW.tags::text, NEW.context,
    NEW.timestamp, NEW.importance, NEW.pinned, NEW.expires_at, NEW.metadata::text
  ) IS DISTINCT FROM (
    OLD.user_id, OLD.guild_id, OLD.channel_id, OLD.agent_id, OLD.project_id, OLD.conversation_id,
    OLD.session_uuid, OLD.kind, OLD.category, OLD.status, OLD.content, OLD.tags::text, OLD.context,
    OLD.timestamp, OLD.importance, OLD.pinned, OLD.expires_at, OLD.metadata::text
  ))
  EXECUTE FUNCTION update_memories_timestamp()
""",
        """
CREATE FUNCTION memories_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM memory_tags WHERE memory_id = NEW.id;
  END IF;
  IF json_typeof(NEW.tags) = 'array' THEN
    INSERT INTO memory_tags (memory_id, tag)
    SELECT DISTINCT NEW.id, item #>> '{}'
    FROM json_array_elements(NEW.tags) AS item
    WHERE json_typeof(item) = 'string';
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER memories_tags_ai AFTER INSERT ON memories FOR EACH ROW
  WHEN (NEW.tags::text <> '[]') EXECUTE FUNCTION memories_tags()
""",
        """
CREATE TRIGGER memories_tags_au AFTER UPDATE OF tags ON memories FOR EACH ROW
  WHEN (NEW.tags::text <> OLD.tags::text) EXECUTE FUNCTION memories_tags()
""",
    ),
    drop=(
        "DROP FUNCTION IF EXISTS update_memories_timestamp() CASCADE",
        "DROP FUNCTION IF EXISTS memories_tags() CASCADE",
    ),
)
