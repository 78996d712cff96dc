"""Games that people play with an agent."""

from datetime import datetime

from sqlalchemy import Index

from agent_system.models.base import TableModel
from agent_system.models.columns import Text
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    created_at_field,
    enum_check,
    enum_field,
    int_field,
    int_key,
    json_field,
    meta_field,
    moment_field,
    partial_index,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.types import GameStatus, Int64, JsonObject, JsonValue, RowId

__all__ = ["Game"]


class Game(TableModel, table=True):
    """One game of one player."""

    __tablename__ = "games"
    __table_args__ = (
        Index("idx_games_user_status", "user_id", "status", "updated_at"),
        Index("idx_games_user_type", "user_id", "game_type"),
        partial_index("user_id", "game_type", where="status = 'active'", name="uq_games_active", unique=True),
        Index("idx_games_type_score", "game_type", "score"),
        Index("idx_games_updated_at", "updated_at"),
        enum_check("status", GameStatus),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the game.")
    user_id: str = reference("user_identities.id", "The player.", ondelete="CASCADE", key=Text, default=REQUIRED)
    game_type: str = text_field("Which game is played.")
    status: GameStatus = enum_field(GameStatus.ACTIVE, "Where it stands; a player has one active game of a type.")
    score: Int64 = int_field("Points so far; higher is better.", 0)
    level: Int64 = int_field("The level that was reached, from 1.", 1)
    state_data: JsonValue = json_field("Where the pieces stand, as the game keeps it; null before the first move.")
    ended_at: datetime | None = moment_field("When it was over; null while it is played.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()
