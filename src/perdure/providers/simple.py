"""The simple door: blocking calls for whoever does not write async.

All blocking calls of a process share one event loop on a thread of its own; a provider keeps a separate
session there, so that neither side can close or exhaust the other's connections.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from perdure.errors.base import ConfigError, EmptyAnswer, PerdureError, SyncCallInAsync
from perdure.providers.checkup import Proved
from perdure.providers.protocol import ChatAnswer
from perdure.providers.tally import Tally

__all__ = ["SimpleDoor", "blocking"]

T = TypeVar("T")

_lock = threading.Lock()
_background: tuple[threading.Thread, asyncio.AbstractEventLoop] | None = None


class SimpleDoor(ABC):
    """Gives a `ChatProvider` the three blocking methods of `LLMProvider`.

    Subclasses may be used from many threads at once.

    Args:
        name (str): As in the settings.
        declared (Sequence[str]): The models that it was told of; may be none.
    """

    def __init__(self, name: str, declared: Sequence[str]) -> None:
        self.name: str = name
        self.declared: tuple[str, ...] = tuple(declared)
        self.tally: Tally = Tally(name)
        self.problem: PerdureError | None = None
        """Why the last `validate()` said False."""

    @abstractmethod
    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer a chat, one try.

        Args:
            body (Mapping[str, Any]): An OpenAI chat request.
            timeout_s (float | None): For the whole answer.

        Returns:
            ChatAnswer: The complete answer.
        """

    @abstractmethod
    async def models(self) -> list[str]:
        """List what it can answer with.

        Returns:
            list[str]: Model names.
        """

    async def check(self) -> None:
        """Find out whether it can be reached, takes our key and has the declared models.

        Raises:
            ProviderError: It cannot be used; the hint says what to do.
        """
        await self.models()

    async def look(self) -> Proved | None:
        """Check without asking a model for anything, so that it costs nothing.

        Returns:
            Proved | None: What that proves; None for as much as `check` does.

        Raises:
            ProviderError: It cannot be used.
        """
        await self.check()
        return None

    def generate(self, prompt: str, system_prompt: str = "") -> str | None:
        """Answer a prompt, blocking. Outside a run this is not journaled.

        Args:
            prompt (str): What the user says.
            system_prompt (str): What the model should be; may be empty.

        Returns:
            str | None: The text; None for an empty answer.

        Raises:
            ProviderError: There was no answer.
            SyncCallInAsync: Called on the thread of a running event loop.
        """
        return blocking(self._generate(prompt, system_prompt), instead=f"await {type(self).__name__}.chat(...)")

    def get_metrics(self) -> dict[str, Any]:
        """Say what this provider did since it was made.

        Returns:
            dict[str, Any]: `requests`, `errors`, `cancelled`, tokens (None if unknown), `seconds`, `errors_by_code`.
        """
        return self.tally.metrics()

    def validate(self) -> bool:
        """Check, blocking, that it can be reached, takes our key and has the model.

        Returns:
            bool: True if so; else `problem` says what is wrong.

        Raises:
            SyncCallInAsync: Called on the thread of a running event loop.
        """
        return blocking(self._validate(), instead=f"await {type(self).__name__}.check()")

    async def _generate(self, prompt: str, system_prompt: str) -> str | None:
        system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        body = {"model": await self._first_model(), "messages": [*system, {"role": "user", "content": prompt}]}
        try:
            answer = await self.chat(body)
        except EmptyAnswer:
            return None
        return answer.text or None

    async def _first_model(self) -> str:
        if self.declared:
            return self.declared[0]
        found = await self.models()
        if not found:
            raise ConfigError(f"{self.name!r} names no model", hint=f"Set `providers.{self.name}.models`.")
        self.declared = tuple(found)
        return found[0]

    async def _validate(self) -> bool:
        try:
            await self.check()
        except PerdureError as error:
            self.problem = error
            return False
        self.problem = None
        return True


def blocking(work: Coroutine[Any, Any, T], *, instead: str) -> T:
    """Wait for a coroutine on the background loop.

    Args:
        work (Coroutine[Any, Any, T]): What to do; has a time limit of its own.
        instead (str): What async code writes.

    Returns:
        T: Its result.

    Raises:
        SyncCallInAsync: This thread runs an event loop, which would stand still.
    """
    if _in_a_loop():
        work.close()
        raise SyncCallInAsync("a blocking call on the thread of a running event loop", hint=f"Write `{instead}`.")
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()  # after Ctrl-C nobody waits for the answer any more; a no-op if it has ended
        raise


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _loop() -> asyncio.AbstractEventLoop:
    """The background loop, begun anew if its thread is gone (after a fork)."""
    global _background
    with _lock:
        if _background is None or not _background[0].is_alive():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="perdure-simple-door", daemon=True)
            thread.start()
            _background = (thread, loop)
        return _background[1]
