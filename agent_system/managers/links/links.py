"""Links: what people shared, saved once, analysed once, and tried again when the analysis failed."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import within
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.managers.core.substring import find_containing
from agent_system.managers.links.extraction import extract_urls, is_url_only, is_valid_url
from agent_system.models import Link
from agent_system.models.naming import name_key
from agent_system.models.urls import normalise_url, url_domain, url_hash, without_credentials
from agent_system.types import LinkStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.types import JsonValue

__all__ = ["LinkManager"]

DEFAULT_LIMIT = 10
SEARCHED = ("domain", "url", "original_url", "title", "main_topic")
# What an analysis says about a link beside its whole result.
SUMMARY = ("title", "main_topic", "reasons_to_care")
# A site that is down is tried after five minutes, then after twice as long each time, at last once a day.
FIRST_RETRY = timedelta(minutes=5)
LONGEST_RETRY = timedelta(days=1)
MOST_DOUBLINGS = 9


class LinkManager(Manager[Link]):
    """Links: what people shared.

    However an address is written, it is one link: its case, default port, tracking parameters, fragment and last slash
    do not matter. The link keeps its id and the moment of its making whatever happens to it.

    Example:
        >>> async def analyse(url: str) -> dict[str, str]:
        ...     return {"title": "Example", "main_topic": "examples"}
        >>> for url in em.links.extract_urls(message.content):
        ...     link = await em.links.store_with_analysis(url, analyse)
    """

    entity = Link
    kept = frozenset({"url_hash", "domain", "attempts", "retry_at"})

    extract_urls = staticmethod(extract_urls)
    is_url_only = staticmethod(is_url_only)
    validate = staticmethod(is_valid_url)
    normalise_url = staticmethod(normalise_url)

    def normalise(self, values: dict[str, Any]) -> None:
        """Write an address in its one spelling, with what it is looked up by."""
        if "url" in values:
            given = values["url"]
            url = values["url"] = normalise_url(given)
            values["url_hash"], values["domain"] = url_hash(url), url_domain(url)
            if values.get("original_url") is None:
                values["original_url"] = without_credentials(given)

    # Saving.

    async def save(self, url: str, **fields: Any) -> Link:
        """Save a link, or change the fields of the one that is there; what is not named stays, an analysis too.

        Args:
            url: Its address, however written.
            fields: Other columns, such as title or meta.

        Raises:
            ValidationError: The address is none, or a field was refused.
        """
        now = self._clock()
        values = self.new_values({"timestamp": now, "created_at": now, "updated_at": now, "url": url, **fields})
        insert = self.insertion(values)
        changes = self.store.validator.change_values(fields) if fields else {}

        def work(executor: Executor) -> dict[str, Any]:
            key = self.store.find_key(executor, {"url_hash": values["url_hash"]})
            if key is None:
                insert(executor)
                return values
            return self.store.change(executor, key, {**changes, "updated_at": now})

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def store_with_analysis(
        self, url: str, analyse: Callable[[str], Awaitable[JsonValue]], *, refresh: bool = False
    ) -> Link:
        """Save a link with what an analysis finds out; one that was analysed already is returned as it is.

        The analysis runs outside of any transaction. When it raises, the failure is kept with the link, an earlier
        analysis stays, and the error goes on to the caller; the next call tries again.

        Args:
            url: The address, however written.
            analyse: Gets the address as it was written, and returns what it found out as JSON; its title, main_topic
                and reasons_to_care become the link's.
            refresh: Analyse again what was analysed already.

        Raises:
            ValidationError: The address is none, or the result is no JSON.
        """
        link = await self.save(url)
        if link.analysis_status == LinkStatus.SUCCESS and not refresh:
            return link
        try:
            return await self.record_analysis(link.id, await analyse(without_credentials(url)))
        # Whatever the caller's own code raises is kept with the link before the caller gets it.
        except Exception as exc:
            with suppress(NotFoundError):
                await self._fail({"id": link.id}, exc, spare_success=not refresh)
            raise

    async def record_analysis(self, id: int, result: JsonValue) -> Link:  # noqa: A002
        """Keep what an analysis found out.

        Args:
            id: Key of the link.
            result: Any JSON; the texts title, main_topic and reasons_to_care of an object become the link's.

        Raises:
            NotFoundError: There is no such link.
            ValidationError: The result is no JSON.
        """
        summary = {key: result[key] for key in SUMMARY if isinstance(result, dict) and isinstance(result.get(key), str)}
        given = {**summary, "analysis_result": result, "analysis_status": LinkStatus.SUCCESS, "error_message": None}
        changes = self.store.validator.change_values(given)
        changes |= {"attempts": 0, "retry_at": None, "timestamp": self._clock(), "updated_at": self._clock()}
        key = self.store.keys.existing(id)
        values = await self.run(lambda executor: self.store.change(executor, key, changes))
        return self.plans.hydrate.build(values)

    async def mark_failed(self, id: int, error: BaseException | str) -> Link:  # noqa: A002
        """Keep that an analysis failed, and when it is worth another try; what an earlier one found out stays.

        Args:
            id: Key of the link.
            error: Why.

        Raises:
            NotFoundError: There is no such link.
        """
        return await self._fail(self.store.keys.existing(id), error)

    async def _fail(self, key: Mapping[str, Any], error: BaseException | str, *, spare_success: bool = False) -> Link:
        """Keep a failure, unless somebody else has succeeded in the meantime and that is to be spared."""
        message = str(error) or type(error).__name__
        now = self._clock()

        def revise(_executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
            if spare_success and before["analysis_status"] == LinkStatus.SUCCESS:
                changes.clear()
                return
            wait = min(FIRST_RETRY * 2 ** min(before["attempts"], MOST_DOUBLINGS), LONGEST_RETRY)
            changes |= {"attempts": before["attempts"] + 1, "retry_at": now + wait}

        changes = {"analysis_status": LinkStatus.ERROR, "error_message": message, "updated_at": now}
        values = await self.run(lambda executor: self.store.change(executor, key, changes, check=revise))
        return self.plans.hydrate.build(values)

    async def clean_up(self, older_than: timedelta) -> int:
        """Delete the links that were shared and analysed longer ago than this; returns how many.

        Raises:
            ValidationError: The time is negative.
        """
        if older_than < timedelta(0):
            message = f"older_than must not be negative, but is {older_than}"
            raise ValidationError(message, field="older_than", entity=self.store.name)
        table = self.plans.table
        return await delete_in_parts(self._db, table, [table.c.timestamp < self._clock() - older_than])

    # Finding.

    async def get_by_url(self, url: str) -> Link | None:
        """Return the link of an address, however written; None when there is none, or when it is no address."""
        if not is_valid_url(url):
            return None
        return await self.find_one(url_hash=url_hash(normalise_url(url)))

    async def recent(self, days: float = 7.0, limit: int = DEFAULT_LIMIT) -> builtins.list[Link]:
        """Return the links of the last days, the newest first."""
        return await self._newest(self.plans.columns["timestamp"] >= self._clock() - timedelta(days=days), limit=limit)

    async def by_domain(self, domain: str, limit: int = DEFAULT_LIMIT) -> builtins.list[Link]:
        """Return the links of a host, the newest first; case, script, `www.` and port do not matter.

        Args:
            domain: The host, or any address on it.
            limit: At most so many.
        """
        address = domain if "//" in domain else f"https://{domain}"
        if not is_valid_url(address):
            return []
        return await self._newest(self.plans.columns["domain"] == url_domain(normalise_url(address)), limit=limit)

    async def by_topic(self, topic: str, limit: int = DEFAULT_LIMIT) -> builtins.list[Link]:
        """Return the links of a topic, whatever its case, the newest first."""
        return await self._newest(self.plans.columns["main_topic_key"] == name_key(topic), limit=limit)

    async def search(
        self, text: str, limit: int = DEFAULT_LIMIT, *, since: datetime | None = None, until: datetime | None = None
    ) -> builtins.list[Link]:
        """Return links with a text in their domain, address, title or topic, whatever the case, the newest first.

        Args:
            text: What to look for; every character stands for itself. An empty one finds nothing.
            limit: At most so many.
            since: Only links that were shared or analysed from this moment on.
            until: Only links that were shared or analysed before this moment.

        Raises:
            ValidationError: The text is too long, or a moment has no time zone.
        """
        between = within(self.plans.columns["timestamp"], since, until)
        return await find_containing(self, text, SEARCHED, limit, between)

    async def due_for_retry(
        self, limit: int = DEFAULT_LIMIT, *, max_attempts: int | None = None
    ) -> builtins.list[Link]:
        """Return the links whose analysis failed and is worth another try by now, the longest due first.

        Args:
            limit: At most so many.
            max_attempts: Only those that failed less often.
        """
        columns = self.plans.columns
        due = [columns["analysis_status"] == LinkStatus.ERROR, columns["retry_at"] <= self._clock()]
        if max_attempts is not None:
            due.append(columns["attempts"] < max_attempts)
        return await self.select(self.query().where(*due).order_by(columns["retry_at"], columns["id"]).limit(limit))

    async def status_counts(self) -> dict[LinkStatus, int]:
        """Count the links in each status; all of them are listed."""
        status = self.plans.columns["analysis_status"]
        statement = select(status, func.count()).group_by(status)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return dict.fromkeys(LinkStatus, 0) | {row[0]: row[1] for row in rows}

    async def _newest(self, *conditions: ColumnElement[bool], limit: int) -> builtins.list[Link]:
        columns = self.plans.columns
        newest = (columns["timestamp"].desc(), columns["id"].desc())
        return await self.select(self.query().where(*conditions).order_by(*newest).limit(limit))
