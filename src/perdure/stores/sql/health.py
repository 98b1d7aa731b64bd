"""How providers are, in the store."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from perdure.clock import Moment
from perdure.providers.checkup import Checkup
from perdure.providers.health import FORGOTTEN_S, Due, Health, HealthStore, Looked, decode, due_of, encode, judged
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["SqlHealth"]

_LIST, _TAKE, _SET, _GET, _FORGET = (statement(f"health_{verb}") for verb in ("list", "take", "set", "get", "forget"))


class SqlHealth(HealthStore):
    """Keeps how providers are.

    Args:
        engine (Engine): Of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take(self, providers: Sequence[str], *, every_s: float) -> Due:
        """Take the looks that are due; where none is, nothing is written."""
        due = due_of(providers, await self._engine.read(_due_at), self._engine.clock.now(), every_s)
        if not due.providers:
            return due
        return await self._engine.write(_take, sorted(providers), every_s)

    async def note(self, found: Checkup, *, every_s: float) -> Looked:
        """Write down what a look found."""
        return await self._engine.write(_note, found, every_s)

    async def all(self) -> builtins.list[Health]:
        """List how providers are."""
        return await self._engine.read(_all)


def _take(tx: Transaction, providers: list[str], every_s: float) -> Due:
    due = due_of(providers, _due_at(tx.run), tx.now, every_s)
    for name in due.providers:
        tx.run(_TAKE, (name, tx.now + every_s, encode(Health(provider=name))))
    return due


def _note(tx: Transaction, found: Checkup, every_s: float) -> Looked:
    card = tx.run(_GET, (found.provider,)).get
    before = Health(provider=found.provider) if card is None else decode(card)
    looked, sooner_s = judged(before, found, tx.now)
    tx.run(_SET, (found.provider, tx.now + min(every_s, every_s if sooner_s is None else sooner_s), encode(looked.health)))
    tx.run(_FORGET, (tx.now - FORGOTTEN_S,))
    return looked


def _due_at(run: Run) -> dict[str, Moment]:
    return {name: due_at for name, due_at, _ in run(_LIST).fetchall()}


def _all(run: Run) -> list[Health]:
    return [decode(card) for _, _, card in run(_LIST).fetchall()]
