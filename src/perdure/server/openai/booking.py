"""What a call on `/v1` costs: held before it is asked, booked when it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perdure.errors.base import Billed, PerdureError
from perdure.messages.spending import Account, Bill, day_of, to_nano
from perdure.providers.target import Target
from perdure.resources.usage import Usage
from perdure.server.door import Call

__all__ = ["Booking"]


class Booking:
    """The bill of one call. Made by `begin`, it ends once.

    Args:
        call (Call): Whose.
        target (Target): Who answers.
        reckoned_usd (float | None): What it may cost.
    """

    def __init__(self, call: Call, target: Target, reckoned_usd: float | None) -> None:
        self._parts = call.core.parts
        self._target = target
        self._reckoned_usd = reckoned_usd
        self._again = int(call.again)
        tenant = "default" if call.tenant is None else call.tenant
        account = Account(tenant, call.key.id, "", target.lane)
        self._bill = Bill(day=day_of(self._parts.clock.now()), account=account, held_nanousd=to_nano(reckoned_usd))

    @classmethod
    async def begin(cls, call: Call, target: Target, body: Mapping[str, Any]) -> Booking:
        """Hold what a call may cost.

        Args:
            call (Call): Whose.
            target (Target): Who answers.
            body (Mapping[str, Any]): The request.

        Returns:
            Booking: To be ended.

        Raises:
            BudgetReached: There is no money left for it today.
            CallTooDear: It may cost more than a whole budget.
        """
        booking = cls(call, target, call.core.parts.prices.at_most(body, target.provider.name, target.model))
        if booking._bill.held_nanousd:
            await booking._parts.store.spending.reserve(booking._bill)
        return booking

    def priced(self, usage: Usage) -> Usage:
        """Say what it cost.

        Args:
            usage (Usage): As the provider counted it.

        Returns:
            Usage: With its cost.
        """
        cost_usd = self._parts.prices.cost_of(usage, self._target.provider.name, self._target.model)
        counted = Usage(paid_again=self._again) + (usage if usage.calls else usage + Usage(calls=1))
        return counted.priced(cost_usd, reckoned_usd=self._reckoned_usd)

    async def settle(self, priced: Usage) -> None:
        """Book what it used.

        Args:
            priced (Usage): From `priced`.
        """
        await self._parts.store.spending.settle(self._bill, priced)

    async def failed(self, error: BaseException) -> None:
        """Book a call that got no answer.

        Args:
            error (BaseException): Why; unless it says that nothing was billed, its cost is unknown.
        """
        free = isinstance(error, PerdureError) and error.billed is Billed.NO
        await self._parts.store.spending.settle(self._bill, Usage(calls=1).priced(0.0 if free else None, reckoned_usd=self._reckoned_usd))
