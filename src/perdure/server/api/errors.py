"""Errors: patterns among them, their dead letters, and one report of one error."""

from __future__ import annotations

from perdure.errors.base import NotFound
from perdure.errors.patterns import KeptLine, Pattern, patterns_of
from perdure.messages.dead_letters import DiedOf
from perdure.messages.message import State, View
from perdure.messages.store import Filter
from perdure.server.answer import Answer, json_answer
from perdure.server.answers import MessageJson
from perdure.server.asks import ErrorsQuery, PageQuery
from perdure.server.door import Call, Door
from perdure.server.failures import PatternJson, ReportJson
from perdure.server.listings import Listing, PageOf

_PART = "Errors"
_AT_ONCE = 200
_MOST_LOOKED_AT = 2000
_STEPS_BYTES = 16 * 1024 * 1024

__all__ = ["DOORS", "letters_of"]


async def list_patterns(call: Call) -> Answer:
    """List patterns.

    Args:
        call (Call): With an `ErrorsQuery`.

    Returns:
        Answer: 200 with a list, those that came last first.
    """
    query: ErrorsQuery = call.query
    found = [one for one in (await _patterns(call))[1] if _fits(one, query)]
    return json_answer(Listing(data=[PatternJson.of(one) for one in found[: query.limit]]))


async def get_pattern(call: Call) -> Answer:
    """Show one pattern.

    Args:
        call (Call): For the pattern in its path.

    Returns:
        Answer: 200 with it.
    """
    return json_answer(PatternJson.of((await _found(call, call.path["pattern"]))[1]))


async def list_letters(call: Call) -> Answer:
    """List the dead letters that died of a pattern, those put last first.

    Args:
        call (Call): With a `PageQuery`.

    Returns:
        Answer: 200 with a page; it may be short of its limit where many died of something else.
    """
    died_of, query = await letters_of(call, call.path["pattern"]), call.query
    if died_of is None:
        return json_answer(PageOf[MessageJson](data=[], next_cursor=None))
    wanted = Filter(tenant=call.tenant, state=State.DEAD, agent=died_of.agent)
    views: list[View] = []
    cursor, looked_at = query.cursor, 0
    while True:
        page = await call.core.store.messages.list(wanted, limit=min(_AT_ONCE, query.limit - len(views)), cursor=cursor)
        views += [view for view in page.views if died_of.has(view.error)]
        cursor, looked_at = page.cursor, looked_at + len(page.views)
        if cursor is None or len(views) >= query.limit or looked_at >= _MOST_LOOKED_AT:
            return json_answer(PageOf(data=[MessageJson.of(view) for view in views], next_cursor=cursor))


async def report(call: Call) -> Answer:
    """Say all about why a message died.

    Args:
        call (Call): For the message in its path.

    Returns:
        Answer: 200 with causes, attempts, steps and what follows.
    """
    store = call.core.store
    view = await store.messages.get(call.message_id, tenant=call.tenant)
    if view.state is not State.DEAD or view.error is None:
        what = f"{call.path['id']!r} is no dead letter: it is {view.state.value!r}"
        raise NotFound(what, hint=f"See it at /api/v1/messages/{call.path['id']}.")
    kept, patterns = await _patterns(call)
    agent, causes = view.message.agent, (_died_of(kept, one) for one in patterns)
    pattern = next((of.pattern for of in causes if of is not None and of.agent == agent and of.has(view.error)), None)
    attempts = list(await store.messages.attempts(view.message.id))
    steps = list(await store.journal.steps(view.message.id, shown=False, most_bytes=_STEPS_BYTES))
    return json_answer(ReportJson.of(view, view.error, attempts=attempts, steps=steps, pattern=pattern))


async def _patterns(call: Call) -> tuple[list[KeptLine], list[Pattern]]:
    kept = list(await call.core.store.errors.lines())
    return kept, patterns_of(kept, call.core.clock.now())


async def letters_of(call: Call, wanted: str) -> DiedOf | None:
    """Say which letters died of a pattern.

    Args:
        call (Call): From an operator.
        wanted (str): `pat_…`.

    Returns:
        DiedOf | None: None if none can have: it is no pattern of what ended runs.

    Raises:
        NotFound: There is no such pattern.
    """
    return _died_of(*await _found(call, wanted))


async def _found(call: Call, wanted: str) -> tuple[list[KeptLine], Pattern]:
    kept, patterns = await _patterns(call)
    pattern = next((one for one in patterns if one.id == wanted), None)
    if pattern is None:
        raise NotFound(f"there is no pattern {wanted[:60]!r}", hint="`/api/v1/errors` lists them; what was not seen for long is forgotten.")
    return kept, pattern


def _died_of(kept: list[KeptLine], pattern: Pattern) -> DiedOf | None:
    if pattern.where != "run" or pattern.agent is None:
        return None
    return DiedOf(pattern=pattern.id, agent=pattern.agent, lines=pattern.lines, known=frozenset(one.id for one in kept))


def _fits(pattern: Pattern, query: ErrorsQuery) -> bool:
    asked = {name: getattr(query, name) for name in ("code", "agent", "provider", "trend")}
    return all(value is None or getattr(pattern, name) == value for name, value in asked.items()) and all(
        not asked or true for asked, true in ((query.spikes, pattern.spike), (query.unmapped, pattern.unmapped))
    )


DOORS = (
    Door(
        "GET", "/api/v1/errors", list_patterns, "list_errors", "List patterns among errors, those that came last first.", _PART,
        "errors:read", operator=True, query=ErrorsQuery, answers={200: Listing[PatternJson]},
    ),
    Door(
        "GET", "/api/v1/errors/{pattern}", get_pattern, "get_error_pattern", "Show a pattern: how often, since when, with what.", _PART,
        "errors:read", operator=True, answers={200: PatternJson}, refusals=(404,),
    ),
    Door(
        "GET", "/api/v1/errors/{pattern}/dead-letters", list_letters, "list_pattern_dead_letters",
        "List the dead letters that died of a pattern.", _PART,
        "dead-letters:read", operator=True, query=PageQuery, answers={200: PageOf[MessageJson]}, refusals=(404,),
    ),
    Door(
        "GET", "/api/v1/dead-letters/{id}/report", report, "report_dead_letter",
        "Say all about why a message died: causes, every attempt, its steps, its pattern.", _PART,
        "dead-letters:read", answers={200: ReportJson}, refusals=(404,),
    ),
)  # fmt: skip
