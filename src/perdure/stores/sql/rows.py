"""A message, made from its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.messages.message import Message, MessageId

__all__ = ["message_from"]

_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


def message_from(id: int, route: tuple[str, str, str | None, str | None], tenant: str, columns: Sequence[Any]) -> Message:
    """Make a message from its row.

    Args:
        id (int): Its number.
        route (tuple[str, str, str | None, str | None]): Queue, agent, version and lane.
        tenant (str): Whose it is.
        columns (Sequence[Any]): `priority` to `body`, in the order of the table.

    Returns:
        Message: As it was put.
    """
    queue, agent, version, lane = route
    priority, attempts, created_at, timeout_s, deadline, max_wait_s = columns[:6]
    session, on_dead, key, cost, parent, group, dedup_key, metadata, body = columns[6:]
    return Message(
        id=MessageId(id),
        agent=agent,
        body=body,
        queue=queue,
        tenant=tenant,
        priority=priority,
        attempts=attempts,
        created_at=created_at,
        timeout_s=timeout_s,
        deadline=deadline,
        max_wait_s=max_wait_s,
        version=version,
        lane=lane,
        session=session,
        on_dead=on_dead or "continue",
        key=key,
        cost=cost or 1,
        parent=parent,
        group=group,
        metadata=_decode_metadata(metadata) if metadata else {},
        dedup_key=dedup_key,
    )
