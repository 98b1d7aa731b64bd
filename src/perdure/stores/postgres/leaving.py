"""Leaving messages in the inbox from within a user's own transaction.

Rows are added first, and only then is it asked whether one of their dedup keys was there before. So nobody
can slip in between: who moved another's row with the same key away while ours waited for it has told `dedup`.
What a refused call has added is taken back, since the user may catch the error and commit.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from perdure.clock import Moment
from perdure.errors.base import Conflict, DedupConflict, InvalidInput
from perdure.messages.message import MessageId, NewMessage, Receipt
from perdure.messages.registry import AgentCard
from perdure.stores.postgres.foreign import Answer, Conversation, Question
from perdure.stores.sql.statements import read_all

__all__ = ["Known", "all_known", "known_of", "leave"]

_TEXTS = read_all(Path(__file__).parent / "within")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_decode = msgspec.json.Decoder(NewMessage).decode
_decode_card = msgspec.json.Decoder(AgentCard).decode


class Known(NamedTuple):
    """What a put has to know of the store."""

    cards: Mapping[str, AgentCard | None]
    now: Moment


class _Before(NamedTuple):
    """A message that came with the same key."""

    id: int
    agent: str
    bodies: Sequence[bytes | None]
    """As it is now, and as it was put if it was edited since."""


def known_of(agents: Iterable[str], schema: str) -> Conversation[Known]:
    """Look agents up.

    Args:
        agents (Iterable[str]): Their names.
        schema (str): Where the store is.

    Returns:
        Conversation[Known]: Comes to their cards, None for those that nobody registered, and the database's time.
    """
    return _known_of(list(dict.fromkeys(agents)), schema)


def all_known(schema: str) -> Conversation[list[str]]:
    """List all agents.

    Args:
        schema (str): Where the store is.

    Returns:
        Conversation[list[str]]: Comes to their names.
    """
    return _all_known(schema)


def leave(messages: Sequence[NewMessage], schema: str) -> Generator[Question, Answer, list[Receipt]]:
    """Leave messages in the inbox: all, or none.

    Args:
        messages (Sequence[NewMessage]): Checked and complete.
        schema (str): Where the store is.

    Yields:
        Question: To be asked of the database.

    Returns:
        list[Receipt]: One for each.

    Raises:
        DedupConflict: A key came before with another body or agent.
    """
    given = [[new.tenant, new.dedup_key, msgspec.json.encode(new).decode()] for new in messages]
    rows = yield _text("leave", schema), [_json(given)]
    keys = _json(list(dict.fromkeys((new.tenant, new.dedup_key) for new in messages if new.dedup_key is not None)))
    known: dict[tuple[str, str], _Before] = {}
    if keys != "[]":
        known = _known((yield _text("before", schema), [keys, keys]))
    receipts, needless, conflict = _compared(messages, rows, known)
    if conflict is not None:
        needless = [number for number, fresh in rows if fresh]
    if needless:
        yield _text("take_back", schema), [_json(needless)]
    if conflict is not None:
        raise conflict
    return receipts


def _known_of(names: Sequence[str], schema: str) -> Conversation[Known]:
    rows = yield _text("known", schema), [_json(names)]
    cards = {name: _decode_card(card) for name, card, _ in rows if name is not None}
    return Known({name: cards.get(name) for name in names}, rows[0][2])


def _all_known(schema: str) -> Conversation[list[str]]:
    rows = yield _text("all_known", schema), []
    return [name for (name,) in rows]


def _known(rows: Sequence[Sequence[Any]]) -> dict[tuple[str, str], _Before]:
    """By tenant and key; a message that was put is stronger than one in the inbox, which came later."""
    known = {}
    for moved, tenant, key, number, agent, body, first_body in sorted(rows, key=lambda row: int(row[0])):
        if moved:
            known[tenant, key] = _Before(number, agent, [body.encode(), first_body and first_body.encode()])
        else:
            left = _decode(body)
            known[tenant, key] = _Before(number, left.agent, [left.body])
    return known


def _compared(
    messages: Sequence[NewMessage], rows: Sequence[Sequence[Any]], known: Mapping[tuple[str, str], _Before]
) -> tuple[list[Receipt], list[int], Conflict | None]:
    """Decide for each message whether it is new; which of the rows added are needless; and what speaks against it all."""
    receipts, needless = [], []
    for new, (number, fresh) in zip(messages, rows, strict=True):
        before = None if new.dedup_key is None else known.get((new.tenant, new.dedup_key))
        if before is None and not fresh:
            what = f"another transaction has used the key {new.dedup_key!r} and is not to be seen from this one"
            return [], [], Conflict(what, hint="Begin the transaction again.")
        if before is None or before.id == number:
            receipts.append(Receipt(MessageId(number)))
            continue
        if before.agent != new.agent or new.body not in before.bodies:
            what = f"the key {new.dedup_key!r} came before with another body or agent"
            return [], [], DedupConflict(what, hint="Use a key once per request.")
        receipts.append(Receipt(MessageId(before.id), duplicate=True))
        if fresh:
            needless.append(number)
    return receipts, needless, None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(name: str, schema: str) -> str:
    if not _SCHEMA.fullmatch(schema):
        raise InvalidInput(f"{schema!r} is no name for a schema of ours", hint="Use up to 40 small letters, digits and `_`.")
    return _TEXTS[name].replace("{schema}", schema)
