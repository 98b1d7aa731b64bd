"""Calls that wait for something to come: a signal, or the end of what the run has sent.

Theory of operation: one commit begins the wait and takes what is there already. Else the call waits like a
sleep does, and mostly the whole run is parked; what it waits for wakes the message, the agent runs again, and the
same commit, made again, takes it. Only while another call of the run works does this one look now and then.
When the wait began and when it ends is fixed in the journal, whatever happens meanwhile.
"""

from __future__ import annotations

import msgspec

from perdure.agents.call import Call
from perdure.agents.journal import StepState
from perdure.agents.steps import Steps
from perdure.errors.base import PerdureError, WaitTimedOut
from perdure.messages.message import MessageId, Wait

__all__ = ["For", "awaited"]

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.1, 1.0


class For(msgspec.Struct, frozen=True, kw_only=True):
    """What a call waits for."""

    signal: str | None = None
    children: tuple[MessageId, ...] = ()
    lenient: bool = False

    def event(self, number: int) -> str:
        """Name what wakes a run that waits for this.

        Args:
            number (int): The step.

        Returns:
            str: As in `Wait.events`.
        """
        return f"children:{number}" if self.signal is None else f"signal:{self.signal}"

    @property
    def why(self) -> str:
        """As in `Wait.why`."""
        return "children" if self.signal is None else "signal"


async def awaited(steps: Steps, call: Call, what: For, timeout_s: float | None) -> bytes:
    """Wait for something to come.

    Args:
        steps (Steps): The run's.
        call (Call): The call.
        what (For): For what.
        timeout_s (float | None): How long; None for as long as the message may wait.

    Returns:
        bytes: What came, as JSON, recorded.

    Raises:
        WaitTimedOut: It did not come in time. Recorded, and raised again on replay.
        ChildFailed: One that it waited for did not end well. Recorded as well.
    """
    async with steps.opened(call) as here:
        recorded = await steps.recorded(call, here)
        if recorded is not None:
            return recorded
        begun = call.found is not None and call.found.state is StepState.INTENT
        until = call.found.until if call.found is not None and begun else None
        if not begun and timeout_s is not None:
            until = steps.parts.clock.now() + timeout_s
        intent = steps.intent(call, until=until, diverged=await steps.diverged(call))
        intent = msgspec.structs.replace(intent, signal=what.signal, children=what.children, lenient=what.lenient)
        look_s = _FIRST_LOOK_S
        while (came := await steps.obtain(call, intent)) is None:
            if until is not None and steps.parts.clock.now() >= until:
                late = _late(what, timeout_s)
                raise await steps.fail(call, late, kind=WaitTimedOut)
            await here.wait(Wait(why=what.why, until=until, step=call.number, events=(what.event(call.number),)), look_s=look_s)
            look_s = min(2 * look_s, _LONGEST_LOOK_S)
        return came


def _late(what: For, timeout_s: float | None) -> PerdureError:
    waited = "" if timeout_s is None else f" within {timeout_s:g} s"
    if what.signal is not None:
        return WaitTimedOut(f"no signal {what.signal!r} came{waited}", hint="Catch `WaitTimedOut` to go on without it.")
    return WaitTimedOut(
        f"not all of the {len(what.children)} awaited messages ended{waited}",
        hint="They go on; catch `WaitTimedOut` to go on without them.",
    )
