"""How groups look from outside, in memory."""

from __future__ import annotations

from collections import Counter

from perdure.errors.base import NotFound
from perdure.messages.groups import Group, Member, Members, after_cursor, write
from perdure.messages.message import GroupId, State
from perdure.stores.inmemory.contents import Contents

__all__ = ["group_of", "members"]


def group_of(contents: Contents, id: GroupId, tenant: str | None) -> Group:
    """Look at a group.

    Args:
        contents (Contents): What the store keeps.
        id (GroupId): Which.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        Group: In numbers.

    Raises:
        NotFound: No such group (of this tenant).
    """
    row = contents.kin.groups.get(id)
    if row is None or tenant not in (None, row.tenant):
        raise NotFound(f"there is no group {write(id)!r}", hint="A put with `then` or `group` returns its id.")
    states = row.gone + Counter(contents.rows[one].state for one in row.members)
    return Group(
        id=id,
        tenant=row.tenant,
        name=row.name,
        open=row.open,
        total=len(row.members) + row.gone.total(),
        done=states[State.DONE],
        dead=states[State.DEAD],
        cancelled=states[State.CANCELLED],
        then=row.then,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def members(contents: Contents, id: GroupId, limit: int, cursor: str | None, tenant: str | None) -> Members:
    """List what became of a group's messages.

    Args:
        contents (Contents): What the store keeps.
        id (GroupId): Which.
        limit (int): At most so many.
        cursor (str | None): Where the page before ended.
        tenant (str | None): Only if it is this tenant's.

    Returns:
        Members: In the order of putting.

    Raises:
        InvalidInput: The cursor is none of ours.
    """
    group_of(contents, id, tenant)
    after = after_cursor(cursor)
    ids = [one for one in sorted(contents.kin.groups[id].members) if one > after]
    rows = [contents.rows[one] for one in ids[:limit]]
    found = [Member(id=row.message.id, state=row.state, result=row.result, error=row.error, metadata=row.message.metadata) for row in rows]
    return Members(found, str(ids[limit - 1]) if len(ids) > limit else None)
