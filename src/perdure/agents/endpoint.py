"""The contract of the endpoint of a run: how a framework's calls come in from outside, and how they are answered.

A run opens its endpoint when somebody first asks for its address; nobody else pays for it. Kept by `worker/endpoint.py`.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec

__all__ = ["Address", "Asked", "Calls", "Endpoint"]


class Address(msgspec.Struct, frozen=True):
    """Where a run is asked, and what lets a client in."""

    url: str
    """Without the part that names a scope, and without `/v1`."""
    token: str
    """Of this run and this lease."""


class Asked(Protocol):
    """One LLM call, and a client that reads its answer. Another client may read the same one after it."""

    async def whole(self) -> dict[str, Any]:
        """Wait for the answer.

        Returns:
            dict[str, Any]: A `chat.completion`, recorded.

        Raises:
            RunEnded: The run has ended, or was parked.
            PerdureError: There is no answer; recorded as well.
        """
        ...

    def pieces(self) -> AsyncIterator[dict[str, Any]]:
        """Read the answer as it comes; its end comes only when it is recorded.

        Returns:
            AsyncIterator[dict[str, Any]]: `chat.completion.chunk` objects from the first on, whenever one begins to read.

        Raises:
            RunEnded: The run has ended, or was parked.
            PerdureError: There is no answer, or no end of it.
        """
        ...

    def read(self) -> None:
        """Tell that the whole answer was written to the client: the call is used up."""
        ...

    def left(self) -> None:
        """Tell that the client reads no more. Without `read` before, an equal call that comes later is this one."""
        ...


class Calls(Protocol):
    """The calls that come to one run."""

    def ask(self, scope: str, body: Mapping[str, Any], *, again: bool = False) -> Asked:
        """Find or begin the call that a request is. On the loop, the moment the request has come.

        Args:
            scope (str): Where in the run it is made.
            body (Mapping[str, Any]): An OpenAI chat request that was checked.
            again (bool): The client says that it asks once more, whatever has become of its first connection.

        Returns:
            Asked: To be read, and left.

        Raises:
            RunEnded: The run makes no more calls.
        """
        ...

    def refused(self, id: str, error: BaseException) -> None:
        """Note with which error a client was answered, so that it is known again if it ends the attempt.

        Args:
            id (str): Found in whatever the client makes of it.
            error (BaseException): Ours.
        """
        ...


class Endpoint(Protocol):
    """Answers on OpenAI's wire for the runs of one worker."""

    def open(self, message: int, lease: int, calls: Calls, loop: AbstractEventLoop) -> Address:
        """Let clients in for a run. From any thread.

        Args:
            message (int): The message's number.
            lease (int): The lease's token.
            calls (Calls): Who answers.
            loop (AbstractEventLoop): Where the run lives.

        Returns:
            Address: Good until it is closed.
        """
        ...

    def close(self, message: int, lease: int) -> None:
        """Let nobody in any more.

        Args:
            message (int): The message's number.
            lease (int): The lease's token.
        """
        ...
