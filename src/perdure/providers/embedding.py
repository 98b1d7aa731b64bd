"""Turns texts into vectors, as many in one request as the endpoint takes.

Unlike a chat this may be several requests, one after the other; each is one try, and the first that fails
ends it. The vectors of those before are lost then, but cost little and are the same when asked for again.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.errors.base import Billed, InvalidRequest, ProviderError, ServerFailed
from perdure.providers.errors import Whence
from perdure.providers.progress import Progress
from perdure.providers.protocol import Embeddings
from perdure.providers.reading import evidence
from perdure.providers.row import Row
from perdure.resources.usage import Usage
from perdure.wire.usage import usage_of

if TYPE_CHECKING:
    import aiohttp

    from perdure.providers.http import Door

__all__ = ["Embedder"]

_PATH = "/embeddings"
_AT_ONCE = 256
"""Texts in one request to a server that we do not know."""


class Embedder:
    """Asks one endpoint for vectors.

    Args:
        name (str): Of the provider.
        row (Row | None): What is known of the endpoint.
        door (Callable[[], Door]): Where it answers.
        whence (Callable[[str | None, aiohttp.ClientResponse], Whence]): Says of a model's answer where it came from.
        judged (Callable[[bytes, Whence], ProviderError]): Makes an error of what was answered.
    """

    def __init__(
        self,
        name: str,
        row: Row | None,
        door: Callable[[], Door],
        whence: Callable[[str | None, aiohttp.ClientResponse], Whence],
        judged: Callable[[bytes, Whence], ProviderError],
    ) -> None:
        self._name, self._row = name, row
        self._door, self._whence, self._judged = door, whence, judged

    async def embed(
        self, texts: Sequence[str | Sequence[int]], model: str, dimensions: int | None, timeout_s: float, more: Mapping[str, Any]
    ) -> Embeddings:
        """Turn texts into vectors.

        Args:
            texts (Sequence[str | Sequence[int]]): Any number; a text may be given as its tokens.
            model (str): Which model.
            dimensions (int | None): How long the vectors shall be; None for the model's own.
            timeout_s (float): For each request.
            more (Mapping[str, Any]): Further parameters, sent as they are.

        Returns:
            Embeddings: One vector for each text, in their order.

        Raises:
            ProviderError: A request failed; what those before it cost is paid.
        """
        if isinstance(texts, str) or not all(map(_is_text, texts)):
            raise InvalidRequest(f"{self._name!r} turns texts into vectors, and none may be empty", hint="Give a list of texts.")
        vectors: list[list[float]] = []
        usage = Usage()
        size = self._at_once(model)
        for start in range(0, len(texts), size):
            body: dict[str, Any] = {**more, "model": model, "input": list(texts[start : start + size])}
            if dimensions is not None:
                body["dimensions"] = dimensions
            try:
                found, used = await self._some(body, timeout_s)
            except ProviderError as error:
                error.billed = Billed.PARTIAL if start else error.billed
                raise
            vectors += found
            usage += used
        return Embeddings(model=model, vectors=vectors, usage=usage)

    def _at_once(self, model: str) -> int:
        if self._row is None:
            return _AT_ONCE
        own = (size for pattern, size in self._row.embeds_by_model.items() if fnmatchcase(model, pattern))
        return next(own, self._row.embeds_at_once)

    async def _some(self, body: dict[str, Any], timeout_s: float) -> tuple[list[list[float]], Usage]:
        door = self._door()
        async with door.post(_PATH, body, Progress(), total_s=timeout_s) as response:
            whence = self._whence(body["model"], response)
            raw = await door.read(response)
        if not 200 <= response.status < 300:
            raise self._judged(raw, whence)
        return self._read(raw, len(body["input"]), whence)

    def _read(self, raw: bytes, wanted: int, whence: Whence) -> tuple[list[list[float]], Usage]:
        try:
            body = msgspec.json.decode(raw)
            rows = sorted(body["data"], key=lambda row: row["index"])
            vectors = [_vector(row["embedding"]) for row in rows]
        except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, ValueError, struct.error) as error:
            raise self._wrong("without vectors", whence) from error
        if len(vectors) != wanted or len({len(vector) for vector in vectors}) > 1:
            raise self._wrong(f"with {len(vectors)} vectors to {wanted} texts, or of different lengths", whence)
        return vectors, usage_of(body.get("usage"))

    def _wrong(self, what: str, whence: Whence) -> ServerFailed:
        return ServerFailed(
            f"{self._name!r} answered 200 {what}",
            hint="Does this model embed? Is `base_url` right?",
            billed=Billed.MAYBE,
            evidence=evidence(whence, "no-vectors"),
        )


def _is_text(text: Any) -> bool:
    tokens = isinstance(text, Sequence) and not isinstance(text, str) and all(type(token) is int for token in text)
    return bool(text) and (type(text) is str or tokens)


def _vector(value: Any) -> list[float]:
    """A list of numbers, or the same as OpenAI packs it for those who ask: little-endian floats in base64."""
    if isinstance(value, str):
        raw = base64.b64decode(value, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    vector = [float(number) for number in value]
    if not vector:
        raise ValueError("an empty vector")
    return vector
