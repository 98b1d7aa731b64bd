"""Which limits there are, as the puts of a process know it.

They are read when the first message is put, and again when a put hears that they have changed. A message that was
put in the moment between is found by the look that every new limit begins, which goes on for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.messages.limits import gates_for
from perdure.messages.message import NewMessage
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
        if self._version is None:
            rows = await ask(self._ground, _NOW)
            self._version = rows[0][0]
            self._standing = frozenset((scope, name) for _, scope, name in rows if scope is not None)
        if not self._standing:
            return False
        return any(
            (gate.scope, gate.name) in self._standing for new in messages for gate in gates_for(new.queue, new.agent, new.tenant, new.key)
        )

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
