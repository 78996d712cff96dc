"""Games: one active game per player and type, scores, and who has the best of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, case, func, select

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.models import Game, metadata
from agent_system.types import GameStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence

    from agent_system.database.executor import Executor
    from agent_system.managers.users.identity_writer import IdentityWriter

__all__ = ["GameManager", "GameStatistics", "LeaderboardEntry"]

_games = metadata.tables["games"]
_identities = metadata.tables["user_identities"]

DEFAULT_LIMIT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class GameStatistics:
    """What the games of one type add up to for one player."""

    game_type: str
    games: int
    completed: int
    active: int
    best_score: int | None
    """The best score of a completed game; None without any."""
    average_score: float | None
    """The average score of the completed games; None without any."""
    highest_level: int
    """The highest level of any game."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaderboardEntry:
    """A player's place among all."""

    user_id: str
    display_name: str
    best_score: int
    games: int
    """Completed games."""


class GameManager(Manager[Game]):
    """Games that people play. A player has at most one active game of a type.

    A player who was not seen before gets an identity in the same transaction.

    Example:
        >>> await em.games.save("ada", "snake", score=10, state_data={"board": [0, 1]})
        >>> game = await em.games.active("ada", "snake")
        >>> await em.games.end(game.id, score=42)
    """

    entity = Game
    fixed = frozenset({"user_id", "game_type"})

    @cached_property
    def _players(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a game, and the identity of its player unless it is there."""
        insert = super().insertion(values, audit=audit)

        def write(executor: Executor) -> None:
            self._players.ensure(executor, values["user_id"])
            insert(executor)

        return write

    async def save(self, user_id: str, game_type: str, **fields: Any) -> Game:
        """Save the player's active game of a type: change the one that there is, or begin one.

        Many who save at once save one game, and what one of them does not name stays as the others left it.

        Args:
            user_id: The player.
            game_type: Which game.
            fields: What to keep: score, level, state_data, meta.

        Raises:
            ValidationError: A field was refused.
        """
        if "status" in fields:
            message = "a game that is saved is active; `end` ends it"
            raise ValidationError(message, field="status", entity=self.store.name)
        now = self._clock()
        begun = {"created_at": now, "updated_at": now, "user_id": user_id, "game_type": game_type}
        values = self.new_values({**begun, **fields})
        insert = self.insertion(values)
        changes = self.store.validator.change_values(fields) if fields else {}
        of_player = {"user_id": user_id, "game_type": game_type, "status": GameStatus.ACTIVE}

        def work(executor: Executor) -> dict[str, Any]:
            key = self.store.find_key(executor, of_player)
            if key is None:
                insert(executor)
                return values
            return self.store.change(executor, key, {**changes, "updated_at": now})

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def active(self, user_id: str, game_type: str | None = None) -> Game | None:
        """Return the player's active game, of any type the one that was saved last; None when there is none."""
        columns = self.plans.columns
        wanted = self.query({"user_id": user_id, "status": GameStatus.ACTIVE})
        if game_type is not None:
            wanted = wanted.where(columns["game_type"] == game_type)
        found = await self.select(wanted.order_by(columns["updated_at"].desc(), columns["id"].desc()).limit(1))
        return found[0] if found else None

    async def end(self, id: int, score: int | None = None, *, abandoned: bool = False) -> Game:  # noqa: A002
        """End a game; one that has ended already is returned as it is.

        Args:
            id: Key of the game.
            score: The final score; None keeps the last one that was saved.
            abandoned: The player gave up; the game counts neither for statistics of scores nor for the leaderboard.

        Raises:
            NotFoundError: There is no such game.
            ValidationError: The score is none.
        """
        now = self._clock()

        def ended(game: Any) -> dict[str, Any]:
            if game["status"] != GameStatus.ACTIVE:
                return {}
            status = GameStatus.ABANDONED if abandoned else GameStatus.COMPLETED
            return {"status": status, "ended_at": now} | ({} if score is None else {"score": score})

        return await self.revise(id, ended)

    async def statistics(self, user_id: str) -> builtins.list[GameStatistics]:
        """Add up the games of a player, by type."""
        completed = _games.c.status == GameStatus.COMPLETED
        score = case((completed, _games.c.score))
        statement = (
            select(
                _games.c.game_type,
                func.count(),
                func.count(score),
                func.count(case((_games.c.status == GameStatus.ACTIVE, 1))),
                func.max(score),
                func.avg(score, type_=Float()),
                func.max(_games.c.level),
            )
            .where(_games.c.user_id == user_id)
            .group_by(_games.c.game_type)
            .order_by(_games.c.game_type)
        )
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [
            GameStatistics(
                game_type=row[0],
                games=row[1],
                completed=row[2],
                active=row[3],
                best_score=row[4],
                average_score=None if row[5] is None else float(row[5]),
                highest_level=row[6],
            )
            for row in rows
        ]

    async def leaderboard(self, game_type: str, limit: int = DEFAULT_LIMIT) -> builtins.list[LeaderboardEntry]:
        """Return the players with the best scores in completed games of a type, each once, by one statement."""
        best = func.max(_games.c.score)
        statement = (
            select(_games.c.user_id, _identities.c.display_name, best, func.count())
            .select_from(_games.join(_identities, _identities.c.id == _games.c.user_id))
            .where(_games.c.game_type == game_type, _games.c.status == GameStatus.COMPLETED)
            .group_by(_games.c.user_id, _identities.c.display_name)
            .order_by(best.desc(), _games.c.user_id)
            .limit(limit)
        )
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [LeaderboardEntry(user_id=row[0], display_name=row[1], best_score=row[2], games=row[3]) for row in rows]

    async def clean_up(self, older_than: timedelta) -> int:
        """Delete the games that nobody has played for longer than this, ended or not; returns how many.

        Raises:
            ValidationError: The time is negative.
        """
        if older_than < timedelta(0):
            message = f"older_than must not be negative, but is {older_than}"
            raise ValidationError(message, field="older_than", entity=self.store.name)
        return await delete_in_parts(self._db, _games, [_games.c.updated_at < self._clock() - older_than])
