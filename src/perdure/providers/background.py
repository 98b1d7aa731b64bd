"""Calls that go on in the background at the provider, known by a handle: `responses` with `background`.

Beginning one is a single request, as ever. Looking whether it has ended costs nothing and is done again and again, further
and further apart; that a look fails says nothing of the call, so a few in a row are let pass.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.clock import awake
from perdure.errors.base import Billed, NetworkFailed, Overloaded, ProviderError, ProviderTimeout, ServerFailed
from perdure.providers.errors import Whence
from perdure.providers.progress import Progress
from perdure.providers.protocol import ChatAnswer
from perdure.providers.reading import as_answer, evidence
from perdure.wire.responses import as_completion, as_response_request

if TYPE_CHECKING:
    import aiohttp

    from perdure.providers.http import Door

__all__ = ["Background"]

_RESPONSES = "/responses"
_HANDLE = re.compile(r"[A-Za-z0-9_\-]{1,200}")
_FIRST_LOOK_S, _LAST_LOOK_S, _LOOK_S = 0.25, 5.0, 30.0
_BLIND = 5
"""So many looks in a row may fail."""
_LET_PASS = (NetworkFailed, ServerFailed, Overloaded, ProviderTimeout)


class Background:
    """Begins calls and asks for their answers.

    Args:
        name (str): Of the provider.
        door (Callable[[], Door]): Where it answers.
        whence (Callable[[str | None, aiohttp.ClientResponse], Whence]): Says of a model's answer where it came from.
        judged (Callable[[bytes, Whence], ProviderError]): Makes an error of what was answered.
    """

    def __init__(
        self,
        name: str,
        door: Callable[[], Door],
        whence: Callable[[str | None, aiohttp.ClientResponse], Whence],
        judged: Callable[[bytes, Whence], ProviderError],
    ) -> None:
        self._name = name
        self._door, self._whence, self._judged = door, whence, judged
        self.nap: Callable[[float], Awaitable[None]] = asyncio.sleep
        """How to wait between looks."""

    async def begin(self, body: Mapping[str, Any], timeout_s: float) -> str:
        """Have a chat begun, one try.

        Args:
            body (Mapping[str, Any]): A chat request that the wire can say.
            timeout_s (float): Until it is taken.

        Returns:
            str: Its handle.

        Raises:
            ProviderError: It was not taken.
        """
        door = self._door()
        async with door.post(_RESPONSES, as_response_request(body), Progress(), total_s=timeout_s) as response:
            whence = self._whence(body.get("model"), response)
            raw = await door.read(response)
        if not 200 <= response.status < 300:
            raise self._judged(raw, whence)
        handle = _decoded(raw).get("id")
        if not isinstance(handle, str) or _HANDLE.fullmatch(handle) is None:
            raise ServerFailed(
                f"{self._name!r} took a call for the background and gave it no name",
                hint="Set `background = false` for this provider.",
                billed=Billed.MAYBE,
                evidence=evidence(whence, "no-handle"),
            )
        return handle

    async def answer(self, handle: str, timeout_s: float) -> ChatAnswer | ProviderError | None:
        """Wait for an answer.

        Args:
            handle (str): Of a call that was begun.
            timeout_s (float): At most so long.

        Returns:
            ChatAnswer | ProviderError | None: It, or how the call failed; None if there is no such call.

        Raises:
            ProviderError: It could not be asked, or the time was up.
        """
        if _HANDLE.fullmatch(handle) is None:
            return None
        until, pause_s, blind = awake() + timeout_s, _FIRST_LOOK_S, 0
        while True:
            try:
                ended, found = await self._look(handle)
                blind = 0
                if ended:
                    return found
            except _LET_PASS:
                blind += 1
                if blind >= _BLIND:
                    raise
            if awake() + pause_s > until:
                raise ProviderTimeout(f"{self._name!r} gave no answer to {handle!r} within {timeout_s:g} s; it is asked again")
            await self.nap(pause_s)
            pause_s = min(pause_s * 1.5, _LAST_LOOK_S)

    async def _look(self, handle: str) -> tuple[bool, ChatAnswer | ProviderError | None]:
        door = self._door()
        async with door.get(f"{_RESPONSES}/{handle}", timeout_s=_LOOK_S) as response:
            whence = self._whence(None, response)
            raw = await door.read(response)
        if response.status == 404:
            return True, None
        if not 200 <= response.status < 300:
            raise self._judged(raw, whence)
        said = _decoded(raw)
        status = said.get("status")
        if status in {"completed", "incomplete"}:
            try:
                return True, as_answer(as_completion(said), whence)
            except ProviderError as nothing:  # an answer that is none: the call has failed, with its own error
                return True, nothing
        if status in {"failed", "cancelled", "expired"}:
            error = said.get("error") or {"message": f"the call was {status}", "code": status}
            return True, self._judged(msgspec.json.encode({"error": error}), msgspec.structs.replace(whence, status=500))
        return False, None


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ServerFailed("the provider answered without JSON", hint="Is `base_url` right?", billed=Billed.MAYBE)
    return said
