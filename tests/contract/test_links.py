"""Links: saved once however written, analysed once, and kept whatever happens to the analysis."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system import EntityManager
from agent_system.errors import DuplicateKeyError, NotFoundError, ValidationError
from agent_system.models import Link
from agent_system.types import LinkStatus
from tests.clock import NOW, Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager

URL = "https://example.com/a"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


class Analyst:
    """Analyses links by what a test says, and counts."""

    def __init__(self, result: Any = None) -> None:
        self.result = {"title": "A", "main_topic": "Ideas"} if result is None else result
        self.seen: list[str] = []

    async def __call__(self, url: str) -> Any:
        self.seen.append(url)
        await asyncio.sleep(0)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def urls(links: list[Link]) -> list[str]:
    return [link.url.rsplit("/", 1)[1] for link in links]


async def test_a_link_is_saved_once_however_it_is_written(em: EntityManager, clock: Clock) -> None:
    first = await em.links.save(" HTTPS://User:pw@Example.COM:443/a/?utm_source=x#frag ", title="A")
    assert (first.url, first.domain, first.analysis_status) == (URL, "example.com", LinkStatus.PENDING)
    assert first.original_url == "HTTPS://Example.COM:443/a/?utm_source=x#frag"
    clock.move(days=1)
    second = await em.links.save(URL, reasons_to_care="none")
    assert (second.id, second.created_at, second.timestamp) == (first.id, first.created_at, NOW)
    assert (second.title, second.reasons_to_care, second.original_url) == ("A", "none", first.original_url)
    assert second.updated_at == NOW + timedelta(days=1)
    for spelling in (URL, "https://example.com/a/", "https://EXAMPLE.com/a?fbclid=1"):
        assert await em.links.get_by_url(spelling) == second
    assert await em.links.get_by_url("https://example.com/A") is None
    assert await em.links.get_by_url("nonsense") is None
    assert await em.links.count() == 1


async def test_many_who_save_a_link_at_once_save_one(em: EntityManager) -> None:
    spellings = ["https://example.com/a", "https://example.com/a/", "HTTPS://example.com/a#x", f"{URL}?gclid=1"]
    saved = await asyncio.gather(*(em.links.save(spellings[number % 4]) for number in range(64)))
    assert len({link.id for link in saved}) == 1
    assert await em.links.count() == 1


async def test_the_verbs_of_every_manager_know_the_spelling_too(em: EntityManager) -> None:
    link = await em.links.create({"url": "HTTPS://Example.com/a/"})
    assert (link.url, link.original_url) == (URL, "HTTPS://Example.com/a/")
    with pytest.raises(DuplicateKeyError):
        await em.links.create({"url": f"{URL}#again"})
    assert (await em.links.upsert({"url": f"{URL}/", "title": "A"}, on=("url",))).id == link.id
    moved = await em.links.update(link.id, {"url": "http://пример.рф/b/"})
    assert (moved.url, moved.domain) == ("http://xn--e1afmkfd.xn--p1ai/b", "пример.рф")
    assert await em.links.get_by_url(URL) is None
    assert await em.links.get_by_url("http://ПРИМЕР.рф/b") == moved


async def test_a_session_keeps_the_spelling_as_well(em: EntityManager, database: DatabaseManager) -> None:
    async with database.session() as session:
        session.add(Link(url="HTTPS://Example.com/a/", main_topic="Ideas"))
        await session.commit()
    link = await em.links.get_by_url(URL)
    assert link is not None
    assert (link.url, link.domain, link.original_url) == (URL, "example.com", "HTTPS://Example.com/a/")
    assert [one.id for one in await em.links.by_topic("IDEAS")] == [link.id]
    async with database.session() as session:
        row = await session.get_one(Link, link.id)
        row.url = "https://example.org//"
        await session.commit()
    moved = await em.links.get_by_url("https://example.org")
    assert moved is not None
    assert (moved.id, moved.domain) == (link.id, "example.org")


async def test_an_analysis_is_kept_and_not_repeated(em: EntityManager, clock: Clock) -> None:
    result = {"title": "Tïtle 🚀", "main_topic": "Ideas", "reasons_to_care": "many", "score": [1, None, {"nul": "\0"}]}
    analyst = Analyst(result)
    link = await em.links.store_with_analysis(f"{URL}?utm_source=x", analyst)
    assert (link.analysis_status, link.analysis_result) == (LinkStatus.SUCCESS, result)
    assert (link.title, link.main_topic, link.reasons_to_care) == ("Tïtle 🚀", "Ideas", "many")
    clock.move(hours=1)
    cached = await em.links.store_with_analysis(f"{URL}#again", analyst)
    assert analyst.seen == [f"{URL}?utm_source=x"]
    assert cached.model_dump(exclude={"updated_at"}) == link.model_dump(exclude={"updated_at"})
    assert cached.updated_at == NOW + timedelta(hours=1)
    analyst.result = {"title": "New"}
    again = await em.links.store_with_analysis(URL, analyst, refresh=True)
    assert (again.id, again.created_at) == (link.id, link.created_at)
    assert (again.analysis_result, again.title, again.main_topic) == ({"title": "New"}, "New", "Ideas")
    assert again.timestamp == NOW + timedelta(hours=1)


async def test_what_is_kept_is_json(em: EntityManager, database: DatabaseManager) -> None:
    result = {"quote": 'It\'s "so"', "none": None, "yes": True, "text": "многоязычный"}
    await em.links.store_with_analysis(URL, Analyst(result))
    stored = await database.read(lambda executor: executor.execute(text("SELECT analysis_result FROM links")).scalar())
    assert (json.loads(stored) if isinstance(stored, str) else stored) == result


async def test_a_failure_is_kept_and_tried_again(em: EntityManager) -> None:
    analyst = Analyst(TimeoutError("429 rate limited"))
    for attempt, minutes in ((1, 5), (2, 10), (3, 20)):
        with pytest.raises(TimeoutError):
            await em.links.store_with_analysis(URL, analyst)
        (link,) = await em.links.find()
        assert (link.analysis_status, link.error_message) == (LinkStatus.ERROR, "429 rate limited")
        assert (link.attempts, link.retry_at) == (attempt, NOW + timedelta(minutes=minutes))
    analyst.result = {"title": "At last"}
    healed = await em.links.store_with_analysis(URL, analyst)
    assert (healed.id, healed.analysis_status) == (link.id, LinkStatus.SUCCESS)
    assert (healed.error_message, healed.attempts, healed.retry_at) == (None, 0, None)
    assert len(analyst.seen) == 4
    for _ in range(12):
        link = await em.links.mark_failed(link.id, ValueError())
    assert link.retry_at == NOW + timedelta(days=1)
    assert link.error_message == "ValueError"
    # What an earlier analysis has found out stays.
    assert (link.analysis_status, link.analysis_result) == (LinkStatus.ERROR, {"title": "At last"})


async def test_a_result_that_is_no_json_is_a_failure(em: EntityManager) -> None:
    for result in ({"bad": float("nan")}, {"set": {1}}):
        with pytest.raises(ValidationError, match="analysis_result"):
            await em.links.store_with_analysis(URL, Analyst(result))
    (link,) = await em.links.find()
    assert (link.analysis_status, link.attempts) == (LinkStatus.ERROR, 2)
    assert (await em.links.store_with_analysis(URL, Analyst(["any", "json"]))).analysis_result == ["any", "json"]


async def test_a_late_failure_does_not_undo_a_success(em: EntityManager) -> None:
    is_done, may_fail = asyncio.Event(), asyncio.Event()

    async def fail_late(_: str) -> Any:
        is_done.set()
        await may_fail.wait()
        raise TimeoutError

    late = asyncio.create_task(em.links.store_with_analysis(URL, fail_late))
    await is_done.wait()
    await em.links.store_with_analysis(URL, Analyst())
    may_fail.set()
    with pytest.raises(TimeoutError):
        await late
    link = await em.links.get_by_url(URL)
    assert link is not None
    assert (link.analysis_status, link.attempts, link.error_message) == (LinkStatus.SUCCESS, 0, None)


async def test_a_cancelled_analysis_leaves_the_link_as_it_was(em: EntityManager) -> None:
    begun = asyncio.Event()

    async def wait(_: str) -> Any:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(em.links.store_with_analysis(URL, wait))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (link,) = await em.links.find()
    assert (link.analysis_status, link.attempts) == (LinkStatus.PENDING, 0)


async def test_a_link_that_is_deleted_while_it_is_analysed_does_not_hide_the_error(em: EntityManager) -> None:
    async def delete_and_fail(_: str) -> Any:
        (link,) = await em.links.find()
        await em.links.delete(link.id)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await em.links.store_with_analysis(URL, delete_and_fail)
    assert await em.links.count() == 0


async def test_what_is_due_for_another_try(em: EntityManager, clock: Clock) -> None:
    for name in "abc":
        await em.links.save(f"https://example.com/{name}")
    links = {link.url[-1]: link.id for link in await em.links.find()}
    await em.links.mark_failed(links["b"], "first")
    clock.move(minutes=1)
    for _ in range(2):
        await em.links.mark_failed(links["a"], "second")
    assert await em.links.due_for_retry() == []
    clock.move(minutes=4)
    assert urls(await em.links.due_for_retry()) == ["b"]
    clock.move(minutes=6)
    assert urls(await em.links.due_for_retry()) == ["b", "a"]
    assert urls(await em.links.due_for_retry(1)) == ["b"]
    assert urls(await em.links.due_for_retry(max_attempts=2)) == ["b"]
    await em.links.record_analysis(links["b"], None)
    assert urls(await em.links.due_for_retry()) == ["a"]


async def test_recent_links_and_those_of_a_domain_or_a_topic(em: EntityManager, clock: Clock) -> None:
    for name, topic in (("a", "Ideas"), ("b", "ΙΔΕΕΣ"), ("c", None)):
        await em.links.save(f"https://www.Example.com:8080/{name}", main_topic=topic)
        await em.links.save(f"https://пример.рф/{name}")
        clock.move(days=1)
    with recorded_statements() as statements:
        assert urls(await em.links.recent(days=2, limit=3)) == ["c", "c", "b"]
        assert urls(await em.links.by_domain("example.com")) == ["c", "b", "a"]
        assert urls(await em.links.by_topic("ιδεες")) == ["b"]
    assert len(statements) == 3
    for spelling in ("WWW.EXAMPLE.COM", "example.com:8080", "https://example.com/x", "http://example.com"):
        assert urls(await em.links.by_domain(spelling, limit=1)) == ["c"]
    for spelling in ("ПРИМЕР.рф", "xn--e1afmkfd.xn--p1ai"):
        assert urls(await em.links.by_domain(spelling, limit=2)) == ["c", "b"]
    assert await em.links.by_domain("") == []
    assert await em.links.by_domain("no domain") == []
    assert await em.links.by_topic("id") == []


async def test_search_looks_into_all_that_people_read(em: EntityManager, clock: Clock) -> None:
    await em.links.save("https://example.com/путь?q=100%", title="Straße 100%_wild", main_topic="Über alles")
    clock.move(days=1)
    await em.links.save("https://пример.рф/x", title="other")
    with recorded_statements() as statements:
        assert len(await em.links.search("EXAMPLE")) == 1
    assert len(statements) == 1
    for term in ("STRAßE", "100%_W", "über", "ПУТЬ", "%D0%BF", "example.com/"):
        assert [link.title for link in await em.links.search(term)] == ["Straße 100%_wild"], term
    assert [link.title for link in await em.links.search("ПРИМЕР")] == ["other"]
    assert [link.title for link in await em.links.search("e")] == ["other", "Straße 100%_wild"]
    assert [link.title for link in await em.links.search("e", 1)] == ["other"]
    assert [link.title for link in await em.links.search("e", until=NOW + timedelta(days=1))] == ["Straße 100%_wild"]
    assert [link.title for link in await em.links.search("e", since=NOW + timedelta(days=1))] == ["other"]
    for term in ("", "%%", "1000", "_____", "*", "x' OR 1=1 --"):
        assert await em.links.search(term) == [], term
    with pytest.raises(ValidationError, match="since"):
        await em.links.search("e", since=datetime(2026, 1, 1))  # noqa: DTZ001 (refused)


async def test_counts_and_clean_up(em: EntityManager, clock: Clock) -> None:
    assert await em.links.status_counts() == {LinkStatus.PENDING: 0, LinkStatus.SUCCESS: 0, LinkStatus.ERROR: 0}
    await em.links.save("https://example.com/old")
    await em.links.store_with_analysis("https://example.com/analysed", Analyst())
    clock.move(days=40)
    await em.links.store_with_analysis("https://example.com/analysed", Analyst(), refresh=True)
    link = await em.links.save("https://example.com/new")
    await em.links.mark_failed(link.id, "no")
    assert await em.links.status_counts() == {LinkStatus.PENDING: 1, LinkStatus.SUCCESS: 1, LinkStatus.ERROR: 1}
    assert await em.links.clean_up(timedelta(days=41)) == 0
    assert await em.links.clean_up(timedelta(days=30)) == 1
    assert urls(await em.links.find()) == ["analysed", "new"]
    with pytest.raises(ValidationError, match="older_than"):
        await em.links.clean_up(timedelta(days=-1))


async def test_long_addresses_are_kept_and_too_long_ones_refused(em: EntityManager) -> None:
    # Random enough that no engine can make it short.
    path = "".join(f"{number * 2_654_435_761 % 2**32:08x}" for number in range(497))
    long = f"https://example.com/{path}"
    assert len(long) == 3_996
    saved = await em.links.save(f"{long}#x")
    assert saved.url == long
    assert await em.links.get_by_url(long) == saved
    assert (await em.links.save(long)).id == saved.id
    with pytest.raises(ValidationError, match="at most 8000") as caught:
        await em.links.save(f"https://example.com/{'a' * 8_000}")
    assert caught.value.field == "url"


async def test_bad_links_are_refused(em: EntityManager) -> None:
    for url in ("", "example.com", "ftp://example.com/", "https://"):
        assert not em.links.validate(url)
        with pytest.raises(ValidationError) as caught:
            await em.links.save(url)
        assert caught.value.field == "url"
        with pytest.raises(ValidationError):
            await em.links.store_with_analysis(url, Analyst())
    for fields, field in (({"domain": "x"}, "domain"), ({"title": 3}, "title"), ({"colour": "red"}, "colour")):
        bad: dict[str, Any] = fields
        with pytest.raises(ValidationError) as caught:
            await em.links.save(URL, **bad)
        assert caught.value.field == field
    for verb in (em.links.mark_failed(7, "no"), em.links.record_analysis(7, None)):
        with pytest.raises(NotFoundError):
            await verb
    assert await em.links.count() == 0
    assert em.links.normalise_url("HTTPS://Example.com") == "https://example.com/"
    assert em.links.extract_urls(f"See {URL}.") == [URL]
    assert em.links.is_url_only(URL)
