"""Booking: what a unit of work does to the accounts of budgets and to their reservations.

An account's two sums and the rows that they are the sums of change in one transaction. The one statement that sets
money aside carries its own condition, so that no two callers can both have what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, func, insert, literal, or_, select, update

from agent_system.database.plans import compile_plan
from agent_system.database.statements import UnlessThere
from agent_system.errors import ScopeError
from agent_system.managers.ledger.budget_scopes import period_end, period_start
from agent_system.managers.ledger.reservations import BudgetStatus
from agent_system.models import metadata
from agent_system.models.columns import BigInt, Text, UtcDateTime, Uuid
from agent_system.types import BudgetPeriod, BudgetScope, ReservationState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Dialect, Select

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan

__all__ = ["Account", "AccountBook", "Hold"]

_budgets = metadata.tables["budgets"]
_accounts = metadata.tables["budget_accounts"]
_rows = metadata.tables["budget_reservations"]

KEYED = (BudgetScope.USER, BudgetScope.SESSION, BudgetScope.PROJECT, BudgetScope.AGENT)
_is_held = _rows.c.state == ReservationState.HELD
_is_expired = and_(_is_held, _rows.c.expires_at <= bindparam("now", type_=UtcDateTime()))


@dataclass(kw_only=True, slots=True)
class Account:
    """A budget that applies to a spender, with the account of its present period."""

    budget_id: int
    scope_kind: BudgetScope
    scope_key: str | None
    is_shared: bool
    """Whether the limit is that of each one who has no budget of their own."""
    period: BudgetPeriod
    starts_at: datetime
    limit_nano_usd: int
    id: int | None
    """Its key; None before the first booking of the period."""
    spent_nano_usd: int
    reserved_nano_usd: int
    expired_nano_usd: int | None
    """What is still counted as set aside although it has expired; None when nothing is."""

    def status(self) -> BudgetStatus:
        """The account as callers see it."""
        return BudgetStatus(
            budget_id=self.budget_id,
            scope_kind=self.scope_kind,
            scope_key=self.scope_key,
            period=self.period,
            starts_at=self.starts_at,
            ends_at=period_end(self.period, self.starts_at),
            limit_nano_usd=self.limit_nano_usd,
            spent_nano_usd=self.spent_nano_usd,
            reserved_nano_usd=self.reserved_nano_usd - (self.expired_nano_usd or 0),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A row of a reservation: what it set aside in one account."""

    id: int
    account_id: int
    estimate_nano_usd: int
    state: str
    actual_nano_usd: int | None


class AccountBook:
    """The statements of booking, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        now, account = _bind("now", UtcDateTime()), _bind("account_id", BigInt)
        self._dialect = dialect
        self._applicable: dict[tuple[BudgetScope, ...], Plan] = {}
        self._open = compile_plan(_opening(), dialect)
        self._find = compile_plan(select(_accounts.c.id).where(*_place()), dialect)
        sums = select(_accounts.c.spent_nano_usd, _accounts.c.reserved_nano_usd).where(_accounts.c.id == account)
        self._sums = compile_plan(sums, dialect)
        amount = _bind("amount", BigInt)
        of_account = update(_accounts).where(_accounts.c.id == account)
        limit = select(_budgets.c.limit_nano_usd).where(_budgets.c.id == _accounts.c.budget_id).scalar_subquery()
        committed = _accounts.c.spent_nano_usd + _accounts.c.reserved_nano_usd
        held = of_account.where(committed + amount <= limit)
        held = held.values(reserved_nano_usd=_accounts.c.reserved_nano_usd + amount, updated_at=now)
        self._hold = compile_plan(held, dialect)
        booked = of_account.values(
            spent_nano_usd=_accounts.c.spent_nano_usd + _bind("spent", BigInt),
            reserved_nano_usd=_accounts.c.reserved_nano_usd - _bind("freed", BigInt),
            updated_at=now,
        )
        self._book = compile_plan(booked, dialect)
        expired = update(_rows).where(_rows.c.account_id == account, _is_expired)
        expired = expired.values(state=ReservationState.EXPIRED, ended_at=now, updated_at=now)
        self._expire = compile_plan(expired.returning(_rows.c.estimate_nano_usd), dialect)
        of_reservation = select(*(_rows.c[key] for key in Hold.__slots__))
        of_reservation = of_reservation.where(_rows.c.reservation_uuid == _bind("reservation_uuid", Uuid()))
        self._holds = compile_plan(of_reservation.order_by(_rows.c.account_id).with_for_update(), dialect)
        ended = update(_rows).where(_rows.c.id == _bind("row_id", BigInt))
        ended = ended.values(
            state=_bind("to_state", Text()), actual_nano_usd=_bind("actual", BigInt), ended_at=now, updated_at=now
        )
        self._end = compile_plan(ended, dialect)
        self._due = compile_plan(select(_rows.c.account_id).where(_is_expired), dialect)

    def applicable(self, executor: Executor, keys: Mapping[BudgetScope, str | None], now: datetime) -> list[Account]:
        """The accounts of all budgets that apply, in the order of their budgets; own ones go before shared ones.

        Raises:
            ScopeError: The executor sees the rows of one scope only.
        """
        _check_whole(executor)
        starts = {period: period_start(period, now) for period in BudgetPeriod}
        kinds = tuple(kind for kind in KEYED if keys.get(kind) is not None)
        plan = self._applicable.get(kinds)
        if plan is None:
            plan = self._applicable[kinds] = compile_plan(_applicable(kinds), self._dialect)
        values = {"now": now, **{f"{kind}_key": keys[kind] for kind in kinds}, **_starting(starts)}
        found: dict[tuple[str, str], Account] = {}
        for row in executor.fetch(plan, plan.encode(values)):
            kind, period = BudgetScope(row[1]), BudgetPeriod(row[3])
            account = Account(
                budget_id=row[0],
                scope_kind=kind,
                scope_key=keys.get(kind),
                is_shared=bool(row[2]),
                period=period,
                starts_at=starts[period],
                limit_nano_usd=row[4],
                id=row[5],
                spent_nano_usd=row[6],
                reserved_nano_usd=row[7],
                expired_nano_usd=None if row[8] is None else int(row[8]),
            )
            if (kind, period) not in found or found[kind, period].is_shared:
                found[kind, period] = account
        return sorted(found.values(), key=lambda account: account.budget_id)

    def open_all(self, executor: Executor, accounts: Sequence[Account], now: datetime) -> list[int]:
        """The keys of accounts, each opened if nothing was booked on it yet, in the order in which all book on them."""
        return sorted(self._open_account(executor, account, now) for account in accounts)

    def _open_account(self, executor: Executor, account: Account, now: datetime) -> int:
        if account.id is None:
            key, owner = account.scope_key or "", account.scope_key if account.scope_kind == BudgetScope.USER else None
            place = {"budget_id": account.budget_id, "scope_key": key, "starts_at": account.starts_at}
            executor.change(self._open, self._open.encode({**place, "user_id": owner, "now": now}))
            account.id = int(executor.fetch(self._find, self._find.encode(place))[0][0])
        return account.id

    def hold(self, executor: Executor, account_id: int, amount: int, now: datetime) -> bool:
        """Set money aside, unless that would pass the limit; one statement decides."""
        values = {"account_id": account_id, "amount": amount, "now": now}
        return executor.change(self._hold, self._hold.encode(values)) > 0

    def hold_all(
        self, executor: Executor, accounts: Sequence[Account], amount: int, now: datetime
    ) -> BudgetStatus | None:
        """Set money aside in all accounts, or in none; returns how the account stands that has too little left."""
        account_ids = self.open_all(executor, accounts, now)
        for account in accounts:
            if account.expired_nano_usd is not None and account.id is not None:
                self.expire(executor, account.id, now)
        for position, account_id in enumerate(account_ids):
            if not self.hold(executor, account_id, amount, now):
                # Undone by hand: an error would make the whole group of writes run again.
                for held in account_ids[:position]:
                    self.book(executor, held, now, freed=amount)
                return self._standing(executor, next(account for account in accounts if account.id == account_id))
        return None

    def _standing(self, executor: Executor, account: Account) -> BudgetStatus:
        rows = executor.fetch(self._sums, self._sums.encode({"account_id": account.id}))
        ((account.spent_nano_usd, account.reserved_nano_usd),) = rows
        account.expired_nano_usd = None
        return account.status()

    def book(self, executor: Executor, account_id: int, now: datetime, *, spent: int = 0, freed: int = 0) -> None:
        """Add to what is spent and take from what is set aside."""
        values = {"account_id": account_id, "spent": spent, "freed": freed, "now": now}
        executor.change(self._book, self._book.encode(values))

    def expire(self, executor: Executor, account_id: int, now: datetime) -> int:
        """Give back what has expired; returns how many reservations it was."""
        rows = executor.fetch(self._expire, self._expire.encode({"account_id": account_id, "now": now}))
        if rows:
            self.book(executor, account_id, now, freed=sum(row[0] for row in rows))
        return len(rows)

    def expire_all(self, executor: Executor, now: datetime) -> int:
        """Give back what has expired anywhere; returns how many rows of reservations it was."""
        _check_whole(executor)
        # Not DISTINCT: SQLite would read the index of the accounts from end to end.
        due = {row[0] for row in executor.fetch(self._due, self._due.encode({"now": now}))}
        return sum(self.expire(executor, account_id, now) for account_id in sorted(due))

    def holds(self, executor: Executor, reservation_id: UUID) -> list[Hold]:
        """The rows of a reservation, locked."""
        _check_whole(executor)
        rows = executor.fetch(self._holds, self._holds.encode({"reservation_uuid": reservation_id}))
        return [Hold(**dict(zip(Hold.__slots__, row, strict=True))) for row in rows]

    def end(
        self,
        executor: Executor,
        holds: Sequence[Hold],
        state: ReservationState,
        now: datetime,
        actual: int | None = None,
    ) -> None:
        """End rows of a reservation: what is still held is given back, what it cost is spent."""
        for hold in holds:
            values = {"row_id": hold.id, "to_state": state, "actual": actual, "now": now}
            executor.change(self._end, self._end.encode(values))
            freed = hold.estimate_nano_usd if hold.state == ReservationState.HELD else 0
            self.book(executor, hold.account_id, now, spent=actual or 0, freed=freed)


def _check_whole(executor: Executor) -> None:
    """Refuse a scope, which sees no budget: nothing would limit what is spent in it."""
    if executor.trusted is not executor:
        message = "money is set aside, settled and looked at by the facade that is bound to no scope"
        raise ScopeError(message, table=_budgets.name)


def _bind(name: str, kind: Any) -> Any:
    return bindparam(name, type_=kind)


def _starting(starts: Mapping[BudgetPeriod, datetime]) -> dict[str, datetime]:
    return {f"{period}_start": start for period, start in starts.items()}


def _place() -> list[ColumnElement[bool]]:
    return [_accounts.c[key] == _bind(key, _accounts.c[key].type) for key in ("budget_id", "scope_key", "starts_at")]


def _opening() -> Any:
    now = _bind("now", UtcDateTime())
    values = {key: _bind(key, _accounts.c[key].type) for key in ("budget_id", "scope_key", "starts_at", "user_id")}
    zero = {"spent_nano_usd": 0, "reserved_nano_usd": 0, "metadata": {}}
    return insert(_accounts).values(**values, **zero, created_at=now, updated_at=now).ext(UnlessThere()).inline()


def _applicable(kinds: Sequence[BudgetScope]) -> Select[Any]:
    """Budgets that apply to a spender of whom these are known, with the accounts of their present periods."""
    kind, key, period = _budgets.c.scope_kind, _budgets.c.scope_key, _budgets.c.period
    keys = {each: _bind(f"{each}_key", Text()) for each in kinds}
    # What all share and what each has is looked up by two indexes; one condition for both would read every budget.
    # Each value by itself: a compiled statement has a fixed number of parameters.
    everybody = [literal(each, kind.type) for each in (BudgetScope.GLOBAL, *kinds)]
    shared = and_(key.is_(None), kind.in_(everybody))
    own = [and_(kind == each, key == keys[each]) for each in kinds]
    starts = {each: _bind(f"{each}_start", UtcDateTime()) for each in BudgetPeriod}
    starts_at = case(*((period == each, start) for each, start in starts.items()))
    account_key = case(*((kind == each, keys[each]) for each in kinds), else_="") if kinds else literal("")
    present = and_(
        _accounts.c.budget_id == _budgets.c.id, _accounts.c.scope_key == account_key, _accounts.c.starts_at == starts_at
    )
    expired = select(func.sum(_rows.c.estimate_nano_usd)).where(_rows.c.account_id == _accounts.c.id, _is_expired)
    return (
        select(
            _budgets.c.id,
            kind,
            key.is_(None),
            period,
            _budgets.c.limit_nano_usd,
            _accounts.c.id,
            func.coalesce(_accounts.c.spent_nano_usd, 0),
            func.coalesce(_accounts.c.reserved_nano_usd, 0),
            expired.scalar_subquery(),
        )
        .select_from(_budgets.outerjoin(_accounts, present))
        .where(_budgets.c.is_active, or_(shared, *own))
    )
