"""What time demands, where there is one writer: bite by bite, so that others write in between.

A round has as many bites as there is something to do, up to a thousand messages; hourly chores come after it, and so does
what limits have left for later.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.messages.store import Tended
from perdure.stores.sql import chores, limits
from perdure.stores.sql.engine import Engine
from perdure.stores.sql.obstacles import RouteBook
from perdure.stores.sql.tend import Bitten, bite, look

__all__ = ["tend"]

_BITES, _CHORE_BITES = 10, 50


async def tend(engine: Engine, routes: RouteBook) -> Tended:
    """Do what time demands.

    Args:
        engine (Engine): Of the store.
        routes (RouteBook): All routes.

    Returns:
        Tended: What was done.
    """
    needed, changed, next_due_at = await engine.read(look, routes, engine.clock.now())
    if not needed:
        return Tended(next_due_at=next_due_at)
    bites: list[Bitten] = [await engine.write(bite, changed)]
    while bites[-1].more and len(bites) < _BITES:
        bites.append(await engine.write(bite, ()))
    await _do_chores(engine, {name for one in bites for name in one.chores})
    if await engine.read(limits.unfinished):
        await engine.write(limits.go_on)
    return Tended(
        expired=sum(one.expired for one in bites),
        gave_up=sum(one.gave_up for one in bites),
        due=sum(one.due for one in bites),
        next_due_at=bites[-1].next_due_at,
    )


async def _do_chores(engine: Engine, names: set[str]) -> None:
    if "gates" in names:
        await engine.write(chores.count_again)
    behind: Sequence[int] | None = (-1, -1, -1, -1) if "fair" in names else None
    for _ in range(_CHORE_BITES):  # what is left after so many only takes room until the next time
        if behind is None:
            return
        behind = await engine.write(chores.forget_old_tags, behind)
