"""How providers are, in memory."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from perdure.providers.checkup import Checkup
from perdure.providers.health import FORGOTTEN_S, Due, Health, HealthStore, Looked, due_of, judged
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemoryHealth"]


class InMemoryHealth(HealthStore):
    """Keeps how providers are.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def take(self, providers: Sequence[str], *, every_s: float) -> Due:
        """Take the looks that are due."""
        kept = self._contents.health
        with self._contents.open() as now:
            due = due_of(sorted(providers), {name: due_at for name, (due_at, _) in kept.items()}, now, every_s)
            for name in due.providers:
                kept[name] = (now + every_s, kept[name][1] if name in kept else Health(provider=name))
            return due

    async def note(self, found: Checkup, *, every_s: float) -> Looked:
        """Write down what a look found."""
        kept, name = self._contents.health, found.provider
        with self._contents.open() as now:
            looked, sooner_s = judged(kept[name][1] if name in kept else Health(provider=name), found, now)
            kept[name] = (now + min(every_s, every_s if sooner_s is None else sooner_s), looked.health)
            for gone in [one for one, (due_at, _) in kept.items() if due_at < now - FORGOTTEN_S]:
                del kept[gone]
            return looked

    async def all(self) -> builtins.list[Health]:
        """List how providers are."""
        with self._contents.open():
            return [health for _, (_, health) in sorted(self._contents.health.items())]
