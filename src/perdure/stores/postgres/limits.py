"""Which limits there are, as the puts of a process know it.

They are read when the first message is put, and again when a put hears that they have changed. A message that was
put in the moment between is found by the look that every new limit begins, which goes on for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.messages.limits import gates_for
from perdure.messages.message import NewMessage
from perdure.resources.single_flight import SingleFlight
from perdure.stores.postgres.hot import Ground, ask, hot

__all__ = ["KnownLimits"]

_NOW = hot("caps_now")


class KnownLimits:
    """Remembers the limits.

    Args:
        ground (Ground): The engine.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._version: int | None = None
        self._standing: frozenset[tuple[str, str]] = frozenset()
        self._looks: SingleFlight[int, None] = SingleFlight()
        self._forgotten = 0
        """How often; a look that began before the last time is of no use afterwards."""

    @property
    def none(self) -> bool:
        """Whether it is known that there are none."""
        return self._version is not None and not self._standing

    async def rule(self, messages: Sequence[NewMessage]) -> bool:
        """Tell whether any of some messages is under a limit.

        Args:
            messages (Sequence[NewMessage]): Which.

        Returns:
            bool: False for nearly all.
        """
        while self._version is None:
            await self._looks.fly(self._forgotten, self._look)  # everybody who puts at that moment wants to know
        if not self._standing:
            return False
        return any(
            (gate.scope, gate.name) in self._standing for new in messages for gate in gates_for(new.queue, new.agent, new.tenant, new.key)
        )

    async def _look(self) -> None:
        forgotten, rows = self._forgotten, await ask(self._ground, _NOW)
        if forgotten != self._forgotten:
            return
        self._version = rows[0][0]
        self._standing = frozenset((scope, name) for _, scope, name in rows if scope is not None)

    def heard(self, version: int | None) -> None:
        """Hear of which version they were when something was put.

        Args:
            version (int | None): As the put saw it; None if that is not known any more.
        """
        if version != self._version:
            self.forget()

    def forget(self) -> None:
        """Read them again the next time."""
        self._version = None
        self._forgotten += 1
