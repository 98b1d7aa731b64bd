"""A run as a file: `perdure.run/1`, JSON that another installation can read.

What a model was asked is said once for all steps (`said`, each entry after another), so that the file is as long
as the conversation. Nothing in it is secret: whatever looks like a key is struck out before it is written. What is read
is taken for somebody else's word: every field has a shape, sizes are bounded, and references only point back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from perdure.agents.journal import FailedTry, Step, StepKey, StepKind, StepState
from perdure.agents.runfile import (
    NAME,
    AskedPart,
    AttemptPart,
    FailedTryPart,
    MessagePart,
    Origin,
    RunFile,
    SaidPart,
    StatePart,
    StepPart,
)
from perdure.agents.runs import Asked, Brought, Ended, Record, Said
from perdure.clock import FIRST_MOMENT, LAST_MOMENT, Moment
from perdure.errors.base import ErrorFacts, InvalidInput
from perdure.messages import ids
from perdure.messages.message import ENDS, Attempt, NewMessage, State, View, Wait
from perdure.messages.terms import own
from perdure.security.secrets import redact_facts
from perdure.tools.plain import dump, load

__all__ = ["read", "written"]

_REBUILT = ("builtins:", "perdure.")
"""Whose exceptions may be made again of an imported step; any other is seen as a `ToolFailed`."""


def written(view: View, record: Record) -> RunFile:
    """Write a run down, without what looks like a secret.

    Args:
        view (View): The message.
        record (Record): What its run did.

    Returns:
        RunFile: To be encoded as JSON.
    """
    put, wait = view.message, view.wait
    return RunFile(
        format=NAME,
        origin=Origin(message=ids.write(put.id), tenant=put.tenant, created_at=_when(put.created_at)),
        message=MessagePart(
            agent=put.agent,
            body=_bare(put.body),
            queue=put.queue,
            priority=put.priority,
            attempts=put.attempts,
            timeout_s=put.timeout_s,
            max_wait_s=put.max_wait_s,
            version=put.version,
            lane=put.lane,
            metadata=redact_facts(own(put.metadata)),
        ),
        run=StatePart(
            state=view.state,
            attempt=view.attempt,
            started_at=_maybe(view.started_at),
            ended_at=_maybe(view.ended_at),
            waits_for_step=wait.step if wait is not None and wait.why == "outcome-unknown" else None,
            code_version=view.code_version,
            usage=view.usage,
            error=_without_secrets(view.error),
            result=None if view.result is None else _bare(view.result),
        ),
        attempts=[AttemptPart(n=one.n, kind=one.kind, at=_when(one.at), error=_without_secrets(one.error)) for one in record.attempts],  # type: ignore[arg-type]
        said=[SaidPart(after=one.after, message=_bare(one.message)) for one in record.said],
        steps=[_step_part(step, record.asked.get(step.number)) for step in record.steps],
    )


def read(file: RunFile, *, tenant: str, start: bool) -> Brought:
    """Take a run from a file, after looking whether it holds together.

    Args:
        file (RunFile): Of the right shape.
        tenant (str): Whose it will be.
        start (bool): Whether one that had not ended goes on here; else it is kept as cancelled, to be looked at.

    Returns:
        Brought: For `Runs.bring`.

    Raises:
        InvalidInput: It does not hold together; says where.
    """
    problems = [*_problems(file)]
    if problems:
        raise InvalidInput(f"the run cannot be read: {problems[0]}", problems=problems, hint="Export it again.")
    put = file.message
    message = NewMessage(
        agent=put.agent,
        body=dump(put.body),
        queue=put.queue,
        tenant=tenant,
        priority=put.priority,
        attempts=put.attempts,
        timeout_s=put.timeout_s,
        max_wait_s=put.max_wait_s,
        version=put.version,
        lane=put.lane,
        metadata=own(put.metadata),  # on whose account it was there is nothing here
    )
    goes_on = start and file.run.state not in ENDS
    record = Record(
        attempts=[Attempt(n=one.n, kind=one.kind, error=one.error, at=one.at.timestamp()) for one in file.attempts],
        steps=[_step(part) for part in file.steps],
        said=[Said(one.after, dump(one.message)) for one in file.said],
        asked={part.number: Asked(dump(part.asked.head), part.asked.last) for part in file.steps if part.asked is not None},
    )
    used = max(0, file.run.attempt - (file.run.state is State.LEASED))
    return Brought(
        message=message, record=record, used=used, ended=None if goes_on else _ended(file.run), wait=_wait(file, goes_on=goes_on)
    )


def _problems(file: RunFile) -> list[str]:
    numbers = [step.number for step in file.steps]
    keys = [(step.scope, step.kind, step.name, step.fingerprint, step.n) for step in file.steps]
    found = [f"said[{at}].after: {one.after} does not come before it" for at, one in enumerate(file.said) if one.after >= at]
    if numbers != sorted(set(numbers)):
        found.append("steps: their numbers do not grow")
    if len(set(keys)) < len(keys):
        found.append("steps: two are the same call")
    for at, step in enumerate(file.steps):
        if step.asked is not None and step.asked.last >= len(file.said):
            found.append(f"steps[{at}].asked.last: there is no said[{step.asked.last}]")
        if step.asked is not None and step.asked.head.get("messages") != []:
            found.append(f"steps[{at}].asked.head: `messages` must be an empty list")
        if step.asked is not None and (step.request is not msgspec.UNSET or step.kind is not StepKind.LLM):
            found.append(f"steps[{at}]: only a model is `asked`, and then there is no `request`")
        if (step.state is StepState.DONE) != (step.result is not msgspec.UNSET):
            found.append(f"steps[{at}].result: what is done has one, and nothing else has")
    if (file.run.state is State.DEAD) != (file.run.error is not None):
        found.append("run.error: a dead letter has one, and nothing else has")
    if not all(FIRST_MOMENT <= moment.timestamp() <= LAST_MOMENT for moment in _moments(file)):
        found.append("a moment is none that we can tell")
    return found[:50]


def _moments(file: RunFile) -> list[datetime]:
    of_steps = [moment for step in file.steps for moment in (step.began_at, step.ended_at, step.until)]
    others = [file.origin.created_at, file.run.started_at, file.run.ended_at, *(one.at for one in file.attempts)]
    return [moment for moment in (*of_steps, *others) if moment is not None]


def _ended(run: StatePart) -> Ended:
    state = run.state if run.state in ENDS else State.CANCELLED
    return Ended(
        state=state,
        attempts=run.attempt,
        started_at=_moment(run.started_at),
        usage=run.usage,
        error=run.error,
        result=dump(run.result) if state is State.DONE else None,
        code_version=run.code_version,
    )


def _wait(file: RunFile, *, goes_on: bool) -> Wait | None:
    """Only a question to a person is taken over; whatever else it waited for, it comes to again by itself."""
    number = file.run.waits_for_step
    open_step = next((step for step in file.steps if step.number == number and step.state is StepState.INTENT), None)
    return Wait(why="outcome-unknown", step=number, error=open_step.error) if goes_on and open_step is not None else None


def _step_part(step: Step, asked: Asked | None) -> StepPart:
    key = step.key
    said: Mapping[str, Any] = {
        "asked": None if asked is None else AskedPart(head=_bare(asked.head), last=asked.last),
        "request": msgspec.UNSET if step.request is None else _bare(step.request),
        "result": msgspec.UNSET if step.result is None else _bare(step.result),
    }
    return StepPart(
        number=step.number,
        kind=key.kind,
        scope=key.scope,
        name=key.name,
        fingerprint=key.fingerprint,
        n=key.n,
        state=step.state,
        attempt=step.attempt,
        tries=step.tries,
        ambiguous=step.ambiguous,
        began_at=_when(step.began_at),
        ended_at=_maybe(step.ended_at),
        until=_maybe(step.until),
        idempotent=step.idempotent,
        diverged=step.diverged,
        tool_version=step.tool_version,
        decided_by=step.decided_by,
        format=step.format,
        error=_without_secrets(step.error),
        usage=step.usage,
        lane=step.lane,
        failed_tries=[FailedTryPart(at=_when(one.at), lane=one.lane, error=_without_secrets(one.error)) for one in step.failed_tries],
        **said,
    )


def _step(part: StepPart) -> Step:
    return Step(
        number=part.number,
        key=StepKey(part.scope, part.kind, part.name, part.fingerprint, part.n),
        state=part.state,
        attempt=part.attempt,
        tries=part.tries,
        ambiguous=part.ambiguous,
        began_at=part.began_at.timestamp(),
        ended_at=_moment(part.ended_at),
        until=_moment(part.until),
        idempotent=part.idempotent,
        diverged=part.diverged,
        tool_version=part.tool_version,
        request=None if part.request is msgspec.UNSET else dump(part.request),
        result=None if part.result is msgspec.UNSET else dump(part.result),
        error=None if part.error is None else _rebuilt(part.error),
        usage=part.usage,
        lane=part.lane,
        failed_tries=tuple(FailedTry(at=one.at.timestamp(), lane=one.lane, error=_rebuilt(one.error)) for one in part.failed_tries),
        decided_by=part.decided_by,
        format=part.format,
    )


def _rebuilt(error: ErrorFacts) -> ErrorFacts:
    known = error.type_name is not None and error.type_name.startswith(_REBUILT)
    return error if known else msgspec.structs.replace(error, type_name=None, args=None)


def _bare(json: bytes) -> Any:
    return redact_facts(load(json))


def _without_secrets(error: ErrorFacts | None) -> Any:
    return None if error is None else msgspec.convert(redact_facts(msgspec.to_builtins(error)), ErrorFacts)


def _when(moment: Moment) -> datetime:
    return datetime.fromtimestamp(min(LAST_MOMENT, max(FIRST_MOMENT, moment)), UTC)


def _maybe(moment: Moment | None) -> datetime | None:
    return None if moment is None else _when(moment)


def _moment(when: datetime | None) -> Moment | None:
    return None if when is None else when.timestamp()
