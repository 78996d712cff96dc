"""Budgets: what may be spent, set aside before a call and settled after it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import ConflictError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.store import RowStore
from agent_system.managers.ledger.budget_accounts import AccountBook
from agent_system.managers.ledger.budget_checks import unbalanced
from agent_system.managers.ledger.budget_scopes import checked_amount, spender_keys
from agent_system.managers.ledger.reservations import (
    Discrepancy,
    Reservation,
    Spending,
    check_missing,
    exceeded,
    expiry,
    reservation_id,
)
from agent_system.models import Budget, BudgetReservation
from agent_system.models.uuids import uuid7
from agent_system.types import BudgetPeriod, BudgetScope, ReservationState

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Iterable, Mapping
    from datetime import datetime
    from typing import Unpack
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.managers.ledger.budget_accounts import Account
    from agent_system.managers.ledger.budget_scopes import Spender
    from agent_system.managers.ledger.reservations import BudgetStatus

__all__ = ["BudgetManager"]

# Longer than any call to a model takes, retries included.
DEFAULT_EXPIRY_SECONDS = 900.0
WRITTEN = (
    "reservation_uuid", "account_id", "estimate_nano_usd", "actual_nano_usd", "state", "expires_at", "ended_at",
    "user_id", "session_uuid", "created_at", "updated_at",
)  # fmt: skip


class BudgetManager(Manager[Budget]):
    """Budgets: limits per day, per month or altogether, for everybody, a user, a session, a project or an agent.

    Before a call its estimate is set aside in every budget that applies, all or none; afterwards what it really cost is
    settled. However many callers there are, on however many connections, what is spent and set aside never passes a
    limit by a reservation. Money is counted in billionths of a US dollar, and periods begin in UTC.

    A budget of a kind without a key (`scope="user"`, `key=None`) is a limit for each one of that kind who has no own.
    A facade that is bound to a scope sees no budget, and so may spend nothing: the whole one reserves and settles.

    Example:
        >>> await em.budgets.set_limit(5_000_000_000, scope="user", period="day")
        >>> async with em.budgets.spending(20_000_000, user_id="ada") as spending:
        ...     answer = await model(prompt)
        ...     spending.settle(answer.cost_nano_usd)
    """

    entity = Budget
    kept = frozenset({"user_id"})
    fixed = frozenset({"scope_kind", "scope_key", "period"})

    def fill_in(self, values: dict[str, Any]) -> None:
        """A budget of everybody has no key; one of a user belongs to that user."""
        kind, key = values["scope_kind"], values["scope_key"]
        if key == "" or (key is not None and kind == BudgetScope.GLOBAL):
            message = "Budget.scope_key: a budget of everybody has none, any other a text that is not empty"
            raise ValidationError(message, field="scope_key", entity=self.store.name)
        values["user_id"] = key if kind == BudgetScope.USER else None

    @cached_property
    def _book(self) -> AccountBook:
        return AccountBook(self._db.dialect)

    @cached_property
    def _rows(self) -> RowStore[BudgetReservation]:
        return RowStore(BudgetReservation, self._db.dialect, self._clock)

    # Limits.

    async def set_limit(
        self,
        limit_nano_usd: int,
        *,
        scope: BudgetScope | str = BudgetScope.GLOBAL,
        key: str | None = None,
        period: BudgetPeriod | str = BudgetPeriod.DAY,
    ) -> Budget:
        """Set a limit, or change the one that is there; what was spent and set aside so far goes on counting.

        Args:
            limit_nano_usd: The most that may be spent in one period.
            scope: Whose spending: of everybody together, of a user, a session, a project or an agent.
            key: Which one; None is each one of that kind who has no limit of their own.
            period: How long it lasts before it begins anew.

        Raises:
            ValidationError: The scope, the period or the limit is none.
        """
        data = {"limit_nano_usd": limit_nano_usd, "scope_kind": scope, "scope_key": key, "period": period}
        return await self.upsert({**data, "is_active": True}, on=("scope_kind", "scope_key", "period"))

    async def clear_limit(
        self,
        *,
        scope: BudgetScope | str = BudgetScope.GLOBAL,
        key: str | None = None,
        period: BudgetPeriod | str = BudgetPeriod.DAY,
    ) -> bool:
        """Stop keeping to a limit; its accounts stay, and `set_limit` takes it up again. False when there is none."""
        budget = await self.find_one(scope_kind=scope, scope_key=key, period=period)
        if budget is None or not budget.is_active:
            return False
        await self.update(budget.id, {"is_active": False})
        return True

    async def status(self, **spender: Unpack[Spender]) -> builtins.list[BudgetStatus]:
        """Tell how all budgets stand that apply to a spender, by one statement.

        Raises:
            ValidationError: The spender is named in a way that budgets do not know.
        """
        keys, now = spender_keys(spender), self._clock()
        accounts = await self._db.read(lambda executor: self._book.applicable(executor, keys, now))
        return [account.status() for account in accounts]

    # Spending.

    async def reserve(
        self,
        estimate_nano_usd: int,
        *,
        expires_in_seconds: float = DEFAULT_EXPIRY_SECONDS,
        **spender: Unpack[Spender],
    ) -> Reservation:
        """Set an estimate aside in every budget that applies, all or none.

        What has expired in these budgets is given back first.

        Args:
            estimate_nano_usd: The most that the call should cost.
            expires_in_seconds: After which time it stops counting if nobody settles or releases it.
            spender: Who spends: user_id, session_uuid, project_id, agent_id.

        Raises:
            BudgetExceededError: A budget has less left; nothing was set aside.
            ValidationError: The estimate is no amount of money, or the spender is named wrongly.
        """
        amount = checked_amount(estimate_nano_usd, "estimate_nano_usd")
        keys, now = spender_keys(spender), self._clock()
        expires_at = now + expiry(expires_in_seconds)
        row = self._row(keys, now, estimate_nano_usd=amount, expires_at=expires_at)

        def work(executor: Executor) -> tuple[builtins.list[Account], BudgetStatus | None]:
            accounts = self._book.applicable(executor, keys, now)
            refused = self._book.hold_all(executor, accounts, amount, now)
            if refused is None:
                self._write(executor, accounts, row)
            return accounts, refused

        accounts, refused = await self.run(work)
        if refused is not None:
            raise exceeded(refused, amount)
        budgets = tuple(account.budget_id for account in accounts)
        return Reservation(id=row["reservation_uuid"], estimate_nano_usd=amount, expires_at=expires_at, budgets=budgets)

    async def settle(self, reservation: Reservation | UUID, actual_nano_usd: int) -> bool:
        """Book what a reserved call really cost, also when that is more than the estimate or the reservation expired.

        Args:
            reservation: What `reserve` returned, or its id.
            actual_nano_usd: What the call cost.

        Returns:
            Whether something was booked now; the same amount again, or no budget that applies, changes nothing.

        Raises:
            ConflictError: It was settled with another amount.
            NotFoundError: There is no such reservation.
            ValidationError: The cost is no amount of money.
        """
        actual, now = checked_amount(actual_nano_usd, "actual_nano_usd"), self._clock()

        def work(executor: Executor) -> int | None:
            holds = self._book.holds(executor, reservation_id(reservation))
            if not holds:
                check_missing(reservation)
                return actual
            settled = [hold.actual_nano_usd for hold in holds if hold.state == ReservationState.SETTLED]
            if not settled:
                self._book.end(executor, holds, ReservationState.SETTLED, now, actual)
            return settled[0] if settled else None

        before = await self.run(work)
        if before not in {None, actual}:
            message = f"reservation {reservation_id(reservation)} was settled with {before} nano-dollars, not {actual}"
            raise ConflictError(message, entity="BudgetReservation", entity_id=reservation_id(reservation))
        return before is None

    async def release(self, reservation: Reservation | UUID) -> bool:
        """Give back what was set aside for a call that did not happen; False when the reservation had ended already.

        Args:
            reservation: What `reserve` returned, or its id.

        Raises:
            NotFoundError: There is no such reservation.
        """
        now = self._clock()

        def work(executor: Executor) -> bool:
            holds = self._book.holds(executor, reservation_id(reservation))
            if not holds:
                check_missing(reservation)
            held = [hold for hold in holds if hold.state == ReservationState.HELD]
            self._book.end(executor, held, ReservationState.RELEASED, now)
            return bool(held)

        return await self.run(work)

    @asynccontextmanager
    async def spending(
        self,
        estimate_nano_usd: int,
        *,
        expires_in_seconds: float = DEFAULT_EXPIRY_SECONDS,
        **spender: Unpack[Spender],
    ) -> AsyncIterator[Spending]:
        """Set an estimate aside for a block, which says what it cost; see `reserve`.

        A block that fails or is cancelled before it has said so gives the estimate back; one that ends without a word
        is booked at the estimate. Do not put it inside a transaction: the block would hold the writer.
        """
        reservation = await self.reserve(estimate_nano_usd, expires_in_seconds=expires_in_seconds, **spender)
        spending = Spending(reservation)
        try:
            yield spending
        except BaseException:
            if spending.actual_nano_usd is None:
                await self.release(reservation)
            else:
                await self.settle(reservation, spending.actual_nano_usd)
            raise
        actual = spending.actual_nano_usd
        await self.settle(reservation, estimate_nano_usd if actual is None else actual)

    async def charge(self, actual_nano_usd: int, **spender: Unpack[Spender]) -> Reservation:
        """Book what a call cost that nothing was set aside for, whatever the budgets say.

        Raises:
            ValidationError: The cost is no amount of money, or the spender is named wrongly.
        """
        actual = checked_amount(actual_nano_usd, "actual_nano_usd")
        keys, now = spender_keys(spender), self._clock()
        state = {"state": ReservationState.SETTLED, "actual_nano_usd": actual, "ended_at": now}
        row = self._row(keys, now, estimate_nano_usd=0, expires_at=now, **state)

        def work(executor: Executor) -> builtins.list[Account]:
            accounts = self._book.applicable(executor, keys, now)
            for account_id in self._book.open_all(executor, accounts, now):
                self._book.book(executor, account_id, now, spent=actual)
            self._write(executor, accounts, row)
            return accounts

        budgets = tuple(account.budget_id for account in await self.run(work))
        return Reservation(id=row["reservation_uuid"], estimate_nano_usd=0, expires_at=now, budgets=budgets)

    # Keeping the books.

    async def sweep(self) -> int:
        """Give back everything that has expired; returns how many reservations it was, counted in each budget."""
        now = self._clock()
        return await self.run(lambda executor: self._book.expire_all(executor, now))

    async def discrepancies(self) -> builtins.list[Discrepancy]:
        """Return the accounts whose sums are not those of their reservations; there should be none."""
        rows = await self._db.read(lambda executor: executor.execute(unbalanced()).all())
        return [Discrepancy(**dict(zip(Discrepancy.__slots__, map(int, row), strict=True))) for row in rows]

    def _row(self, keys: Mapping[BudgetScope, str | None], now: datetime, **values: Any) -> dict[str, Any]:
        """The row of a new reservation, but for its account."""
        whose = {"user_id": keys[BudgetScope.USER], "session_uuid": keys[BudgetScope.SESSION]}
        row = {"reservation_uuid": uuid7(), "account_id": 0, "created_at": now, "updated_at": now, **whose, **values}
        return self._rows.validator.create_values(row)

    def _write(self, executor: Executor, accounts: Iterable[Account], row: Mapping[str, Any]) -> None:
        plan = self._rows.plans.insert(WRITTEN)
        for account in accounts:
            executor.change(plan, self._rows.encode(plan, {**row, "account_id": account.id}))
