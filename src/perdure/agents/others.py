"""What a run does with other messages and those outside: it waits for signals, sends messages and takes their results."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from perdure.agents.agent import Agent
from perdure.agents.awaiting import For, awaited
from perdure.agents.journal import StepKind
from perdure.agents.sending import Sending
from perdure.agents.shapes import problems_of
from perdure.agents.steps import Steps
from perdure.errors.base import ConfigError, InvalidInput
from perdure.errors.report import error_from
from perdure.messages import ids
from perdure.messages.children import MOST_AWAITED, Outcome, failure_of
from perdure.messages.groups import Group, Member, Members
from perdure.messages.message import GroupId
from perdure.messages.store import MessageStore
from perdure.tools.plain import load
from perdure.tools.typed import Typed

__all__ = ["Others", "page_of"]

R = TypeVar("R")
_NAME_LENGTH = 200
_decode_outcomes = msgspec.json.Decoder(list[Outcome]).decode


class Others:
    """What `Run` has besides its own calls.

    Args:
        steps (Steps): The journal of the run.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def wait_for(self, name: str, *, timeout_s: float | None = None, output: Any = None) -> Coroutine[Any, Any, Any]:
        """Wait until somebody signals this message: a person who approves, a program that has done its part.

        Signals of one name are taken in the order in which they came, also those that came before the wait. A run
        that waits holds no worker.

        Args:
            name (str): Which signal.
            timeout_s (float | None): How long; None is for as long as the message may wait (`max_wait_s`).
            output (Any): A type or a JSON Schema that the signal's data must fit.

        Returns:
            Coroutine[Any, Any, Any]: The signal's data.

        Raises:
            WaitTimedOut: It did not come in time. Raised again on every replay.
            InvalidInput: What came does not fit `output`.
        """
        if type(name) is not str or not 0 < len(name) <= _NAME_LENGTH:
            raise InvalidInput(f"{name!r} cannot be the name of a signal", hint=f"Use a text of 1 to {_NAME_LENGTH} letters.")
        _check_time_out(timeout_s)
        read = _reader(output, f"the data of signal {name!r}")
        call = self._steps.take(StepKind.WAIT, name, None, show={"signal": name, "timeout_s": timeout_s})
        return self._read(awaited(self._steps, call, For(signal=name), timeout_s), lambda said: read(load(said)))

    def send(self, agent: str | Agent, body: Any = None, **how: Any) -> Coroutine[Any, Any, str]:
        """Send a message to an agent, exactly once, and go on.

        It belongs to this run: it has its tenant, by default its priority, never a later deadline, and is
        cancelled with it.

        Args:
            agent (str | Agent): Whom.
            body (Any): The payload, in the agent's shape.
            **how (Any): `queue`, `priority`, `session`, `on_dead`, `key`, `cost`, `delay_s` or `due_at`, `deadline`,
                `attempts`, `version`, `metadata`.

        Returns:
            Coroutine[Any, Any, str]: The message's id, for `result_of`.

        Raises:
            UnknownAgent: Nobody ever registered the agent.
            InvalidInput: The body does not have the agent's shape.
            RunLimit: The run has sent as many as it may (`max_children`), or stands too deep (`max_depth`).
        """
        return self._read(self._sent(agent, [body], how), lambda sent: str(load(sent)[0]))

    def send_many(self, agent: str | Agent, bodies: Iterable[Any], **how: Any) -> Coroutine[Any, Any, list[str]]:
        """Send many messages to an agent, all or none, in one step.

        Args:
            agent (str | Agent): Whom.
            bodies (Iterable[Any]): The payloads.
            **how (Any): As for `send`.

        Returns:
            Coroutine[Any, Any, list[str]]: Their ids, for `results_of`.

        Raises:
            UnknownAgent: Nobody ever registered the agent.
            InvalidInput: A body does not have the agent's shape.
            RunLimit: As for `send`.
        """
        return self._read(self._sent(agent, list(bodies), how), lambda sent: [str(one) for one in load(sent)])

    def result_of(self, sent: str, *, timeout_s: float | None = None, output: Any = None) -> Coroutine[Any, Any, Any]:
        """Wait for the result of a message that this run has sent.

        Args:
            sent (str): What `send` returned.
            timeout_s (float | None): How long; None is for as long as the message may wait.
            output (Any): A type or a JSON Schema that the result must fit.

        Returns:
            Coroutine[Any, Any, Any]: The result.

        Raises:
            ChildFailed: It is dead, or was cancelled (`ChildCancelled`).
            WaitTimedOut: It did not end in time; it goes on.
            NotFound: This run has not sent it.
        """
        typed = _reader(output, f"the result of {sent}")
        return self._read(self._ended([sent], timeout_s, lenient=False), lambda said: _result(_decode_outcomes(said)[0], typed))

    def results_of(
        self, sent: Iterable[str], *, timeout_s: float | None = None, output: Any = None, return_exceptions: bool = False
    ) -> Coroutine[Any, Any, list[Any]]:
        """Wait for the results of several messages that this run has sent, all of them: the run is woken once.

        Args:
            sent (Iterable[str]): What `send` returned; at most a thousand.
            timeout_s (float | None): How long; None is for as long as the message may wait.
            output (Any): A type or a JSON Schema that each result must fit.
            return_exceptions (bool): Return a `ChildFailed` in place of a result instead of raising the first.

        Returns:
            Coroutine[Any, Any, list[Any]]: The results, in the order asked for.

        Raises:
            ChildFailed: One is dead, or was cancelled (`ChildCancelled`).
            WaitTimedOut: Not all have ended in time; they go on.
            NotFound: This run has not sent one of them.
        """
        typed = _reader(output, "the result of a message")

        def read(said: bytes) -> list[Any]:
            return [_result(one, typed, raised=not return_exceptions) for one in _decode_outcomes(said)]

        return self._read(self._ended(list(sent), timeout_s, lenient=return_exceptions), read)

    async def group(self) -> Group:
        """Look at the group whose members have all ended, if this run is its join.

        Returns:
            Group: In kept numbers: `total`, `done`, `dead`, `cancelled`.

        Raises:
            InvalidInput: This message joins no group.
        """
        messages, group = _joined(self)
        return await self._steps.read(lambda: messages.group(group))

    async def members(self, *, page: int = 500) -> AsyncIterator[Member]:
        """Go through what became of the group's messages, in the order of putting.

        Nothing of this is recorded: what has ended stays as it is, and is read again on replay.

        Args:
            page (int): How many are read at once.

        Yields:
            Member: `id`, `state`, and `result` (JSON) or `error`.

        Raises:
            InvalidInput: This message joins no group.
        """
        cursor: str | None = None
        while True:
            found = await page_of(self, page, cursor)
            for member in found.members:
                yield member
            cursor = found.cursor
            if cursor is None:
                return

    def _sent(self, agent: str | Agent, bodies: Sequence[Any], how: dict[str, Any]) -> Coroutine[Any, Any, bytes]:
        try:
            sending = Sending(agent=agent.name if isinstance(agent, Agent) else agent, **how)
        except TypeError as error:
            raise InvalidInput(f"messages cannot be sent so: {error}") from None
        arguments = {"bodies": bodies, **{name: value for name, value in how.items() if value is not None}}
        call = self._steps.take(StepKind.SEND, sending.agent, arguments)

        async def sent() -> bytes:
            async with self._steps.opened(call) as here:
                recorded = await self._steps.recorded(call, here)
                if recorded is not None:
                    return recorded
                messages = await self._steps.read(lambda: sending.messages(bodies, self._steps.parts, self._steps.lease.message))
                return msgspec.json.encode([ids.write(one) for one in await self._steps.send(call, messages)])

        return sent()

    def _ended(self, sent: Sequence[str], timeout_s: float | None, *, lenient: bool) -> Coroutine[Any, Any, bytes]:
        _check_time_out(timeout_s)
        if not 0 < len(sent) <= MOST_AWAITED:
            raise InvalidInput(f"a run can wait for 1 to {MOST_AWAITED:,} messages at once, not {len(sent):,}", hint="Put a group instead.")
        children = tuple(ids.read(one) for one in sent)
        name = "result_of" if len(sent) == 1 else "results_of"
        call = self._steps.take(StepKind.RESULT, name, {"of": list(sent), "lenient": lenient})
        return awaited(self._steps, call, For(children=children, lenient=lenient), timeout_s)

    async def _read(self, said: Coroutine[Any, Any, bytes], read: Callable[[bytes], R]) -> R:
        return read(await said)


async def page_of(run: Others, page: int, cursor: str | None) -> Members:
    """Read some of the messages of the group that a run joins.

    Args:
        run (Others): The run.
        page (int): How many at most.
        cursor (str | None): Where the page before ended.

    Returns:
        Members: And where to go on.
    """
    messages, group = _joined(run)
    return await run._steps.read(lambda: messages.members(group, limit=page, cursor=cursor))


def _joined(run: Others) -> tuple[MessageStore, GroupId]:
    messages, group = run._steps.parts.messages, run._steps.lease.message.group
    if messages is None:
        raise ConfigError("this run cannot read a group: nobody gave it the store of messages")
    if group is None:
        raise InvalidInput("this message joins no group", hint="Put messages with `then`: that one runs when all have ended.")
    return messages, group


def _result(outcome: Outcome, read: Callable[[Any], Any], *, raised: bool = True) -> Any:
    failure = failure_of([outcome])
    if failure is None:
        return read(load(bytes(outcome.result)))
    error = error_from(failure)
    if raised:
        raise error
    return error


def _reader(output: Any, what: str) -> Callable[[Any], Any]:
    """Read plain data as what is asked for: anything, a JSON Schema, or a type."""
    if output is None:
        return lambda data: data
    if not isinstance(output, dict):
        return Typed(output, what=what).read

    def checked(data: Any) -> Any:
        problems = problems_of(data, output, at=what)
        if problems:
            raise InvalidInput(problems[0], problems=problems)
        return data

    return checked


def _check_time_out(timeout_s: float | None) -> None:
    if timeout_s is not None and not 0 <= timeout_s < math.inf:
        raise InvalidInput(f"{timeout_s!r} is no length of time", hint="Give seconds, 0 or more, or None.")
