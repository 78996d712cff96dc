"""One group of independent writes in one transaction: what is acknowledged is committed, what failed left nothing.

`commit_group` runs on the writer's thread, or for a lone work on the event loop's (`inline_writes.py`). It first runs
all works without savepoints, which is what makes group commit cheap, and those beside each other that are alike
(`Companion`: inserts into one table) by one statement; if that is refused, it has taken itself back, and each of them
runs by itself. Three things can go wrong, and each has its answer:

- A work fails and changed nothing (a refused constraint, a missing row, a version conflict; `total_changes` tells): it
  gets its error, the others go on as if it had not been there.
- A work fails after it changed something: the transaction is rolled back and the group runs again with one savepoint
  around each work, unless it is alone. If even the transaction is gone afterwards (RAISE(ROLLBACK), disk full),
  everything done so far is void, and the group starts again without the culprit.
- COMMIT fails: no savepoint can tell who is to blame, so each work is committed alone. An I/O error at COMMIT is an
  unknown outcome; it is said so and never repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent_system.database.driver import commit, is_busy, require_transaction, sqlite
from agent_system.database.lanes import STOPPED
from agent_system.errors import DatabaseBusyError, OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.database.executor import Executor, SqliteExecutor, Work

__all__ = [
    "Companion",
    "GroupBusyError",
    "Outcome",
    "commit_group",
    "kind_of",
    "seem_one_statement",
    "unknown_because_of",
]

T = TypeVar("T")


class Companion(Protocol):
    """A work without a value that can be done together with others that are alike."""

    def __call__(self, executor: Executor) -> None:
        """Do it alone."""

    def kind(self) -> object | None:
        """Those of one kind can be done together; None when it has to be done alone."""

    def do_with(self, executor: Executor, others: Sequence[Any]) -> None:
        """Do it and then others of its kind; it says nothing to them before all is done."""


class GroupBusyError(Exception):
    """Another process holds the write lock; nothing was run."""


@dataclass(slots=True)
class Outcome:
    """What became of one work: its value, or the error that it gets."""

    value: Any = None
    error: BaseException | None = field(default=None)


# Of a work that has no value, as those have that are done together; outcomes are replaced and never changed.
_NOTHING = Outcome()


class _TransactionGoneError(Exception):
    """The database rolled the whole transaction back under a work."""

    def __init__(self, position: int, error: BaseException) -> None:
        super().__init__(str(error))
        self.position = position
        self.error = error


class _RetryWithSavepointsError(Exception):
    """A work failed half-way; the group must run again with isolation."""


def commit_group(
    executor: SqliteExecutor, works: Sequence[Work[Any]], begun: Callable[[], None] | None = None
) -> list[Outcome]:
    """Run the works in one transaction and commit it.

    Args:
        begun: Called when the transaction has begun, and again when it has to begin anew.

    Returns:
        One outcome per work, in order. Values stand only for what has been committed.

    Raises:
        GroupBusyError: The lock could not be had within the connection's busy timeout; nothing was run.
    """
    if executor.raw.in_transaction:
        executor.raw.rollback()
    try:
        outcomes = _commit_at_once(executor, works, begun) if works and _are_one_statement(works) else None
        return _commit_in_transaction(executor, works, begun) if outcomes is None else outcomes
    finally:
        if executor.journal is not None:
            executor.journal.ended()


def _commit_in_transaction(
    executor: SqliteExecutor, works: Sequence[Work[Any]], begun: Callable[[], None] | None
) -> list[Outcome]:
    raw = executor.raw
    outcomes = [_NOTHING] * len(works)
    alive = list(range(len(works)))
    isolate = False
    while alive:
        _unless_busy(partial(raw.execute, "BEGIN IMMEDIATE"))
        if executor.journal is None:
            executor.schema.began()
        else:
            executor.journal.began()  # It looks at the schema, too.
        try:
            if begun is not None:
                begun()
            _run_all(executor, works, alive, outcomes, isolate=isolate)
        except _TransactionGoneError as gone:
            outcomes[gone.position] = Outcome(error=gone.error)
            alive.remove(gone.position)
            isolate = True
            continue
        except _RetryWithSavepointsError as half:
            raw.rollback()
            if len(alive) == 1:
                # Alone it would fail again; and what a signal's handler has raised in between is to be heard.
                outcomes[alive[0]] = Outcome(error=half.__cause__)
                return outcomes
            isolate = True
            continue
        except BaseException:
            raw.rollback()
            raise
        alive = [position for position in alive if outcomes[position].error is None]
        return _commit(executor, works, alive, outcomes)
    return outcomes


def seem_one_statement(first: Any, last: Any, count: int) -> bool:
    """Whether so many works are one statement, if all are like the first and the last of them."""
    ask = getattr(first, "is_one_statement", None)
    if ask is None or not ask(count):
        return False
    kind = kind_of(first)
    return kind is not None and kind == kind_of(last)


def _are_one_statement(works: Sequence[Work[Any]]) -> bool:
    if not seem_one_statement(works[0], works[-1], len(works)):
        return False
    kind = kind_of(works[0])
    return all(kind_of(work) == kind for work in works[1:-1])


def _commit_at_once(
    executor: SqliteExecutor, works: Sequence[Any], begun: Callable[[], None] | None
) -> list[Outcome] | None:
    """Run works that are one statement without BEGIN and COMMIT; None when it was refused, and nothing was written.

    A statement outside of a transaction is one by itself. So SQLite does all of it in one call, and this thread does
    not have to wait for the interpreter in between, which the event loop may keep for milliseconds.
    """
    raw = executor.raw
    if _unless_busy(executor.halves.are_possible):
        return None
    if executor.journal is not None:
        _unless_busy(executor.journal.began)
    if begun is not None:
        begun()
    before = raw.total_changes
    first, *others = works
    executor.commits_itself = True
    try:
        first.do_with(executor, others)
    except BaseException as exc:
        if is_busy(exc):
            raise GroupBusyError from exc
        if not isinstance(exc, Exception):
            raise  # A signal's handler has raised it, at any place.
        if not _left_nothing(exc, has_counted=raw.total_changes != before):
            return [Outcome(error=unknown_because_of(exc))] * len(works)
        return None
    finally:
        executor.commits_itself = False
    _note_commit(executor)
    return [_NOTHING] * len(works)


def unknown_because_of(cause: BaseException) -> OutcomeUnknownError:
    """What a caller is told when something came in between, and nobody knows whether before or after the commit."""
    error = OutcomeUnknownError()
    error.__cause__ = cause
    return error


def _left_nothing(error: BaseException, *, has_counted: bool) -> bool:
    """Whether a statement that committed itself and failed has surely written nothing."""
    name = getattr(error, "sqlite_errorname", None)
    if name is None:
        # It is not SQLite's, so that it may have come after the commit.
        return not has_counted
    # SQLite takes back what fails, whatever has been counted until then; an I/O error may be that of the commit itself.
    return not name.startswith("SQLITE_IOERR")


def _note_commit(executor: SqliteExecutor) -> None:
    executor.schema.committed()
    if executor.journal is not None:
        executor.journal.committed()


def _unless_busy(ask: Callable[[], T]) -> T:
    """Do what comes before everything else, and may have to wait for another process."""
    try:
        return ask()
    except sqlite.OperationalError as exc:
        if is_busy(exc):
            raise GroupBusyError from exc
        raise


def _run_all(
    executor: SqliteExecutor,
    works: Sequence[Work[Any]],
    alive: Sequence[int],
    outcomes: list[Outcome],
    *,
    isolate: bool,
) -> None:
    if isolate:
        for position in alive:
            outcomes[position] = _run_isolated(executor, works[position], position)
        return
    if len(alive) == 1:
        # Nobody to be done with, so nobody asks for its kind.
        outcomes[alive[0]] = _run_bare(executor, works[alive[0]], alive[0])
        return
    for kind, neighbours in groupby(alive, key=lambda position: kind_of(works[position])):
        positions = list(neighbours)
        if kind is not None and len(positions) > 1 and _run_together(executor, [works[one] for one in positions]):
            continue
        for position in positions:
            outcomes[position] = _run_bare(executor, works[position], position)


def kind_of(work: Any) -> object | None:
    """What a work has in common with those that it can be done with; None when it is done alone."""
    ask = getattr(work, "kind", None)
    return None if ask is None else ask()


def _run_together(executor: SqliteExecutor, works: Sequence[Any]) -> bool:
    """Do works of one kind at once; False when nothing was done, because one of them is to be refused."""
    raw = executor.raw
    before = raw.total_changes
    executor.hides_changes = False
    first, *others = works
    try:
        first.do_with(executor, others)
        require_transaction(raw)
    except BaseException as exc:  # whose error it is comes out when each runs by itself
        if not raw.in_transaction or raw.total_changes != before or executor.hides_changes:
            raise _RetryWithSavepointsError from exc
        return False
    return True


def _run_bare(executor: SqliteExecutor, work: Work[Any], position: int) -> Outcome:
    raw = executor.raw
    before = raw.total_changes
    executor.hides_changes = False
    try:
        return _run(executor, work)
    except BaseException as exc:  # whatever it is, it concerns this work's caller alone
        if not raw.in_transaction:
            raise _TransactionGoneError(position, exc) from exc
        if raw.total_changes != before or executor.hides_changes:
            raise _RetryWithSavepointsError from exc
        return Outcome(error=exc)


def _run_isolated(executor: SqliteExecutor, work: Work[Any], position: int) -> Outcome:
    raw = executor.raw
    raw.execute("SAVEPOINT work")
    try:
        outcome = _run(executor, work)
    except BaseException as exc:  # whatever it is, it concerns this work's caller alone
        if not raw.in_transaction:
            raise _TransactionGoneError(position, exc) from exc
        raw.execute("ROLLBACK TO work")
        outcome = Outcome(error=exc)
    raw.execute("RELEASE work")
    return outcome


def _run(executor: SqliteExecutor, work: Work[Any]) -> Outcome:
    try:
        value = work(executor)
    except StopIteration as exc:
        # A future refuses it, and its caller would wait for ever.
        raise RuntimeError(STOPPED) from exc
    # A work may have caught the error that ended the transaction.
    require_transaction(executor.raw)
    return Outcome(value=value)


def _commit(
    executor: SqliteExecutor, works: Sequence[Work[Any]], alive: Sequence[int], outcomes: list[Outcome]
) -> list[Outcome]:
    raw = executor.raw
    if not alive:
        # `total_changes` counts what was taken back, so that the journal would take another one's commit for this one.
        raw.rollback()
        return outcomes
    try:
        commit(raw)
        _note_commit(executor)
    except (sqlite.Error, OutcomeUnknownError) as exc:
        if len(alive) == 1 or isinstance(exc, OutcomeUnknownError):
            for position in alive:
                outcomes[position] = Outcome(error=exc)
            return outcomes
        for position in alive:
            outcomes[position] = _alone(executor, works[position])
    return outcomes


def _alone(executor: SqliteExecutor, work: Work[Any]) -> Outcome:
    try:
        return commit_group(executor, [work])[0]
    except GroupBusyError as exc:
        error = DatabaseBusyError()
        error.__cause__ = exc
        return Outcome(error=error)
    except Exception as exc:  # noqa: BLE001 (the others of the group still get their turn)
        return Outcome(error=exc)
