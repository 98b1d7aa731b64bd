"""A provider's stream on its way to the caller: each piece as it comes, made whole, and an end that says what it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from perdure.errors.base import EmptyAnswer, PerdureError, ProviderError
from perdure.errors.handler import handle
from perdure.resources.usage import Usage
from perdure.server.answer import Streamed
from perdure.server.door import Call
from perdure.server.openai.telling import tell_answered
from perdure.server.openai.tries import Made
from perdure.server.openai.voice import Voice
from perdure.wire.answers import chunks_of
from perdure.wire.usage import usage_of

Chunk: TypeAlias = Mapping[str, Any]
PING_S = 15.0

__all__ = ["PING_S", "Opened", "Pieces", "cut", "opened"]


class Opened(NamedTuple):
    """A stream whose first piece has come."""

    chunks: AsyncIterator[Chunk]
    first: Chunk


async def opened(chunks: AsyncIterator[Chunk]) -> Opened:
    """Wait for the first piece of a stream.

    Args:
        chunks (AsyncIterator[Chunk]): A provider's; closed if there is none.

    Returns:
        Opened: To be read on.

    Raises:
        EmptyAnswer: The stream ended before.
    """
    try:
        async for first in chunks:
            return Opened(chunks, first)
        raise EmptyAnswer("the provider ended the stream before its first piece")
    except BaseException:
        await _close(chunks)
        raise


async def cut(answer: Mapping[str, Any], voice: Voice) -> AsyncGenerator[bytes, None]:
    """Stream an answer that is there already.

    Args:
        answer (Mapping[str, Any]): A whole `chat.completion`.
        voice (Voice): Tells it.

    Yields:
        bytes: Events, the last with the end of the stream.
    """
    for chunk in chunks_of(answer):
        if piece := voice.take(chunk):
            yield piece
    yield await voice.end()


class Pieces:
    """One stream.

    Args:
        call (Call): Whose.
        made (Made[Opened]): The try that was answered.
        voice (Voice): Tells it.
    """

    def __init__(self, call: Call, made: Made[Opened], voice: Voice) -> None:
        self._call, self._made, self._voice = call, made, voice
        self._whole = False

    def streamed(self) -> Streamed:
        """Make it the answer.

        Returns:
            Streamed: Not yet begun.
        """
        return Streamed(self._events(), ping_s=PING_S, is_whole=lambda: self._whole)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        voice, made = self._voice, self._made
        broken: BaseException | None = None
        try:
            if piece := voice.take(made.answer.first):
                yield piece
            async for chunk in made.answer.chunks:
                if piece := voice.take(chunk):
                    yield piece
            yield await self._end()
        except ProviderError as error:
            broken = None if error.answer is not None else error  # it came to its end, and says itself that it was cut off or declined
            yield (await self._end()) if broken is None else self._broken(error)
        except PerdureError as error:
            broken = error
            yield self._broken(error)
        except Exception as error:
            broken = error
            handle(error, where="server", what=f"stream of request {self._call.request_id} broke", broke=True)
            yield voice.broken(PerdureError("something went wrong inside", hint="The log has it under this request's id."))
        except BaseException as error:  # nobody listens any more
            broken = error
            raise
        finally:
            await _close(made.answer.chunks)
            await self._book(broken)

    async def _end(self) -> bytes:
        last = await self._voice.end()
        self._whole = True
        return last

    def _broken(self, error: PerdureError) -> bytes:
        handle(error, where="server", request_id=self._call.request_id)
        return self._voice.broken(error)

    async def _book(self, broken: BaseException | None) -> None:
        counts = self._voice.counts
        usage = Usage(calls=1) if counts is None else usage_of(counts)
        made = self._made
        priced = await (made.end(usage) if broken is None else made.broke(broken, usage))
        tell_answered(self._call, made.way.target, priced, seconds=made.seconds, stream=True)


async def _close(chunks: AsyncIterator[Chunk]) -> None:
    # A provider may give any iterator; generators, which ours are, let go of their connection when closed.
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
