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

__all__ = ["Listener", "heard", "listen", "tell"]

_listeners: list[tuple[str, Listener]] = []
_by_name: dict[str, tuple[Listener, ...]] = {}
"""Who hears an event of a name, as far as one was told. Another one takes its place whenever somebody comes or goes."""
_log = logging.getLogger("perdure.events")


def tell(name: str, /, **facts: Any) -> None:
    """Say that something has happened. Costs next to nothing when nobody listens.

    Args:
        name (str): What happened, dotted and in the past tense: `message.done`.
        **facts (Any): Plain values about it; never a secret, never a prompt.
    """
    for listener in _listeners_of(name):
        try:
            listener(name, facts)
        except Exception:
            _log.exception("a listener failed on %s", name)


def heard(name: str) -> bool:
    """Tell whether anybody listens to an event: where many are to be told, what nobody hears need not be gathered.

    Args:
        name (str): Of the event.

    Returns:
        bool: At this moment.
    """
    return bool(_listeners_of(name))


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
    _forget()

    def stop() -> None:
        if entry in _listeners:
            _listeners.remove(entry)
            _forget()

    return stop


def _listeners_of(name: str) -> tuple[Listener, ...]:
    known = _by_name  # this one, whatever takes its place meanwhile in another thread
    found = known.get(name)
    if found is None:
        found = known[name] = tuple(listener for prefix, listener in list(_listeners) if name.startswith(prefix))
    return found


def _forget() -> None:
    global _by_name
    _by_name = {}
