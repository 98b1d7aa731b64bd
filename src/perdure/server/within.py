"""The door for whoever has a transaction of their own: a message exists exactly if their rows do.

It is no door of a server: it runs in the user's program, over the user's connection to the database that
the store is in. What the other doors check is checked here too, by the same code: the agent must be
known, and the body must have its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.config.settings import QueueSettings, ServerSettings
from perdure.errors.base import InputTooLarge, InvalidInput
from perdure.messages.ids import write
from perdure.messages.message import NewMessage
from perdure.messages.written import Named, NewMessageJson, as_json, written
from perdure.security.validator import Validator
from perdure.server.admission import Completion, unknown_agent
from perdure.server.asks import PutMany, PutMessage
from perdure.server.body import parse_json
from perdure.server.reading import shaped
from perdure.stores.postgres.foreign import Conversation, converse, converse_sync
from perdure.stores.postgres.leaving import all_known, known_of, leave

__all__ = ["put_within", "put_within_sync"]

_MOST = 10_000
_limits = ServerSettings()
_completion = Completion(Validator(), QueueSettings(), lambda model: model if model and "/" in model else None)


async def put_within(connection: Any, *messages: NewMessageJson, schema: str = "perdure", allow_unregistered: bool = False) -> list[str]:
    """Put messages within a transaction of your own, over a connection that is awaited.

    They exist once it is committed, and never if it is rolled back. A worker sees them about 0.3 s after the
    commit at the latest; at once, if you then run `SELECT pg_notify('perdure.perdure', 'inbox')`. Whatever
    your transaction does, and however long, nothing of Perdure waits for it.

    Args:
        connection (Any): asyncpg's, psycopg's `AsyncConnection`, SQLAlchemy's `AsyncConnection` or `AsyncSession`; to
            the PostgreSQL database that the store is in.
        *messages (NewMessageJson): Each with `agent`, `body`, and what else `AsyncClient.send` takes.
        schema (str): The schema that the store is in.
        allow_unregistered (bool): Whether to put messages for agents that no worker has ever registered.

    Returns:
        list[str]: Their ids. A known `dedup_key` brings the id it had.

    Raises:
        UnknownAgent: No worker ever registered that agent.
        InvalidInput: The body is not what the agent takes, or the connection is not to PostgreSQL.
        DedupConflict: A key was used for another body. Nothing was put; the transaction can go on.
    """
    return await converse(connection, _put(messages, schema, allow_unregistered))


def put_within_sync(connection: Any, *messages: NewMessageJson, schema: str = "perdure", allow_unregistered: bool = False) -> list[str]:
    """Put messages within a transaction of your own, over a connection that is not awaited.

    As `put_within` does.

    Args:
        connection (Any): psycopg's `Connection`, SQLAlchemy's `Connection` or `Session`, or another that speaks DB-API (such
            as Django's); to the PostgreSQL database that the store is in.
        *messages (NewMessageJson): Each with `agent`, `body`, and what else `Client.send` takes.
        schema (str): The schema that the store is in.
        allow_unregistered (bool): Whether to put messages for agents that no worker has ever registered.

    Returns:
        list[str]: Their ids. A known `dedup_key` brings the id it had.

    Raises:
        UnknownAgent: No worker ever registered that agent.
        InvalidInput: The body is not what the agent takes, or the connection is not to PostgreSQL.
        DedupConflict: A key was used for another body. Nothing was put; the transaction can go on.
    """
    return converse_sync(connection, _put(messages, schema, allow_unregistered))


def _put(messages: Sequence[NewMessageJson], schema: str, allow_unregistered: bool) -> Conversation[list[str]]:
    if not messages:
        return []
    asks = _asks(messages)
    known = yield from known_of((ask.agent for ask in asks), schema)
    missing = [name for name, card in known.cards.items() if card is None]
    if missing and not allow_unregistered:
        raise unknown_agent(missing, (yield from all_known(schema)))
    new: list[NewMessage] = _completion.complete(
        asks, known.cards, tenant_of=lambda ask: ask.tenant or "default", now=known.now, many=len(asks) > 1
    )
    receipts = yield from leave(new, schema)
    return [write(receipt.id) for receipt in receipts]


def _asks(messages: Sequence[NewMessageJson]) -> Sequence[PutMessage]:
    if len(messages) > _MOST:
        raise InputTooLarge(
            f"{len(messages):,} messages are too many for one put; {_MOST:,} are allowed", hint="Put them in several calls."
        )
    said = [written(*_parts(message, number)) for number, message in enumerate(messages)]
    for message in said:
        if len(bytes(message["body"])) > _limits.max_body_bytes:
            raise InputTooLarge(
                f"a body is larger than {_limits.max_body_bytes:,} bytes", hint="Keep what is large elsewhere, and name it."
            )
    data = parse_json(as_json({"messages": said}, "the messages"), max_depth=_limits.max_depth)
    put: PutMany = shaped(data, (PutMessage, PutMany))
    return put.messages


def _parts(message: NewMessageJson, number: int) -> tuple[str | Named, Any, dict[str, Any]]:
    options: dict[str, Any] = dict(message)
    try:
        return options.pop("agent"), options.pop("body"), options
    except KeyError as missing:
        raise InvalidInput(f"message {number} has no {missing.args[0]!r}") from None
