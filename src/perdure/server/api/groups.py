"""Groups: many messages that were put together, and how far they have come."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw

from perdure.clock import iso
from perdure.messages import groups, ids
from perdure.messages.groups import Group, Member
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import ErrorJson, Time
from perdure.server.asks import MembersQuery
from perdure.server.door import Call, Door
from perdure.server.listings import PageOf

_PART = "Messages"

__all__ = ["DOORS", "GroupJson", "MemberJson"]


class GroupJson(msgspec.Struct, kw_only=True):
    """How far a group has come."""

    object: Literal["group"] = "group"
    id: str
    tenant: str
    name: str
    open: bool
    total: int
    left: int
    done: int
    dead: int
    cancelled: int
    then: str | None
    """The message that is ready once all have ended."""
    created_at: Time
    ended_at: Time | None

    @classmethod
    def of(cls, group: Group) -> GroupJson:
        """Write a group.

        Args:
            group (Group): As the store sees it.

        Returns:
            GroupJson: For the wire.
        """
        return cls(
            id=groups.write(group.id),
            tenant=group.tenant,
            name=group.name,
            open=group.open,
            total=group.total,
            left=group.left,
            done=group.done,
            dead=group.dead,
            cancelled=group.cancelled,
            then=None if group.then is None else ids.write(group.then),
            created_at=iso(group.created_at) or "",
            ended_at=iso(group.ended_at),
        )


class MemberJson(msgspec.Struct, kw_only=True):
    """One message of a group, and what became of it."""

    object: Literal["member"] = "member"
    id: str
    state: str
    result: Raw
    error: ErrorJson | None

    @classmethod
    def of(cls, member: Member) -> MemberJson:
        """Write a member.

        Args:
            member (Member): As the store sees it.

        Returns:
            MemberJson: For the wire.
        """
        return cls(
            id=ids.write(member.id), state=member.state.value, result=Raw(member.result or b"null"), error=ErrorJson.of(member.error)
        )


async def get(call: Call) -> Answer:
    """Show how far a group has come.

    Args:
        call (Call): For the group in its path.

    Returns:
        Answer: 200 with the group.
    """
    return json_answer(GroupJson.of(await call.core.store.messages.group(groups.read(call.path["id"]), tenant=call.tenant)))


async def members(call: Call) -> Answer:
    """List what became of a group's messages, in the order of putting.

    Args:
        call (Call): With a `MembersQuery`.

    Returns:
        Answer: 200 with a page.
    """
    group, query = groups.read(call.path["id"]), call.query
    found = await call.core.store.messages.members(group, limit=query.limit, cursor=query.cursor, tenant=call.tenant)
    return json_answer(PageOf(data=[MemberJson.of(member) for member in found.members], next_cursor=found.cursor))


async def close(call: Call) -> Answer:
    """Say that a group is complete.

    Args:
        call (Call): For the group in its path.

    Returns:
        Answer: 200 with the group.
    """
    return json_answer(GroupJson.of(await call.core.store.messages.close_group(groups.read(call.path["id"]), tenant=call.tenant)))


DOORS = (
    Door(
        "GET", "/api/v1/groups/{id}", get, "get_group", "Show how far a group of messages has come.", _PART, "messages:read",
        answers={200: GroupJson}, refusals=(404,),
    ),
    Door(
        "GET", "/api/v1/groups/{id}/members", members, "list_members", "List what became of a group's messages.", _PART,
        "messages:read", query=MembersQuery, answers={200: PageOf[MemberJson]}, refusals=(404,),
    ),
    Door(
        "POST", "/api/v1/groups/{id}/close", close, "close_group", "Say that a group is complete, so that its join can run.", _PART,
        "messages:write", answers={200: GroupJson}, refusals=(404,),
    ),
)  # fmt: skip
