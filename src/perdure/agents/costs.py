"""What one call of a model costs: reckoned before, at each of its deployments, and told after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perdure.agents.parts import Pricing
from perdure.clock import Moment
from perdure.errors.base import Billed, ErrorFacts, PriceUnknown
from perdure.messages.message import Message
from perdure.messages.spending import Bill, account_of, day_of, to_nano
from perdure.providers.target import Target
from perdure.resources.usage import Usage

__all__ = ["Costs"]

_HEDGED = Usage(calls=1, hedged=1)


class Costs:
    """The costs of one call.

    Args:
        prices (Pricing | None): Knows what calls cost; None leaves that unsaid.
        message (Message): On whose account it is.
        most_usd (float | None): What its run may cost.
    """

    def __init__(self, prices: Pricing | None, message: Message, most_usd: float | None) -> None:
        self._prices = prices
        self._message = message
        self._most_usd = most_usd
        self._reckoned: dict[str, float | None] = {}
        self._bills: dict[str, Bill] = {}

    def reckon(self, body: Mapping[str, Any], targets: Sequence[Target]) -> None:
        """Say before the call what it may cost.

        Args:
            body (Mapping[str, Any]): The request.
            targets (Sequence[Target]): Wherever it may go.
        """
        for one in targets:
            self._reckoned[one.lane] = None if self._prices is None else self._prices.at_most(body, one.provider.name, one.model)

    def reckoned_usd(self, target: Target) -> float | None:
        """Tell what was reckoned.

        Args:
            target (Target): Where the call may go.

        Returns:
            float | None: In US dollars; None if nobody knows.
        """
        return self._reckoned.get(target.lane)

    def refuse_unpriced(self, targets: Sequence[Target]) -> None:
        """Where the run may cost so much only, do not make a call whose price nobody knows.

        Args:
            targets (Sequence[Target]): Wherever it may go; already reckoned.

        Raises:
            PriceUnknown: For one of them.
        """
        unknown = next((one.lane for one in targets if self._reckoned[one.lane] is None), None)
        if self._most_usd is not None and unknown is not None:
            raise PriceUnknown(
                f"the run may cost {self._most_usd} US dollars, and what {unknown!r} costs is not known",
                hint=f'Say it in the settings: `[prices."{unknown}"]` with `input_usd` and `output_usd` for a million tokens.',
            )

    def bill(self, target: Target, now: Moment) -> Bill | None:
        """Say on whose account a try is, and what is to be held for it.

        Args:
            target (Target): Where it goes.
            now (Moment): When it is intended.

        Returns:
            Bill | None: None where costs are left unsaid.
        """
        if self._prices is None:
            return None
        held = to_nano(self._reckoned[target.lane])
        bill = Bill(day=day_of(now), account=account_of(self._message, target.lane), held_nanousd=held)
        self._bills[target.lane] = bill
        return bill

    def bill_of(self, target: Target) -> Bill | None:
        """Find the bill of a try; of two under way, that of whoever answered. What was held for the other one stays held.

        Args:
            target (Target): Where it went.

        Returns:
            Bill | None: As it was intended last.
        """
        return self._bills.get(target.lane)

    def priced(self, usage: Usage, target: Target, *, billed: Billed | None = None) -> Usage:
        """Say what a try cost.

        Args:
            usage (Usage): What it used.
            target (Target): Where.
            billed (Billed | None): For a failure: whether it was.

        Returns:
            Usage: With its cost.
        """
        if self._prices is None:
            return usage
        cost_usd = 0.0 if billed is Billed.NO else self._prices.cost_of(usage, target.provider.name, target.model)
        return usage.priced(cost_usd, reckoned_usd=self._reckoned.get(target.lane))

    def of_failure(self, error: ErrorFacts, target: Target, *, hedged: bool) -> Usage:
        """Say what a try without an answer used.

        Args:
            error (ErrorFacts): What came instead.
            target (Target): Where.
            hedged (bool): A second one was under way beside it.

        Returns:
            Usage: At least this much, where nobody counted.
        """
        usage = self.priced(Usage(calls=1), target, billed=error.billed)
        return usage + self.of_the_slower() if hedged else usage

    def of_the_slower(self) -> Usage:
        """Say what the slower of two tries used: nobody waits to hear it, so it is reckoned as the dearest.

        Returns:
            Usage: Of a hedged call.
        """
        most = max((usd for usd in self._reckoned.values() if usd is not None), default=None)
        return _HEDGED if self._prices is None else _HEDGED.priced(None, reckoned_usd=most)
