"""Keys: list, make, revoke. Nobody makes a key that opens more than their own."""

from __future__ import annotations

from perdure.errors.base import Forbidden, InvalidInput, NotFound
from perdure.security.access import OPERATOR, covers, scope_problems
from perdure.security.keys import Key, digest, make_key
from perdure.server.answer import Answer, json_answer
from perdure.server.asks import MakeKey
from perdure.server.door import Call, Door
from perdure.server.listings import KeyJson, Listing, NewKeyJson

_PART = "Keys"

__all__ = ["DOORS"]


async def list_keys(call: Call) -> Answer:
    """List the keys of the caller's tenant, or all for an operator.

    Args:
        call (Call): Who asks.

    Returns:
        Answer: 200 with a list, newest first.
    """
    return json_answer(Listing(data=[KeyJson.of(key) for key in await _visible(call)]))


async def make(call: Call) -> Answer:
    """Make a key.

    Args:
        call (Call): With a `MakeKey`.

    Returns:
        Answer: 201 with the key itself, this once.
    """
    ask: MakeKey = call.body
    now = call.core.clock.now()
    tenant = ask.tenant or call.key.tenant
    _check(ask, call.key, tenant=tenant)
    try:
        expires_at = ask.expires_at.timestamp() if ask.expires_at else None
    except (OverflowError, ValueError) as error:
        raise InvalidInput(f"expires_at: {ask.expires_at} is no moment we can tell") from error
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("expires_at: that moment has passed", problems=["expires_at: that moment has passed"])
    key, secret = make_key(ask.name, tenant=tenant, scopes=ask.scopes, now=now, expires_at=expires_at)
    await call.core.store.keys.add(key, digest(secret), by=call.actor)
    call.core.gate.forget()
    return json_answer(NewKeyJson.of(key, key=secret), 201)


async def revoke(call: Call) -> Answer:
    """Let a key open nothing any more.

    Args:
        call (Call): For the key in its path.

    Returns:
        Answer: 200 with the key as it is now.
    """
    wanted = call.path["id"]
    if wanted not in [key.id for key in await _visible(call)]:
        raise NotFound(f"there is no key {wanted[:40]!r}", hint="Your keys are at GET /api/v1/keys.")
    revoked = await call.core.store.keys.revoke(wanted, by=call.actor)
    call.core.gate.forget()
    return json_answer(KeyJson.of(revoked))


async def _visible(call: Call) -> tuple[Key, ...]:
    return tuple(key for key in await call.core.store.keys.list() if call.tenant in (None, key.tenant))


def _check(ask: MakeKey, mine: Key, *, tenant: str) -> None:
    if problems := scope_problems(ask.scopes):
        raise InvalidInput(problems[0], problems=[f"scopes: {problem}" for problem in problems])
    if mine.tenant not in (OPERATOR, tenant):
        raise Forbidden(f"key {mine.id!r} makes keys of tenant {mine.tenant!r} only, not of {tenant!r}")
    if not covers(mine.scopes, ask.scopes):
        raise Forbidden(
            f"key {mine.id!r} has not all of the scopes {', '.join(ask.scopes)}", hint="A key can hand on only what it may do itself."
        )


DOORS = (
    Door("GET", "/api/v1/keys", list_keys, "list_keys", "List keys; never the keys themselves.", _PART, "keys:read",
         answers={200: Listing[KeyJson]}),
    Door("POST", "/api/v1/keys", make, "make_key", "Make a key; it is shown this once.", _PART, "keys:write",
         bodies=(MakeKey,), answers={201: NewKeyJson}),
    Door("DELETE", "/api/v1/keys/{id}", revoke, "revoke_key", "Let a key open nothing any more.", _PART, "keys:write",
         answers={200: KeyJson}, refusals=(404,)),
)  # fmt: skip
