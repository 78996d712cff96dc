"""Create memories, their tags and links, embeddings, and the full-text indexes.

Seed 003's memories with the scopes, expiry and consolidation of seeds 003 and 004. Triggers keep `updated_at`, the
index of the tags, and the full-text indexes of memories, messages and context documents, whoever writes. Messages and
documents that are there already are indexed; what the database does not cut by itself (scripts without blanks) is
added to them by `reindex()` of their manager.

The downgrade drops the tables memories, memory_tags, memory_links, embedding_models and embeddings with all their
rows, and the indexes, which can be made again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")
VECTOR = sa.LargeBinary()

KEPT: dict[str, tuple[str, ...]] = {
    "sqlite": (
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
        """
CREATE TRIGGER memories_tags_ai AFTER INSERT ON memories WHEN NEW.tags <> '[]'
  BEGIN
    INSERT INTO memory_tags (memory_id, tag)
    SELECT DISTINCT NEW.id, item.value
    FROM json_each(
      CASE WHEN json_valid(NEW.tags) THEN CASE json_type(NEW.tags) WHEN 'array' THEN NEW.tags END END
    ) AS item
    WHERE item.type = 'text';
  END
""",
        """
CREATE TRIGGER memories_tags_au AFTER UPDATE OF tags ON memories WHEN NEW.tags IS NOT OLD.tags
  BEGIN
    DELETE FROM memory_tags WHERE memory_id = NEW.id;
    INSERT INTO memory_tags (memory_id, tag)
    SELECT DISTINCT NEW.id, item.value
    FROM json_each(
      CASE WHEN json_valid(NEW.tags) THEN CASE json_type(NEW.tags) WHEN 'array' THEN NEW.tags END END
    ) AS item
    WHERE item.type = 'text';
  END
""",
        """
CREATE VIEW context_document_texts AS
SELECT numbered.id, document.name, document.title, document.content, document.tags, document.extra_terms
FROM context_document_keys AS numbered JOIN context_documents AS document ON document.id = numbered.document_id
""",
        """
CREATE VIRTUAL TABLE memories_fts USING fts5(
  content, tags, context, extra_terms,
  content='memories',
  content_rowid='id',
  tokenize="unicode61 remove_diacritics 2"
)
""",
        """
CREATE TRIGGER memories_ai AFTER INSERT ON memories
  BEGIN
    INSERT INTO memories_fts (rowid, content, tags, context, extra_terms)
    VALUES (NEW.id,
    NEW.content,
    NEW.tags,
    NEW.context,
    NEW.extra_terms
    );
  END
""",
        """
CREATE TRIGGER memories_ad AFTER DELETE ON memories
  BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, content, tags, context, extra_terms)
    VALUES ('delete', OLD.id,
    OLD.content,
    OLD.tags,
    OLD.context,
    OLD.extra_terms
    );
  END
""",
        """
CREATE TRIGGER memories_au AFTER UPDATE OF content, tags, context, extra_terms ON memories
  WHEN (
    NEW.content,
    NEW.tags,
    NEW.context,
    NEW.extra_terms
  ) IS NOT (
    OLD.content,
    OLD.tags,
    OLD.context,
    OLD.extra_terms
  )
  BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, content, tags, context, extra_terms)
    VALUES ('delete', OLD.id,
    OLD.content,
    OLD.tags,
    OLD.context,
    OLD.extra_terms
    );
    INSERT INTO memories_fts (rowid, content, tags, context, extra_terms)
    VALUES (NEW.id,
    NEW.content,
    NEW.tags,
    NEW.context,
    NEW.extra_terms
    );
  END
""",
        """
CREATE VIRTUAL TABLE messages_fts USING fts5(
  content, extra_terms,
  content='messages',
  content_rowid='id',
  tokenize="unicode61 remove_diacritics 2"
)
""",
        """
CREATE TRIGGER messages_ai AFTER INSERT ON messages
  BEGIN
    INSERT INTO messages_fts (rowid, content, extra_terms)
    VALUES (NEW.id,
    NEW.content,
    NEW.extra_terms
    );
  END
""",
        """
CREATE TRIGGER messages_ad AFTER DELETE ON messages
  BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content, extra_terms)
    VALUES ('delete', OLD.id,
    OLD.content,
    OLD.extra_terms
    );
  END
""",
        """
CREATE TRIGGER messages_au AFTER UPDATE OF content, extra_terms ON messages
  WHEN (
    NEW.content,
    NEW.extra_terms
  ) IS NOT (
    OLD.content,
    OLD.extra_terms
  )
  BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content, extra_terms)
    VALUES ('delete', OLD.id,
    OLD.content,
    OLD.extra_terms
    );
    INSERT INTO messages_fts (rowid, content, extra_terms)
    VALUES (NEW.id,
    NEW.content,
    NEW.extra_terms
    );
  END
""",
        """
CREATE VIRTUAL TABLE context_documents_fts USING fts5(
  name, title, content, tags, extra_terms,
  content='context_document_texts',
  content_rowid='id',
  tokenize="unicode61 remove_diacritics 2"
)
""",
        """
CREATE TRIGGER context_documents_ai AFTER INSERT ON context_documents
  BEGIN
    INSERT INTO context_document_keys (document_id) VALUES (NEW.id);
    INSERT INTO context_documents_fts (rowid, name, title, content, tags, extra_terms)
    VALUES ((SELECT id FROM context_document_keys WHERE document_id = NEW.id),
    NEW.name,
    NEW.title,
    NEW.content,
    NEW.tags,
    NEW.extra_terms
    );
  END
""",
        """
CREATE TRIGGER context_documents_ad BEFORE DELETE ON context_documents
  BEGIN
    INSERT INTO context_documents_fts (context_documents_fts, rowid, name, title, content, tags, extra_terms)
    VALUES ('delete', (SELECT id FROM context_document_keys WHERE document_id = OLD.id),
    OLD.name,
    OLD.title,
    OLD.content,
    OLD.tags,
    OLD.extra_terms
    );
  END
""",
        """
CREATE TRIGGER context_documents_au AFTER UPDATE OF name, title, content, tags, extra_terms ON context_documents
  WHEN (
    NEW.name,
    NEW.title,
    NEW.content,
    NEW.tags,
    NEW.extra_terms
  ) IS NOT (
    OLD.name,
    OLD.title,
    OLD.content,
    OLD.tags,
    OLD.extra_terms
  )
  BEGIN
    INSERT INTO context_documents_fts (context_documents_fts, rowid, name, title, content, tags, extra_terms)
    VALUES ('delete', (SELECT id FROM context_document_keys WHERE document_id = OLD.id),
    OLD.name,
    OLD.title,
    OLD.content,
    OLD.tags,
    OLD.extra_terms
    );
    INSERT INTO context_documents_fts (rowid, name, title, content, tags, extra_terms)
    VALUES ((SELECT id FROM context_document_keys WHERE document_id = NEW.id),
    NEW.name,
    NEW.title,
    NEW.content,
    NEW.tags,
    NEW.extra_terms
    );
  END
""",
    ),
    "postgresql": (
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
        r"""
CREATE FUNCTION agent_system_words(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT trim(CASE WHEN octet_length(value) = length(value)
  THEN regexp_replace(lower(value), '[^a-z0-9\u001f]+', ' ', 'g')
  ELSE regexp_replace(
    replace(lower(normalize(
      regexp_replace(normalize(value, NFD), '([A-Za-z])[\u0300-\u036f]+', '\1', 'g'), NFC
    ) COLLATE "default"), chr(962), chr(963)),
    '[\u0001-\u001e\u0020-\u002f\u003a-\u0060\u007b-\u007f'
    '\u0080-\u00A9\u00AB-\u00B1\u00B4\u00B6-\u00B8\u00BB\u00BF\u00D7\u00F7\u02C2-\u02C5\u02D2-\u02DF\u02E5-\u02EB'
    '\u02ED\u02EF-\u02FF\u0375\u037E\u0384-\u0385\u0387\u03F6\u0482\u055A-\u055F\u0589-\u0590\u05BE\u05C0\u05C3\u05C6'
    '\u05F3-\u060F\u061B-\u061F\u066A-\u066D\u06D4\u06DD-\u06DE\u06E9\u06FD-\u06FE\u0700-\u070F\u07F6-\u07F9'
    '\u07FE-\u07FF\u0830-\u083F\u085E-\u085F\u0888\u0890-\u0897\u08E2\u0964-\u0965\u0970\u09F2-\u09F3\u09FA-\u09FB'
    '\u09FD\u0A76-\u0A80\u0AF0-\u0AF8\u0B70\u0BF3-\u0BFF\u0C77\u0C7F\u0C84\u0D4F-\u0D53\u0D79\u0DF4-\u0E00\u0E3F'
    '\u0E4F\u0E5A-\u0E80\u0F01-\u0F17\u0F1A-\u0F1F\u0F34\u0F36\u0F38\u0F3A-\u0F3D\u0F85\u0FBE-\u0FC5\u0FC7-\u0FFF'
    '\u104A-\u104F\u109E-\u109F\u10FB\u1360-\u1368\u1390-\u139F\u1400\u166D-\u166E\u1680\u169B-\u169F\u16EB-\u16ED'
    '\u1735-\u173F\u17D4-\u17D6\u17D8-\u17DB\u1800-\u180A\u180E\u1940-\u1945\u19DE-\u19FF\u1A1E-\u1A1F\u1AA0-\u1AA6'
    '\u1AA8-\u1AAF\u1B5A-\u1B6A\u1B74-\u1B7F\u1BFC-\u1BFF\u1C3B-\u1C3F\u1C7E-\u1C7F\u1CC0-\u1CCF\u1CD3\u1FBD'
    '\u1FBF-\u1FC1\u1FCD-\u1FCF\u1FDD-\u1FDF\u1FED-\u1FF1\u1FFD-\u206F\u207A-\u207E\u208A-\u208F\u20A0-\u20CF'
    '\u2100-\u2101\u2103-\u2106\u2108-\u2109\u2114\u2116-\u2118\u211E-\u2123\u2125\u2127\u2129\u212E\u213A-\u213B'
    '\u2140-\u2144\u214A-\u214D\u214F\u218A-\u245F\u249C-\u24E9\u2500-\u2775\u2794-\u2BFF\u2CE5-\u2CEA\u2CF9-\u2CFC'
    '\u2CFE-\u2CFF\u2D70-\u2D7E\u2E00-\u2E2E\u2E30-\u3004\u3008-\u3020\u3030\u3036-\u3037\u303D-\u3040\u309B-\u309C'
    '\u30A0\u30FB\u3190-\u3191\u3196-\u319F\u31C0-\u31EF\u3200-\u321F\u322A-\u3247\u3250\u3260-\u327F\u328A-\u32B0'
    '\u32C0-\u33FF\u4DC0-\u4DFF\uA490-\uA4CF\uA4FE-\uA4FF\uA60D-\uA60F\uA673\uA67E\uA6F2-\uA716\uA720-\uA721'
    '\uA789-\uA78A\uA828-\uA82B\uA836-\uA83F\uA874-\uA87F\uA8CE-\uA8CF\uA8F8-\uA8FA\uA8FC\uA92E-\uA92F\uA95F'
    '\uA9C1-\uA9CE\uA9DE-\uA9DF\uAA5C-\uAA5F\uAA77-\uAA79\uAADE-\uAADF\uAAF0-\uAAF1\uAB5B\uAB6A-\uAB6F\uABEB'
    '\uE000-\uF8FF\uFB29\uFBB2-\uFBD2\uFD3E-\uFD4F\uFDCF-\uFDEF\uFDFC-\uFDFF\uFE10-\uFE1F\uFE30-\uFE6F\uFEFF-\uFF0F'
    '\uFF1A-\uFF20\uFF3B-\uFF40\uFF5B-\uFF65\uFFE0-\uFFFF\U00010100-\U00010106\U00010137-\U0001013F'
    '\U00010179-\U00010189\U0001018C-\U000101FC\U0001039F\U000103D0\U0001056F\U00010857\U00010877-\U00010878'
    '\U0001091F\U0001093F-\U0001097F\U00010A50-\U00010A5F\U00010A7F\U00010AC8\U00010AF0-\U00010AFF'
    '\U00010B39-\U00010B3F\U00010B99-\U00010BA8\U00010EAD-\U00010EAF\U00010F55-\U00010F6F\U00010F86-\U00010FAF'
    '\U00011047-\U00011051\U000110BB-\U000110C1\U000110CD-\U000110CF\U00011140-\U00011143\U00011174-\U00011175'
    '\U000111C5-\U000111C8\U000111CD\U000111DB\U000111DD-\U000111E0\U00011238-\U0001123D\U000112A9-\U000112AF'
    '\U0001144B-\U0001144F\U0001145A-\U0001145D\U000114C6\U000115C1-\U000115D7\U00011641-\U00011643'
    '\U00011660-\U0001167F\U000116B9-\U000116BF\U0001173C-\U0001173F\U0001183B-\U0001189F\U00011944-\U0001194F'
    '\U000119E2\U00011A3F-\U00011A46\U00011A9A-\U00011A9C\U00011A9E-\U00011AAF\U00011C41-\U00011C4F'
    '\U00011C70-\U00011C71\U00011EF7-\U00011FAF\U00011FD5-\U00011FFF\U00012470-\U0001247F\U00012FF1-\U00012FFF'
    '\U00013430-\U000143FF\U00016A6E-\U00016A6F\U00016AF5-\U00016AFF\U00016B37-\U00016B3F\U00016B44-\U00016B4F'
    '\U00016E97-\U00016EFF\U00016FE2\U0001BC9C\U0001BC9F-\U0001CEFF\U0001CF50-\U0001D164\U0001D16A-\U0001D16C'
    '\U0001D173-\U0001D17A\U0001D183-\U0001D184\U0001D18C-\U0001D1A9\U0001D1AE-\U0001D241\U0001D245-\U0001D2DF'
    '\U0001D300-\U0001D35F\U0001D6C1\U0001D6DB\U0001D6FB\U0001D715\U0001D735\U0001D74F\U0001D76F\U0001D789\U0001D7A9'
    '\U0001D7C3\U0001D800-\U0001D9FF\U0001DA37-\U0001DA3A\U0001DA6D-\U0001DA74\U0001DA76-\U0001DA83'
    '\U0001DA85-\U0001DA9A\U0001E14F-\U0001E28F\U0001E2FF-\U0001E7DF\U0001E95E-\U0001EC70\U0001ECAC\U0001ECB0'
    '\U0001ED2E\U0001EEF0-\U0001F0FF\U0001F10D-\U0001FBEF\U000E0001-\U000E00FF\U000F0000-\U0010FFFF'
    ']+', ' ', 'g')
END)
$$
""",
        """
CREATE FUNCTION agent_system_terms(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT coalesce(string_agg('''' || word || ''':' || place, ' '), '')::tsvector
FROM regexp_split_to_table(agent_system_words(left(value, 100000)), ' ') WITH ORDINALITY AS words (word, place)
WHERE length(word) BETWEEN 1 AND 255 AND word <> chr(31)
$$
""",
        """
CREATE TABLE memories_fts (
  id BIGINT CONSTRAINT pk_memories_fts PRIMARY KEY
    CONSTRAINT fk_memories_fts_id_memories REFERENCES memories (id) ON DELETE CASCADE,
  terms tsvector NOT NULL
)
""",
        "CREATE INDEX idx_memories_fts_terms ON memories_fts USING gin (terms)",
        """
CREATE FUNCTION memories_fts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO memories_fts (id, terms)
  VALUES (NEW.id, agent_system_terms(
    coalesce(translate(NEW.content::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.tags::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.context::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.extra_terms::text, chr(31), ' '), '')
  ))
  ON CONFLICT (id) DO UPDATE SET terms = excluded.terms;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER memories_ai AFTER INSERT ON memories FOR EACH ROW
  EXECUTE FUNCTION memories_fts()
""",
        """
CREATE TRIGGER memories_au AFTER UPDATE ON memories FOR EACH ROW
  WHEN ((
    NEW.content::text,
    NEW.tags::text,
    NEW.context::text,
    NEW.extra_terms::text
  ) IS DISTINCT FROM (
    OLD.content::text,
    OLD.tags::text,
    OLD.context::text,
    OLD.extra_terms::text
  ))
  EXECUTE FUNCTION memories_fts()
""",
        """
CREATE TABLE messages_fts (
  id BIGINT CONSTRAINT pk_messages_fts PRIMARY KEY
    CONSTRAINT fk_messages_fts_id_messages REFERENCES messages (id) ON DELETE CASCADE,
  terms tsvector NOT NULL
)
""",
        "CREATE INDEX idx_messages_fts_terms ON messages_fts USING gin (terms)",
        """
CREATE FUNCTION messages_fts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO messages_fts (id, terms)
  VALUES (NEW.id, agent_system_terms(
    coalesce(translate(NEW.content::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.extra_terms::text, chr(31), ' '), '')
  ))
  ON CONFLICT (id) DO UPDATE SET terms = excluded.terms;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER messages_ai AFTER INSERT ON messages FOR EACH ROW
  EXECUTE FUNCTION messages_fts()
""",
        """
CREATE TRIGGER messages_au AFTER UPDATE ON messages FOR EACH ROW
  WHEN ((
    NEW.content::text,
    NEW.extra_terms::text
  ) IS DISTINCT FROM (
    OLD.content::text,
    OLD.extra_terms::text
  ))
  EXECUTE FUNCTION messages_fts()
""",
        """
CREATE TABLE context_documents_fts (
  id UUID CONSTRAINT pk_context_documents_fts PRIMARY KEY
    CONSTRAINT fk_context_documents_fts_id_context_documents REFERENCES context_documents (id) ON DELETE CASCADE,
  terms tsvector NOT NULL
)
""",
        "CREATE INDEX idx_context_documents_fts_terms ON context_documents_fts USING gin (terms)",
        """
CREATE FUNCTION context_documents_fts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO context_document_keys (document_id) VALUES (NEW.id);
  END IF;
  INSERT INTO context_documents_fts (id, terms)
  VALUES (NEW.id, agent_system_terms(
    coalesce(translate(NEW.name::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.title::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.content::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.tags::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(NEW.extra_terms::text, chr(31), ' '), '')
  ))
  ON CONFLICT (id) DO UPDATE SET terms = excluded.terms;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER context_documents_ai AFTER INSERT ON context_documents FOR EACH ROW
  EXECUTE FUNCTION context_documents_fts()
""",
        """
CREATE TRIGGER context_documents_au AFTER UPDATE ON context_documents FOR EACH ROW
  WHEN ((
    NEW.name::text,
    NEW.title::text,
    NEW.content::text,
    NEW.tags::text,
    NEW.extra_terms::text
  ) IS DISTINCT FROM (
    OLD.name::text,
    OLD.title::text,
    OLD.content::text,
    OLD.tags::text,
    OLD.extra_terms::text
  ))
  EXECUTE FUNCTION context_documents_fts()
""",
    ),
}
FILLED: dict[str, tuple[str, ...]] = {
    "sqlite": (
        "INSERT INTO context_document_keys (document_id) SELECT id FROM context_documents ORDER BY created_at, id",
        "INSERT INTO messages_fts (messages_fts) VALUES ('rebuild')",
        "INSERT INTO context_documents_fts (context_documents_fts) VALUES ('rebuild')",
    ),
    "postgresql": (
        "INSERT INTO context_document_keys (document_id) SELECT id FROM context_documents ORDER BY created_at, id",
        """
INSERT INTO messages_fts (id, terms)
SELECT id, agent_system_terms(
    coalesce(translate(messages.content::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(messages.extra_terms::text, chr(31), ' '), '')
)
FROM messages
""",
        """
INSERT INTO context_documents_fts (id, terms)
SELECT id, agent_system_terms(
    coalesce(translate(context_documents.name::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(context_documents.title::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(context_documents.content::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(context_documents.tags::text, chr(31), ' '), '') || ' ' || chr(31) || ' ' ||
    coalesce(translate(context_documents.extra_terms::text, chr(31), ' '), '')
)
FROM context_documents
""",
    ),
}
DROPPED: dict[str, tuple[str, ...]] = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS memories_ai",
        "DROP TRIGGER IF EXISTS memories_ad",
        "DROP TRIGGER IF EXISTS memories_au",
        "DROP TRIGGER IF EXISTS messages_ai",
        "DROP TRIGGER IF EXISTS messages_ad",
        "DROP TRIGGER IF EXISTS messages_au",
        "DROP TRIGGER IF EXISTS context_documents_ai",
        "DROP TRIGGER IF EXISTS context_documents_ad",
        "DROP TRIGGER IF EXISTS context_documents_au",
        "DROP TABLE IF EXISTS memories_fts",
        "DROP TABLE IF EXISTS messages_fts",
        "DROP TABLE IF EXISTS context_documents_fts",
        "DROP VIEW IF EXISTS context_document_texts",
    ),
    "postgresql": (
        "DROP FUNCTION IF EXISTS update_memories_timestamp() CASCADE",
        "DROP FUNCTION IF EXISTS memories_tags() CASCADE",
        "DROP FUNCTION IF EXISTS memories_fts() CASCADE",
        "DROP FUNCTION IF EXISTS messages_fts() CASCADE",
        "DROP FUNCTION IF EXISTS context_documents_fts() CASCADE",
        "DROP TABLE IF EXISTS memories_fts",
        "DROP TABLE IF EXISTS messages_fts",
        "DROP TABLE IF EXISTS context_documents_fts",
        "DROP FUNCTION IF EXISTS agent_system_terms(text)",
        "DROP FUNCTION IF EXISTS agent_system_words(text)",
    ),
}


def upgrade() -> None:
    create_context_document_keys()
    create_memories()
    create_memory_tags()
    create_memory_links()
    create_embedding_models()
    create_embeddings()
    op.add_column("messages", sa.Column("extra_terms", TEXT))
    op.add_column("context_documents", sa.Column("extra_terms", TEXT))
    for statement in (*KEPT[op.get_context().dialect.name], *FILLED[op.get_context().dialect.name]):
        op.execute(statement)


def downgrade() -> None:
    for statement in DROPPED[op.get_context().dialect.name]:
        op.execute(statement)
    op.drop_column("context_documents", "extra_terms")
    op.drop_column("messages", "extra_terms")
    op.drop_table("embeddings")
    op.drop_table("embedding_models")
    op.drop_table("memory_links")
    op.drop_table("memory_tags")
    op.drop_table("memories")
    op.drop_table("context_document_keys")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_context_document_keys() -> None:
    op.create_table(
        "context_document_keys",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("document_id", UUID, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["context_documents.id"],
            name=op.f("fk_context_document_keys_document_id_context_documents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context_document_keys")),
        sa.UniqueConstraint("document_id", name=op.f("uq_context_document_keys_document_id")),
        sqlite_autoincrement=True,
    )


def create_memories() -> None:
    op.create_table(
        "memories",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("guild_id", TEXT),
        sa.Column("channel_id", TEXT),
        sa.Column("agent_id", UUID),
        sa.Column("project_id", UUID),
        sa.Column("conversation_id", UUID),
        sa.Column("session_uuid", TEXT),
        sa.Column("kind", TEXT, server_default="long_term", nullable=False),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("tags", JSON, server_default="[]", nullable=False),
        sa.Column("context", TEXT, server_default="", nullable=False),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("importance", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("recall_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("last_recalled_at", MOMENT),
        sa.Column("faded_at", MOMENT),
        sa.Column("content_hash", TEXT),
        sa.Column("scope_key", TEXT),
        sa.Column("extra_terms", TEXT),
        sa.Column("consolidated_from", JSON, server_default="[]", nullable=False),
        sa.Column("consolidated_into", INTEGER),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("kind IN ('long_term', 'short_term', 'passive')", name=op.f("ck_memories_kind")),
        sa.CheckConstraint("status IN ('active', 'archived', 'consolidated')", name=op.f("ck_memories_status")),
        sa.CheckConstraint("importance BETWEEN 1 AND 10", name=op.f("ck_memories_importance")),
        sa.CheckConstraint("recall_count >= 0", name=op.f("ck_memories_recall_count")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_memories_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["consolidated_into"],
            ["memories.id"],
            name=op.f("fk_memories_consolidated_into_memories"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_memories_conversation_id_conversations"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_memories_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_memories_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memories")),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_memories_agent_id_timestamp"), "memories", ["agent_id", "timestamp"], where="agent_id IS NOT NULL"
    )
    partial_index(
        op.f("idx_memories_channel_id_timestamp"),
        "memories",
        ["channel_id", "timestamp"],
        where="channel_id IS NOT NULL",
    )
    partial_index(
        op.f("idx_memories_consolidated_into"), "memories", ["consolidated_into"], where="consolidated_into IS NOT NULL"
    )
    partial_index(
        op.f("idx_memories_conversation_id"), "memories", ["conversation_id"], where="conversation_id IS NOT NULL"
    )
    partial_index(op.f("idx_memories_expires_at"), "memories", ["expires_at"], where="expires_at IS NOT NULL")
    partial_index(
        op.f("idx_memories_guild_id_timestamp"), "memories", ["guild_id", "timestamp"], where="guild_id IS NOT NULL"
    )
    op.create_index("idx_memories_importance", "memories", ["importance"])
    partial_index(
        op.f("idx_memories_project_id_timestamp"),
        "memories",
        ["project_id", "timestamp"],
        where="project_id IS NOT NULL",
    )
    partial_index(op.f("idx_memories_session_uuid"), "memories", ["session_uuid"], where="session_uuid IS NOT NULL")
    op.create_index("idx_memories_timestamp", "memories", ["timestamp"])
    op.create_index("idx_memories_user_id", "memories", ["user_id"])
    partial_index(
        op.f("idx_memories_user_id_timestamp"), "memories", ["user_id", "timestamp"], where="user_id IS NOT NULL"
    )
    partial_index(
        "uq_memories_content", "memories", ["scope_key", "kind", "content_hash"], where="status = 'active'", unique=True
    )


def create_memory_tags() -> None:
    op.create_table(
        "memory_tags",
        sa.Column("memory_id", INTEGER, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_tags_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_id", "tag", name=op.f("pk_memory_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("idx_memory_tags_tag_memory_id"), "memory_tags", ["tag", "memory_id"])


def create_memory_links() -> None:
    op.create_table(
        "memory_links",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("source_id", INTEGER, nullable=False),
        sa.Column("target_id", INTEGER, nullable=False),
        sa.Column("link_type", TEXT, server_default="related", nullable=False),
        sa.Column("weight", REAL, server_default=sa.text("1.0"), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "link_type IN ('related', 'shared_tags', 'supports', 'contradicts', 'supersedes')",
            name=op.f("ck_memory_links_link_type"),
        ),
        sa.CheckConstraint("source_id <> target_id", name=op.f("ck_memory_links_ends")),
        sa.CheckConstraint("weight BETWEEN 0 AND 1", name=op.f("ck_memory_links_weight")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["memories.id"], name=op.f("fk_memory_links_source_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["memories.id"], name=op.f("fk_memory_links_target_id_memories"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_links")),
        sa.UniqueConstraint(
            "source_id", "target_id", "link_type", name=op.f("uq_memory_links_source_id_target_id_link_type")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_memory_links_target_id"), "memory_links", ["target_id"])


def create_embedding_models() -> None:
    op.create_table(
        "embedding_models",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("provider", TEXT, server_default="local", nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("dimensions", INTEGER, nullable=False),
        sa.Column("is_normalised", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("dimensions >= 1", name=op.f("ck_embedding_models_dimensions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedding_models")),
        sa.UniqueConstraint(
            "provider", "name", "dimensions", name=op.f("uq_embedding_models_provider_name_dimensions")
        ),
        sqlite_autoincrement=True,
    )


def create_embeddings() -> None:
    op.create_table(
        "embeddings",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("model_id", INTEGER, nullable=False),
        sa.Column("memory_id", INTEGER),
        sa.Column("message_id", INTEGER),
        sa.Column("context_document_id", UUID),
        sa.Column("user_id", TEXT),
        sa.Column("text_hash", TEXT),
        sa.Column("vector", VECTOR, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "CASE WHEN memory_id IS NULL THEN 0 ELSE 1 END + CASE WHEN message_id IS NULL THEN 0 ELSE 1 END"
            " + CASE WHEN context_document_id IS NULL THEN 0 ELSE 1 END = 1",
            name=op.f("ck_embeddings_owner"),
        ),
        sa.ForeignKeyConstraint(
            ["context_document_id"],
            ["context_documents.id"],
            name=op.f("fk_embeddings_context_document_id_context_documents"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_embeddings_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_embeddings_message_id_messages"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["embedding_models.id"],
            name=op.f("fk_embeddings_model_id_embedding_models"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_embeddings_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embeddings")),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_embeddings_context_document_id_model_id"),
        "embeddings",
        ["context_document_id", "model_id"],
        where="context_document_id IS NOT NULL",
        unique=True,
    )
    partial_index(
        op.f("idx_embeddings_memory_id_model_id"),
        "embeddings",
        ["memory_id", "model_id"],
        where="memory_id IS NOT NULL",
        unique=True,
    )
    partial_index(
        op.f("idx_embeddings_message_id_model_id"),
        "embeddings",
        ["message_id", "model_id"],
        where="message_id IS NOT NULL",
        unique=True,
    )
    op.create_index(op.f("idx_embeddings_model_id"), "embeddings", ["model_id"])
    partial_index(op.f("idx_embeddings_user_id"), "embeddings", ["user_id"], where="user_id IS NOT NULL")
