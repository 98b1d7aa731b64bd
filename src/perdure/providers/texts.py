"""Texts that are gone on with, as before there were chats: passed to the endpoint as they are, and checked as chats are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from perdure.clock import now
from perdure.errors.base import ProviderError
from perdure.providers.errors import Whence
from perdure.providers.headroom import headroom_in
from perdure.providers.progress import Progress
from perdure.providers.protocol import ChatAnswer
from perdure.providers.reading import read_whole
from perdure.wire.usage import usage_of

if TYPE_CHECKING:
    import aiohttp

    from perdure.providers.http import Door

__all__ = ["Texts"]

_PATH = "/completions"


class Texts:
    """Asks one endpoint how texts go on.

    Args:
        door (Callable[[], Door]): Where it answers.
        whence (Callable[[str | None, aiohttp.ClientResponse], Whence]): Says of a model's answer where it came from.
        judged (Callable[[bytes, Whence], ProviderError]): Makes an error of what was answered.
    """

    def __init__(
        self,
        door: Callable[[], Door],
        whence: Callable[[str | None, aiohttp.ClientResponse], Whence],
        judged: Callable[[bytes, Whence], ProviderError],
    ) -> None:
        self._door, self._whence, self._judged = door, whence, judged

    async def whole(self, body: Mapping[str, Any], timeout_s: float) -> ChatAnswer:
        """Ask, one try.

        Args:
            body (Mapping[str, Any]): A request with a `prompt`, not streamed.
            timeout_s (float): For the whole answer.

        Returns:
            ChatAnswer: Its body is a `text_completion`.

        Raises:
            ProviderError: There was no answer.
        """
        door = self._door()
        async with door.post(_PATH, body, Progress(), total_s=timeout_s) as response:
            whence = self._whence(body.get("model"), response)
            raw = await door.read(response)
        if not 200 <= response.status < 300:
            raise self._judged(raw, whence)
        found = read_whole(raw, whence)
        left = headroom_in(whence.headers, now())
        return ChatAnswer(body=found, usage=usage_of(found.get("usage")), request_id=whence.request_id, headroom=left)

    async def pieces(self, body: Mapping[str, Any], read_s: float) -> AsyncIterator[dict[str, Any]]:
        """Ask for the answer piece by piece, one try.

        Args:
            body (Mapping[str, Any]): A request with a `prompt`, streamed.
            read_s (float): For each piece.

        Yields:
            dict[str, Any]: Pieces of a `text_completion`.

        Raises:
            ProviderError: Before the first piece or in the middle.
        """
        from perdure.providers.streams import TextReader  # late: it imports aiohttp

        door, progress = self._door(), Progress()
        async with door.post(_PATH, body, progress, total_s=None, read_s=read_s) as response:
            whence = self._whence(body.get("model"), response)
            if not 200 <= response.status < 300:
                raise self._judged(await door.read(response), whence)
            async for piece in TextReader(response, progress, whence).chunks():
                yield piece
