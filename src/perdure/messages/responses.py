"""The contract of responses that are kept, so that a later request can go on from one, or ask for it again.

Theory of operation: a response is written once, whole, and never changed; it goes when somebody deletes it or its time is up.
One that goes on in the background names the message that makes it: what has become of it is asked of the message, and is
therefore not here. An id is one tenant's; to all others there is no such response.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from perdure.messages.message import MessageId

__all__ = ["KeptResponse", "ResponseStore"]


class KeptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response, and what it answers."""

    id: str
    tenant: str
    said: bytes
    """As it was answered: JSON. Of one in the background, as it was when it was put."""
    asked: bytes
    """The items it answers: a JSON list, without those of the responses before it."""
    message: MessageId | None = None
    """Who makes it in the background."""


class ResponseStore(Protocol):
    """Keeps responses by their id. Proved by `perdure.testing.ResponseKit`."""

    async def keep(self, response: KeptResponse) -> None:
        """Keep a response; one that is there already stays as it is.

        Args:
            response (KeptResponse): With an id that was never used for another.
        """
        ...

    async def get(self, id: str, *, tenant: str | None) -> KeptResponse:
        """Give a response.

        Args:
            id (str): Which.
            tenant (str | None): Only if it is this tenant's; None for any.

        Returns:
            KeptResponse: As it was kept.

        Raises:
            NotFound: No such response (of this tenant).
        """
        ...

    async def drop(self, id: str, *, tenant: str | None) -> None:
        """Forget a response.

        Args:
            id (str): Which.
            tenant (str | None): Only if it is this tenant's; None for any.

        Raises:
            NotFound: No such response (of this tenant).
        """
        ...
