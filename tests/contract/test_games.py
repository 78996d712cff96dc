"""Games: one active game per player and type, and who has the best scores."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import DuplicateKeyError, NotFoundError, ValidationError
from agent_system.types import GameStatus
from tests.clock import NOW, Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def play(em: EntityManager, player: str, *scores: int, game_type: str = "snake") -> None:
    for score in scores:
        game = await em.games.save(player, game_type)
        await em.games.end(game.id, score)


async def test_saving_goes_on_with_the_active_game(em: EntityManager, clock: Clock) -> None:
    first = await em.games.save("ada", "snake", score=10, state_data={"board": [0, None, "\0"]})
    assert (first.status, first.score, first.level, first.ended_at) == (GameStatus.ACTIVE, 10, 1, None)
    clock.move(minutes=1)
    second = await em.games.save("ada", "snake", level=2)
    assert (second.id, second.score, second.level) == (first.id, 10, 2)
    assert second.state_data == {"board": [0, None, "\0"]}
    assert second.updated_at == NOW + timedelta(minutes=1)
    other = await em.games.save("ada", "chess")
    assert other.id != first.id
    assert await em.games.active("ada", "snake") == second
    assert await em.games.active("grace", "snake") is None
    clock.move(minutes=1)
    saved = await em.games.save("ada", "snake")
    assert await em.games.active("ada") == saved
    assert (await em.identities.require("ada")).display_name == "ada"


async def test_many_who_save_at_once_save_one_game(em: EntityManager) -> None:
    games = await asyncio.gather(*(em.games.save("ada", "snake", score=number) for number in range(64)))
    assert len({game.id for game in games}) == 1
    assert await em.games.count() == 1
    assert await em.identities.count() == 1


async def test_the_database_knows_one_active_game_only(em: EntityManager) -> None:
    game = await em.games.create({"user_id": "ada", "game_type": "snake"})
    with pytest.raises(DuplicateKeyError):
        await em.games.create({"user_id": "ada", "game_type": "snake"})
    await em.games.end(game.id)
    again = await em.games.create({"user_id": "ada", "game_type": "snake"})
    with pytest.raises(DuplicateKeyError):
        await em.games.update(game.id, {"status": "active"})
    assert await em.games.active("ada", "snake") == again


async def test_a_game_is_ended_once(em: EntityManager, clock: Clock) -> None:
    game = await em.games.save("ada", "snake", score=10)
    clock.move(minutes=5)
    outcomes = await asyncio.gather(*(em.games.end(game.id, score) for score in range(100, 108)))
    assert len({(one.status, one.score, one.ended_at) for one in outcomes}) == 1
    (ended,) = await em.games.find()
    assert (ended.status, ended.ended_at) == (GameStatus.COMPLETED, NOW + timedelta(minutes=5))
    assert ended.score in range(100, 108)
    assert await em.games.active("ada") is None
    # The next one is a game of its own.
    following = await em.games.save("ada", "snake")
    assert (following.id != game.id, following.score) == (True, 0)
    assert (await em.games.end(following.id, abandoned=True)).status is GameStatus.ABANDONED
    with pytest.raises(NotFoundError):
        await em.games.end(2**40)


async def test_statistics_of_a_player(em: EntityManager) -> None:
    assert await em.games.statistics("ada") == []
    await play(em, "ada", 10, 40)
    given_up = await em.games.save("ada", "snake", level=7)
    await em.games.end(given_up.id, 1_000, abandoned=True)
    await em.games.save("ada", "snake", score=500)
    await em.games.save("ada", "chess")
    await play(em, "grace", 99)
    with recorded_statements() as statements:
        chess, snake = await em.games.statistics("ada")
    assert len(statements) == 1
    assert (snake.game_type, snake.games, snake.completed, snake.active) == ("snake", 4, 2, 1)
    assert (snake.best_score, snake.average_score, snake.highest_level) == (40, 25.0, 7)
    assert (chess.games, chess.active, chess.best_score, chess.average_score) == (1, 1, None, None)


async def test_the_leaderboard_has_each_player_once_with_the_best_score(em: EntityManager) -> None:
    await em.identities.create({"id": "ada", "display_name": "Ada"})
    await play(em, "ada", 10, 40, 20)
    await play(em, "grace", 99)
    await play(em, "joan", -5)
    await play(em, "ada", 5_000, game_type="chess")
    await em.games.save("kay", "snake", score=9_999)
    with recorded_statements() as statements:
        board = await em.games.leaderboard("snake")
    assert len(statements) == 1
    assert [(entry.display_name, entry.best_score, entry.games) for entry in board] == [
        ("grace", 99, 1), ("Ada", 40, 3), ("joan", -5, 1),
    ]  # fmt: skip
    assert [entry.user_id for entry in await em.games.leaderboard("snake", limit=1)] == ["grace"]
    assert await em.games.leaderboard("go") == []


async def test_games_go_with_their_player_and_with_time(em: EntityManager, clock: Clock) -> None:
    await em.games.save("ada", "snake")
    await play(em, "grace", 1)
    clock.move(days=100)
    await em.games.save("ada", "snake")
    await em.games.save("joan", "snake")
    assert await em.games.clean_up(timedelta(days=101)) == 0
    assert await em.games.clean_up(timedelta(days=90)) == 1
    assert {game.user_id for game in await em.games.find()} == {"ada", "joan"}
    await em.identities.delete("joan")
    assert await em.games.count() == 1
    with pytest.raises(ValidationError, match="older_than"):
        await em.games.clean_up(timedelta(days=-1))


async def test_bad_games_are_refused(em: EntityManager) -> None:
    for fields, field in (
        ({"score": 1.5}, "score"),
        ({"score": 2**63}, "score"),
        ({"status": "completed"}, "status"),
        ({"colour": "red"}, "colour"),
        ({"state_data": float("nan")}, "state_data"),
    ):
        bad: dict[str, Any] = fields
        with pytest.raises(ValidationError) as caught:
            await em.games.save("ada", "snake", **bad)
        assert caught.value.field == field
    game = await em.games.save("ada", "snake")
    with pytest.raises(ValidationError, match="user_id"):
        await em.games.update(game.id, {"user_id": "grace"})
    score: Any = "10"
    with pytest.raises(ValidationError, match="score"):
        await em.games.end(game.id, score)
    assert (await em.games.require(game.id)).status is GameStatus.ACTIVE
