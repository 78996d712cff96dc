"""What was brought over from older systems: every import, and which row here came of which row there."""

from datetime import datetime
from uuid import UUID

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    REQUIRED,
    created_at_field,
    flag_field,
    json_object_field,
    moment_field,
    present_index,
    reference,
    text_field,
    updated_at_field,
    uuid_key,
)
from agent_system.types import JsonObject

__all__ = ["Import", "ImportedRow"]


class Import(TableModel, table=True):
    """One import of one file that wrote something; an import that found everything here already leaves no row."""

    __tablename__ = "imports"

    id: UUID = uuid_key("Key of the import, a UUIDv7.")
    system: str = text_field("The system that the file belongs to, such as tomcounsell.")
    file_name: str = text_field("Name of the file, without its folder.")
    source_digest: str = text_field("SHA-256 of the file and its log as they were read, hexadecimal.", index=True)
    report: JsonObject = json_object_field("Counts for each table of the file; empty while the import goes on.")
    finished_at: datetime | None = moment_field("When it ended; null: it goes on, or it was killed.")
    created_at: datetime = created_at_field("When it wrote its first row, in UTC.")
    updated_at: datetime = updated_at_field()


class ImportedRow(TableModel, table=True):
    """That a row of an older system is here, under which key; what makes an import repeatable.

    The key is a digest of what the row is known by in its system, whatever file it stands in: a second import of the
    same row, from the same file or from another one, finds it.
    """

    __tablename__ = "imported_rows"
    __table_args__ = (
        # Those whose references to rows of their own table are still to be set: few, and only until the table is over.
        present_index("unlinked_in"),
        {"sqlite_with_rowid": False},
    )

    id: UUID = uuid_key("Digest of what the row is known by in its system.")
    import_id: UUID = reference(
        "imports.id", "The import that wrote it.", ondelete="CASCADE", default=REQUIRED, index=True
    )
    source_table: str = text_field("The table of the older system.")
    target_table: str = text_field("The table here.")
    target_key: str | None = text_field(
        "Key of the row here, as text; null where it is the same text as in the older system.", None
    )
    is_merged: bool = flag_field("Whether the row here was there before.", default=False)
    unlinked_in: str | None = text_field(
        "The older system's table whose rows it still has to be linked to; null when nothing is left to do.", None
    )
    created_at: datetime = created_at_field()
