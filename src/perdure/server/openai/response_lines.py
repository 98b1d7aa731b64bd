"""Lines of a batch that ask for responses: each is a chat, and its response is kept as one in the background is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.errors.base import NotFound
from perdure.messages.batches import Batch
from perdure.messages.groups import Member
from perdure.messages.message import Receipt
from perdure.messages.responses import KeptResponse
from perdure.server.core import Core
from perdure.server.openai.background import id_of, now_of
from perdure.wire.batches import Line
from perdure.wire.response_items import items_of
from perdure.wire.response_said import begun

__all__ = ["ResponseLines"]


class ResponseLines:
    """The responses of one batch.

    Args:
        core (Core): Where they are kept.
        batch (Batch): Whose they are.
    """

    def __init__(self, core: Core, batch: Batch) -> None:
        self._core, self._batch = core, batch
        self._passing: list[str] = []

    async def keep(self, lines: Sequence[Line], receipts: Sequence[Receipt]) -> None:
        """Keep what each line asked, since its response repeats it; what is kept already stays as it is.

        Args:
            lines (Sequence[Line]): That were put.
            receipts (Sequence[Receipt]): Of their messages.
        """
        asked = [self._begun(line, receipt) for line, receipt in zip(lines, receipts, strict=True) if line.response is not None]
        await asyncio.gather(*(self._core.store.responses.keep(one) for one in asked))

    async def told(self, member: Member) -> dict[str, Any] | None:
        """Say the response of a line.

        Args:
            member (Member): Its message, which has an answer.

        Returns:
            dict[str, Any] | None: As it can be retrieved too; None if somebody has deleted it.
        """
        kept = await self._kept(member)
        if kept is None:
            return None
        try:
            return await now_of(self._core, kept)
        except NotFound:
            return None

    async def unanswered(self, member: Member) -> None:
        """Take note of a line that has no answer, and gets none.

        Args:
            member (Member): Its message.
        """
        await self._kept(member)

    async def forget(self) -> None:
        """Forget those that were told and are not to be stored."""
        for one in self._passing:
            try:
                await self._core.store.responses.drop(one, tenant=None)
            except NotFound:
                continue

    async def _kept(self, member: Member) -> KeptResponse | None:
        try:
            kept = await self._core.store.responses.get(id_of(member.id), tenant=None)
        except NotFound:
            return None
        if not msgspec.json.decode(kept.said)["store"]:
            self._passing.append(kept.id)
        return kept

    def _begun(self, line: Line, receipt: Receipt) -> KeptResponse:
        body: dict[str, Any] = msgspec.json.decode(line.response or b"{}")
        name, model = id_of(receipt.id), line.model or self._core.models.deployments().name
        said = begun(body, id=name, model=model, at=self._core.clock.now())
        return KeptResponse(
            id=name,
            tenant=self._batch.tenant,
            said=msgspec.json.encode(said),
            asked=msgspec.json.encode(items_of(body["input"])),
            message=receipt.id,
        )
