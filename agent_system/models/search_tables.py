"""The full-text indexes of memories, messages and context documents, kept by triggers whoever writes.

On SQLite each is an FTS5 table over the columns of its table (external content), under the names that seed 003 and
FTS5's own documentation give: `memories_fts` with the triggers `memories_ai`, `memories_ad` and `memories_au`. On
PostgreSQL each is a table of the same name with the words of a row as `tsvector` and a GIN index over them.

| | SQLite | PostgreSQL |
|---|---|---|
| what a word is | unicode61, accents removed | `agent_system_words`, which cuts in the same way |
| key | the row's key; a document's number in `context_document_keys` | the row's key |
| limits | none | the first 100,000 characters of a row's texts; words of at most 255 characters |
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent_system.models.triggers import DatabaseKept

__all__ = ["POSTGRESQL", "SQLITE"]

# Spaces, punctuation, symbols and controls beyond ASCII, as ranges of Unicode 14 (Python 3.11's unicodedata); what is
# not assigned counts to what stands before it.
SEPARATORS = r"""
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
"""

# The columns are collated "C", which knows the case of ASCII's letters only; the database's own collation knows all.
_WORDS = rf"""
CREATE FUNCTION agent_system_words(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT trim(CASE WHEN octet_length(value) = length(value)
  THEN regexp_replace(lower(value), '[^a-z0-9\u001f]+', ' ', 'g')
  ELSE regexp_replace(
    replace(lower(normalize(
      regexp_replace(normalize(value, NFD), '([A-Za-z])[\u0300-\u036f]+', '\1', 'g'), NFC
    ) COLLATE "default"), chr(962), chr(963)),
    '[\u0001-\u001e\u0020-\u002f\u003a-\u0060\u007b-\u007f'{SEPARATORS}    ']+', ' ', 'g')
END)
$$
"""

_TERMS = """
CREATE FUNCTION agent_system_terms(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT coalesce(string_agg('''' || word || ''':' || place, ' '), '')::tsvector
FROM regexp_split_to_table(agent_system_words(left(value, 100000)), ' ') WITH ORDINALITY AS words (word, place)
WHERE length(word) BETWEEN 1 AND 255 AND word <> chr(31)
$$
"""


@dataclass(frozen=True, kw_only=True)
class _Index:
    """The index over one table."""

    table: str
    columns: tuple[str, ...]
    """The columns that are indexed, with `extra_terms` at the end."""
    key_type: str = "BIGINT"
    """PostgreSQL's type of the table's key."""
    content: str | None = None
    """What SQLite reads the texts from; None: the table itself."""

    @property
    def name(self) -> str:
        return f"{self.table}_fts"

    def _values(self, row: str, cast: str = "") -> str:
        return _lines(f"{row}.{column}{cast}" for column in self.columns)

    def on_sqlite(self) -> tuple[str, ...]:
        add, take = self._add_on_sqlite("NEW"), self._add_on_sqlite("OLD", command="'delete', ")
        # A document's number is gone when the row is, and here before.
        deleted = "AFTER DELETE" if self.content is None else "BEFORE DELETE"
        numbered = "" if self.content is None else _NUMBER_OF_NEW
        return (
            f"""
CREATE VIRTUAL TABLE {self.name} USING fts5(
  {", ".join(self.columns)},
  content='{self.content or self.table}',
  content_rowid='id',
  tokenize="unicode61 remove_diacritics 2"
)
""",
            f"""
CREATE TRIGGER {self.table}_ai AFTER INSERT ON {self.table}
  BEGIN{numbered}{add}
  END
""",
            f"""
CREATE TRIGGER {self.table}_ad {deleted} ON {self.table}
  BEGIN{take}
  END
""",
            f"""
CREATE TRIGGER {self.table}_au AFTER UPDATE OF {", ".join(self.columns)} ON {self.table}
  WHEN ({self._values("NEW")}
  ) IS NOT ({self._values("OLD")}
  )
  BEGIN{take}{add}
  END
""",
        )

    def _add_on_sqlite(self, row: str, command: str = "") -> str:
        key = f"{row}.id"
        if self.content is not None:
            key = f"(SELECT id FROM context_document_keys WHERE document_id = {row}.id)"
        first = f"{self.name}, " if command else ""
        # A part of a trigger, made of the names above.
        return f"""{_STEP}INSERT INTO {self.name} ({first}rowid, {", ".join(self.columns)})
    VALUES ({command}{key},{self._values(row)}
    );"""

    def on_postgresql(self) -> tuple[str, ...]:
        return (
            f"""
CREATE TABLE {self.name} (
  id {self.key_type} CONSTRAINT pk_{self.name} PRIMARY KEY
    CONSTRAINT fk_{self.name}_id_{self.table} REFERENCES {self.table} (id) ON DELETE CASCADE,
  terms tsvector NOT NULL
)
""",
            f"CREATE INDEX idx_{self.name}_terms ON {self.name} USING gin (terms)",
            f"""
CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{self._numbered}
  INSERT INTO {self.name} (id, terms)
  VALUES (NEW.id, agent_system_terms({self.text_on_postgresql("NEW")}
  ))
  ON CONFLICT (id) DO UPDATE SET terms = excluded.terms;
  RETURN NULL;
END $$
""",
            f"""
CREATE TRIGGER {self.table}_ai AFTER INSERT ON {self.table} FOR EACH ROW
  EXECUTE FUNCTION {self.name}()
""",
            f"""
CREATE TRIGGER {self.table}_au AFTER UPDATE ON {self.table} FOR EACH ROW
  WHEN (({self._values("NEW", "::text")}
  ) IS DISTINCT FROM ({self._values("OLD", "::text")}
  ))
  EXECUTE FUNCTION {self.name}()
""",
        )

    def text_on_postgresql(self, row: str) -> str:
        # A character of its own between the columns counts as a word, so that no phrase reaches across them.
        return " || ' ' || chr(31) || ' ' ||".join(
            f"\n    coalesce(translate({row}.{column}::text, chr(31), ' '), '')" for column in self.columns
        )

    @property
    def _numbered(self) -> str:
        """What gives a new document its number, on PostgreSQL."""
        if self.content is None:
            return ""
        return """
  IF TG_OP = 'INSERT' THEN
    INSERT INTO context_document_keys (document_id) VALUES (NEW.id);
  END IF;"""


def _lines(values: Iterable[str]) -> str:
    return ",".join(f"\n    {value}" for value in values)


# How a statement of a trigger begins.
_STEP = "\n    "

_NUMBER_OF_NEW = """
    INSERT INTO context_document_keys (document_id) VALUES (NEW.id);"""

_DOCUMENT_TEXTS = """
CREATE VIEW context_document_texts AS
SELECT numbered.id, document.name, document.title, document.content, document.tags, document.extra_terms
FROM context_document_keys AS numbered JOIN context_documents AS document ON document.id = numbered.document_id
"""

_INDEXES = (
    _Index(table="memories", columns=("content", "tags", "context", "extra_terms")),
    _Index(table="messages", columns=("content", "extra_terms")),
    _Index(
        table="context_documents",
        columns=("name", "title", "content", "tags", "extra_terms"),
        key_type="UUID",
        content="context_document_texts",
    ),
)

SQLITE = DatabaseKept(
    create=(_DOCUMENT_TEXTS, *(statement for index in _INDEXES for statement in index.on_sqlite())),
    drop=(
        *(f"DROP TRIGGER IF EXISTS {index.table}_{event}" for index in _INDEXES for event in ("ai", "ad", "au")),
        *(f"DROP TABLE IF EXISTS {index.name}" for index in _INDEXES),
        "DROP VIEW IF EXISTS context_document_texts",
    ),
)

POSTGRESQL = DatabaseKept(
    create=(_WORDS, _TERMS, *(statement for index in _INDEXES for statement in index.on_postgresql())),
    drop=(
        *(f"DROP FUNCTION IF EXISTS {index.name}() CASCADE" for index in _INDEXES),
        *(f"DROP TABLE IF EXISTS {index.name}" for index in _INDEXES),
        "DROP FUNCTION IF EXISTS agent_system_terms(text)",
        "DROP FUNCTION IF EXISTS agent_system_words(text)",
    ),
)
