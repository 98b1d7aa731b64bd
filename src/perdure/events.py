"""How the parts of Perdure stay strangers: one tells what has happened, others listen.

An event is a past fact with a dotted name (`message.leased`, `step.recorded`, `worker.died`) and a
few plain values. Whoever tells it knows nothing of metrics, logs or dashboards; a listener that fails
is logged and never reaches the teller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Listener: TypeAlias = Callable[[str, Mapping[str, Any]], None]

__all__ = ["Listener", "listen", "tell"]

_listeners: list[tuple[str, Listener]] = []
_log = logging.getLogger("perdure.events")


def tell(name: str, /, **facts: Any) -> None:
    """Say that something has happened. Costs next to nothing when nobody listens.

    Args:
        name (str): What happened, dotted and in the past tense: `message.done`.
        **facts (Any): Plain values about it; never a secret, never a prompt.
    """
    for prefix, listener in _listeners:
        if name.startswith(prefix):
            try:
                listener(name, facts)
            except Exception:
                _log.exception("a listener failed on %s", name)


def listen(prefix: str, listener: Listener) -> Callable[[], None]:
    """Hear every event whose name starts with `prefix`.

    Args:
        prefix (str): `message.` for all of messages, the empty string for everything.
        listener (Listener): Called in the teller's thread; must be quick and must not block.

    Returns:
        Callable[[], None]: Call it to stop listening.
    """
    entry = (prefix, listener)
    _listeners.append(entry)

    def stop() -> None:
        if entry in _listeners:
            _listeners.remove(entry)

    return stop
