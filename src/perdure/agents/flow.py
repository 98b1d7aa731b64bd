"""An answer that is passed on while it comes.

Theory of operation: nothing is passed on before something was said, so that until then another deployment can still be
asked. From then on the answer is this one: if it breaks off the call has failed, and no second answer is sewn on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from perdure.providers.protocol import ChatAnswer
from perdure.resources.usage import Usage
from perdure.wire.assemble import Assembler
from perdure.wire.usage import usage_of

__all__ = ["Flow"]


class Flow:
    """Of one call, whichever try is answered.

    Args:
        pass_on (Callable[[dict[str, Any]], None]): Takes each piece.
    """

    def __init__(self, pass_on: Callable[[dict[str, Any]], None]) -> None:
        self._pass_on = pass_on
        self.begun: bool = False
        """Something was passed on."""

    async def through(self, chunks: AsyncIterator[dict[str, Any]]) -> ChatAnswer:
        """Pass the pieces of one try on, and put them together.

        Args:
            chunks (AsyncIterator[dict[str, Any]]): As the provider gives them.

        Returns:
            ChatAnswer: The whole.
        """
        assembler, held = Assembler(), list[dict[str, Any]]()
        try:
            async for chunk in chunks:
                assembler.add(chunk)
                held.append(chunk)
                if assembler.began:
                    self._flush(held)
        finally:
            close = getattr(chunks, "aclose", None)  # a provider may give any iterator; ours let go of their connection here
            if close is not None:
                await close()
        self._flush(held)
        body = assembler.finish()
        return ChatAnswer(body=body, usage=usage_of(body["usage"]) if body.get("usage") else Usage(calls=1))

    def _flush(self, held: list[dict[str, Any]]) -> None:
        self.begun = self.begun or bool(held)
        for chunk in held:
            self._pass_on(chunk)
        held.clear()
