"""How a stream is told to its caller: the pieces of a chat in, bytes of events out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from perdure.errors.base import PerdureError
from perdure.server.openai.refusals import said
from perdure.wire.complete import Chunks
from perdure.wire.sse import DONE, encode_json

__all__ = ["ChunkVoice", "Voice"]


class Voice(Protocol):
    """Tells one stream."""

    @property
    def counts(self) -> Mapping[str, Any] | None:
        """What the upstream has counted so far."""
        ...

    def take(self, chunk: Mapping[str, Any]) -> bytes:
        """Tell the next piece.

        Args:
            chunk (Mapping[str, Any]): As the upstream sent it.

        Returns:
            bytes: Events; nothing where it says nothing to the caller.
        """
        ...

    async def end(self) -> bytes:
        """Tell that the answer is whole.

        Returns:
            bytes: The last events.
        """
        ...

    def broken(self, error: PerdureError) -> bytes:
        """Tell that no more comes.

        Args:
            error (PerdureError): Why.

        Returns:
            bytes: The last event.
        """
        ...


class ChunkVoice(Voice):
    """Tells a stream in chunks, as chats and texts are.

    Args:
        chunks (Chunks): Makes its pieces whole.
    """

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks

    @property
    def counts(self) -> Mapping[str, Any] | None:
        """What the upstream has counted so far."""
        return self._chunks.counts

    def take(self, chunk: Mapping[str, Any]) -> bytes:
        """Tell the next piece."""
        piece = self._chunks.take(chunk)
        return b"" if piece is None else encode_json(piece)

    async def end(self) -> bytes:
        """Tell that the answer is whole."""
        last = self._chunks.last()
        return DONE if last is None else encode_json(last) + DONE

    def broken(self, error: PerdureError) -> bytes:
        """Tell that no more comes."""
        return encode_json(said(error))
