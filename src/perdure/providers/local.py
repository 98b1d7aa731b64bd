"""The embedded model, as a provider like any other.

It lives in a process of its own (`local_server.py`), shared by everything that works on one data folder,
and is a row of `GenericProvider` without native tool calls. This class only sees to it that the process
is there: starts it at the first call, and again if it has ended or crashed since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from perdure.clock import awake
from perdure.errors.base import Billed, ModelNotFound, NetworkFailed
from perdure.providers.checkup import Proved
from perdure.providers.generic import GenericProvider
from perdure.providers.local_process import running_model, stop_model
from perdure.providers.local_state import ModelState, Places, touch
from perdure.providers.protocol import ChatAnswer
from perdure.providers.simple import SimpleDoor

__all__ = ["LocalProvider", "stop_model"]


class LocalProvider(SimpleDoor):
    """Answers chats by the embedded model; both doors.

    Args:
        name (str): As in the settings.
        data (Path): The data folder whose model process is used or started.
        model (str): Which model; `perdure models get` fetches it.
        idle_s (float): The process ends after so long without use.
        models_folder (Path | None): Where models lie; None for the usual place.
        timeout_s (float): For a whole answer, or for each piece of a stream.
    """

    def __init__(
        self,
        name: str = "local",
        *,
        data: Path,
        model: str = "smollm2",
        idle_s: float = 300.0,
        models_folder: Path | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(name, (model,))
        self.timeout_s: float = timeout_s
        self._data, self._model, self._idle_s, self._models_folder = data, model, idle_s, models_folder
        self._places = Places(data)
        self._row: GenericProvider | None = None
        self._state: ModelState | None = None
        self._touched = 0.0
        # One thread: of many first calls one starts the process, the others find it.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="local-model")

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        """Answer a chat, one try.

        Args:
            body (Mapping[str, Any]): An OpenAI chat request.
            timeout_s (float | None): For the whole answer; None for the provider's own.

        Returns:
            ChatAnswer: Complete.

        Raises:
            ContextTooLong: The conversation does not fit.
            ProviderError: There was no answer.
        """
        self._refuse_other_models(body)
        row = await self._attached()
        try:
            return await row.chat(body, timeout_s=timeout_s)
        except NetworkFailed as error:
            row = await self._after(error)
        return await row.chat(body, timeout_s=timeout_s)

    async def stream(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Answer a chat piece by piece, one try.

        Args:
            body (Mapping[str, Any]): As for `chat`.
            timeout_s (float | None): For each piece.

        Yields:
            dict[str, Any]: `chat.completion.chunk` objects.

        Raises:
            ProviderError: Before the first piece or in the middle.
        """
        self._refuse_other_models(body)
        row = await self._attached()
        try:
            async for chunk in row.stream(body, timeout_s=timeout_s):
                yield chunk
            return
        except NetworkFailed as error:
            row = await self._after(error)
        async for chunk in row.stream(body, timeout_s=timeout_s):
            yield chunk

    async def models(self) -> list[str]:
        """List the one model.

        Returns:
            list[str]: Its name.
        """
        return list(self.declared)

    async def check(self) -> None:
        """Find out whether the model can be started and answers.

        Raises:
            ProviderError: It cannot; the hint says what to type.
        """
        await (await self._attached()).check()

    async def look(self) -> Proved:
        """Find out what can be found out without starting the model: nothing.

        Returns:
            Proved: Nothing.
        """
        return Proved(key_good=None, models_there=None)

    async def aclose(self) -> None:
        """Close connections. The process stays for others and ends when idle; `stop_model` ends it now."""
        row, self._row = self._row, None
        if row is not None:
            await row.aclose()

    async def _attached(self) -> GenericProvider:
        """The row of the running process; one that ended since is seen by its missing file."""
        row = self._row
        if row is not None and await self._still_there():
            return row
        return await self._attach()

    async def _still_there(self) -> bool:
        if awake() - self._touched < min(1.0, self._idle_s / 4):
            return True
        self._touched = awake()
        return await asyncio.to_thread(touch, self._places.state)

    async def _attach(self) -> GenericProvider:
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(self._starter, self._find)
        self._touched = awake()
        if self._row is not None and state == self._state:
            return self._row
        dead, self._state, self._row = self._row, state, self._row_of(state)
        row = self._row
        if dead is not None:
            await dead.aclose()
        return row

    def _find(self) -> ModelState:
        return running_model(self._data, self._model, idle_s=self._idle_s, models_folder=self._models_folder)

    def _row_of(self, state: ModelState) -> GenericProvider:
        row = GenericProvider(
            self.name,
            base_url=f"{state.url}/v1",
            api_key=state.key,
            timeout_s=self.timeout_s,
            native_tools=False,
            models=self.declared,
            dialect="llamacpp",
            repeat_tools=False,
        )
        row.tally = self.tally
        return row

    async def _after(self, error: NetworkFailed) -> GenericProvider:
        """After a connection that was never made nothing was sent, so asking a new process is still one try."""
        if error.billed is not Billed.NO:
            raise error
        return await self._attach()

    def _refuse_other_models(self, body: Mapping[str, Any]) -> None:
        model = body.get("model")
        if model is not None and model != self._model:
            raise ModelNotFound(f"{self.name!r} does not have {model!r}", hint=f"It has {self._model!r}.")
