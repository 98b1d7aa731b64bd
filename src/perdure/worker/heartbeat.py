"""The heartbeat: a thread of its own that says every two seconds that the worker lives.

It is a thread with its own connection, so that neither a blocked event loop nor a busy writer makes a
living worker look dead. It also knows how old its last *committed* beat is, on a clock that runs while
the machine sleeps: a worker that was frozen sees its own age before anyone tells it that it was
declared dead, and starts no effect that it might no longer have the right to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from perdure.clock import awake
from perdure.errors.base import StoreError, WorkerFenced
from perdure.errors.handler import handle
from perdure.messages.registry import BEAT_S, STALE_AFTER_S, Heart

__all__ = ["Heartbeat"]

_RETRY_S = 0.25  # after a beat that was not committed


class Heartbeat:
    """Beats for one worker until it is stopped or the worker is declared dead.

    Args:
        heart (Heart): What the store gave for this worker; used and closed by the thread alone.
        on_fenced (Callable[[], None]): Called once, in the heartbeat's thread.
        now (Callable[[], float]): The clock that counts while the machine is suspended.
    """

    def __init__(self, heart: Heart, *, on_fenced: Callable[[], None], now: Callable[[], float] = awake) -> None:
        self._heart = heart
        self._on_fenced = on_fenced
        self._awake = now
        self._beat_at = now()  # registering was the first beat
        self._fenced = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="perdure-heartbeat", daemon=True)

    @property
    def fenced(self) -> bool:
        """Whether the worker was declared dead."""
        return self._fenced

    @property
    def age_s(self) -> float:
        """How long ago the last committed beat began."""
        return self._awake() - self._beat_at

    def effects_allowed(self) -> bool:
        """Tell whether the worker may still begin something outside the store.

        Returns:
            bool: False once its own last beat is too old, long before others may call it dead.
        """
        return not self._fenced and self.age_s < STALE_AFTER_S

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """End beating and wait for the thread; call it off the event loop.

        Args:
            timeout_s (float): Wait no longer than this; the thread is a daemon.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._beat()):
                pass
        except WorkerFenced:
            self._fenced = True
            self._on_fenced()
        finally:
            self._heart.close()

    def _beat(self) -> float:
        """Beat once and tell how long to wait for the next."""
        began = self._awake()
        try:
            self._heart.beat()
        except StoreError as error:
            handle(error, where="worker.heartbeat", what="a heartbeat was not committed")
            return _RETRY_S
        except WorkerFenced:
            raise
        except Exception as error:  # a thread that ended here would leave a worker that looks alive to itself
            handle(error, where="worker.heartbeat", what="a heartbeat broke", broke=True)
            return _RETRY_S
        self._beat_at = began  # not its end: how old the beat is for others counts from inside the commit
        return BEAT_S
