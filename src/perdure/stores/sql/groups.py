"""Messages that were put together: begun, added to, closed, looked at."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.errors.base import ErrorFacts, NotFound
from perdure.messages.groups import Group, Member, Members, NewGroup, after_cursor, refuse_closed, write
from perdure.messages.message import GroupId, MessageId
from perdure.stores.sql.kin import close_if_all_ended
from perdure.stores.sql.places import state_of
from perdure.stores.sql.statements import Run, statement
from perdure.stores.sql.transaction import Transaction

__all__ = ["add_members", "begin", "close", "group_of", "members", "open_group"]

_ADD, _GET, _COUNT, _CLOSE = (statement(n) for n in ("group_add", "group_get", "group_count", "group_close"))
_MEMBER, _MEMBERS, _OUTCOME, _TENANT = (statement(n) for n in ("member_add", "member_list", "view_outcome", "tenant_get"))
_METADATA = statement("member_metadata")
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode
_decode_error = msgspec.json.Decoder(ErrorFacts).decode


def begin(tx: Transaction, id: int, new: NewGroup, tenant: int, join: int | None) -> None:
    """Begin a group.

    Args:
        tx (Transaction): What is being committed.
        id (int): Its number.
        new (NewGroup): What is wanted.
        tenant (int): Whose.
        join (int | None): The message that waits for it.
    """
    tx.run(_ADD, (id, tenant, new.name, int(new.open), join, tx.now))


def open_group(tx: Transaction, id: GroupId, tenant: str) -> None:
    """Make sure that messages can be added to a group.

    Args:
        tx (Transaction): What is being committed.
        id (GroupId): Which.
        tenant (str): Whose messages.

    Raises:
        NotFound: No such group of this tenant.
        Conflict: It is closed.
    """
    if not group_of(tx.run, id, tenant).open:
        raise refuse_closed(id)


def add_members(tx: Transaction, group: int, ids: list[MessageId]) -> None:
    """Add messages to a group, all at once.

    Args:
        tx (Transaction): What is being committed.
        group (int): Which.
        ids (list[MessageId]): What has just been put into it.
    """
    tx.run_many(_MEMBER, [(group, one) for one in ids])
    close_if_all_ended(tx, group, *tx.run(_COUNT, (group, len(ids), 0, 0, 0, 0)).get)


def close(tx: Transaction, id: GroupId, tenant: str | None) -> Group:
    """Say that a group is complete.

    Args:
        tx (Transaction): What is being committed.
        id (GroupId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        Group: As it is then.
    """
    if group_of(tx.run, id, tenant).open:
        tx.run(_CLOSE, (id,))
        close_if_all_ended(tx, id, *tx.run(_COUNT, (id, 0, 0, 0, 0, 0)).get)
    return group_of(tx.run, id, tenant)


def group_of(run: Run, id: GroupId, tenant: str | None) -> Group:
    """Look at a group.

    Args:
        run (Run): Of a reader or a transaction.
        id (GroupId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        Group: In kept numbers.

    Raises:
        NotFound: No such group (of this tenant).
    """
    row = run(_GET, (id,)).fetchone()
    whose = None if row is None else run(_TENANT, (row[1],)).get
    if row is None or whose is None or tenant not in (None, whose):
        raise NotFound(f"there is no group {write(id)!r}", hint="A put with `then` or `group` returns its id.")
    _, _, name, is_open, total, done, dead, cancelled, join, created_at, ended_at = row
    return Group(
        id=id,
        tenant=whose,
        name=name,
        open=bool(is_open),
        total=total,
        done=done,
        dead=dead,
        cancelled=cancelled,
        then=None if join is None else MessageId(join),
        created_at=created_at,
        ended_at=ended_at,
    )


def members(run: Run, id: GroupId, limit: int, cursor: str | None, tenant: str | None) -> Members:
    """List what became of a group's messages.

    Args:
        run (Run): Of a reader.
        id (GroupId): Which.
        limit (int): At most so many.
        cursor (str | None): Where the page before ended.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        Members: In the order of putting.

    Raises:
        InvalidInput: The cursor is none of ours.
    """
    group_of(run, id, tenant)
    after = after_cursor(cursor)
    ids = [one for (one,) in run(_MEMBERS, (id, after, limit + 1)).fetchall()]
    return Members([_member(run, one) for one in ids[:limit]], str(ids[limit - 1]) if len(ids) > limit else None)


def _member(run: Run, id: int) -> Member:
    row: tuple[Any, ...] | None = run(_OUTCOME, (id,)).fetchone()
    error, result = (None, None) if row is None else row[5:7]
    facts = None if error is None else _decode_error(error)
    metadata = run(_METADATA, (id,)).get
    said = {} if metadata is None else _decode_metadata(metadata)
    return Member(id=MessageId(id), state=state_of(run, id), result=result, error=facts, metadata=said)
