"""Tools and steps: code that may change the world outside.

Its own exception is a known failure. A time-out, a cancellation and `OutcomeUnknown` are not: it may
have happened. Code marked idempotent is then run again in the next attempt, under the same key; anything
else waits for a person, at once and for as long as it takes, because no later attempt could know more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from perdure.agents.call import Call
from perdure.agents.steps import Steps
from perdure.agents.waits import OpenCall
from perdure.errors.base import Category, ErrorFacts, InvalidInput, InvalidResult, OutcomeUnknown, ToolFailed
from perdure.errors.report import facts_of
from perdure.tools.current import STEP_KEY
from perdure.tools.plain import dump

__all__ = ["carry_out"]

_TIME_OUT = re.compile(r"^(?!Connect|Pool)\w*Time[Oo]ut(Error|Exception)?$")
"""Clients have their own (`httpx.ReadTimeout`, `requests.Timeout`); one at connecting is no doubt."""


async def carry_out(steps: Steps, call: Call, act: Callable[[], Awaitable[Any]]) -> bytes:
    """Make a call of a tool or a step, unless the journal knows what came of it.

    Args:
        steps (Steps): The run's.
        call (Call): The call.
        act (Callable[[], Awaitable[Any]]): Does it.

    Returns:
        bytes: Its result as JSON, recorded.

    Raises:
        Exception: Its own error, recorded.
    """
    async with steps.opened(call) as here:
        recorded = await steps.recorded(call, here)
        if recorded is not None:
            return recorded
        diverged = await steps.diverged(call)
        await steps.intend(call, diverged=diverged)
        if diverged and not call.idempotent:
            await steps.wait_for_person(call, here, _other_call(call))
        value = await _acted(steps, call, here, act)
        try:
            result = dump(value, what=f"the result of {call.key.name!r}")
        except InvalidInput as error:
            wrong = InvalidResult(error.message, hint=error.hint)
            failure = await steps.fail(call, wrong, kind=ToolFailed)
            raise failure from error
        await steps.record(call, result)
        return result


async def _acted(steps: Steps, call: Call, here: OpenCall, act: Callable[[], Awaitable[Any]]) -> Any:
    token = STEP_KEY.set(steps.key_of(call))
    try:
        return await act()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            if not call.idempotent and not steps.open.cancelling:
                steps.unknown(call, cut=True)
            raise
        await _in_doubt(steps, call, here, error)  # nobody cancelled us: the tool's own work was cancelled
    except (OutcomeUnknown, TimeoutError) as error:
        await _in_doubt(steps, call, here, error)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if any(_TIME_OUT.match(kind.__name__) for kind in type(error).__mro__):
            await _in_doubt(steps, call, here, error)
        failure = await steps.fail(call, error, kind=ToolFailed)
        raise failure from failure.__cause__
    finally:
        STEP_KEY.reset(token)


async def _in_doubt(steps: Steps, call: Call, here: OpenCall, error: BaseException) -> None:
    if not call.idempotent:
        await steps.wait_for_person(call, here, facts_of(error, kind=OutcomeUnknown))
    if isinstance(error, Exception) and not isinstance(error, OutcomeUnknown):
        raise error
    raise ToolFailed(f"{call.key.name!r} may or may not have happened; it is idempotent and will be run again: {error}") from error


def _other_call(call: Call) -> ErrorFacts:
    return ErrorFacts(
        code=OutcomeUnknown.code,
        category=Category.OUTCOME_UNKNOWN,
        message=f"the agent now calls {call.key.name!r} otherwise than before; this call has not been made",
        hint="Look at the step that was recorded under this name: `run-again` makes the new call, `happened` takes it as made.",
    )
