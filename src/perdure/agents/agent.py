"""What a user writes: a function that works on one message, and what the runtime has to know of it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, get_args, overload

import msgspec

from perdure.agents.limits import Capture, Limits
from perdure.errors.base import ConfigError, InvalidInput, InvalidResult
from perdure.messages.registry import AgentCard
from perdure.tools.plain import dump_plain, plain
from perdure.tools.signature import Signature
from perdure.tools.source import described, version_of
from perdure.tools.typed import Typed

__all__ = ["Agent", "agent"]


class Agent:
    """A function with its name, version, place and limits.

    The function takes a `Run` (a `SyncRun` if it is not async) and, if it likes, the payload as a second
    parameter, whose hint is the payload's type. The hint of what it returns is the result's.

    Args:
        function (Callable[..., Any]): Async, or sync to be run in a thread.
        name (str | None): The function's own if None.
        version (str | None): A digest of its source if None.
        queue (str): Where its messages wait unless they say otherwise.
        provider (str | None): Whom it asks, unless a call says otherwise.
        model (str | None): Which model of that provider; with `provider` None, `provider/model` or an alias.
        attempts (int | None): How often its messages are tried; None leaves it to the settings.
        timeout_s (float | None): How long one attempt may take; None leaves it to the message.
        memory (str | None): The name of its memory; its own if None. Agents that name the same one share it.
        limits (Limits | None): What one run may use.
        formerly (Sequence[str]): Names it had before, whose messages it serves as well.
        capture (Capture): What its journals keep to show of what its calls ask: `full`, `redacted` (without what
            looks like a secret) or `none`.
        input (Any): The payload's type, or JSON Schema, instead of the hint's.
        near (Mapping[str, Any] | None): Names that its hints may use besides its module's own.

    Raises:
        ConfigError: The function is none that could be called with a run.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        version: str | None = None,
        queue: str = "default",
        provider: str | None = None,
        model: str | None = None,
        attempts: int | None = None,
        timeout_s: float | None = None,
        memory: str | None = None,
        limits: Limits | None = None,
        formerly: Sequence[str] = (),
        capture: Capture = "full",
        input: Any = None,
        near: Mapping[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.is_async: bool = inspect.iscoroutinefunction(function)
        """Whether it is a coroutine function; any other is run in a thread."""
        self.name: str = name or str(getattr(function, "__name__", ""))
        self.version: str = version or version_of(function)
        self.queue = queue
        self.model: str | None = "/".join(part for part in (provider, model) if part) or None
        """What `Models.resolve` is asked for; None is the installation's default."""
        self.provider = provider
        self.attempts = attempts
        self.timeout_s = timeout_s
        self.memory: str = memory or self.name
        self.limits: Limits = limits or Limits()
        self.formerly: tuple[str, ...] = tuple(formerly)
        """Names under which messages for it may still come."""
        if capture not in get_args(Capture):
            raise ConfigError(f"agent {self.name!r}: {capture!r} is nothing to capture", hint="Say `full`, `redacted` or `none`.")
        self.capture: Capture = capture
        self.description: str = described(function)[0]
        self.__doc__ = self.description
        self._given_schema = input if isinstance(input, dict) else None
        self._given_type = None if isinstance(input, dict) else input
        self._signature = Signature(function, what=f"agent {self.name!r}", near=near)
        self._payload = _second_parameter(self._signature, self.name)

    @property
    def takes_payload(self) -> bool:
        """Whether the function has a second parameter."""
        return self._payload is not None

    @property
    def input_schema(self) -> dict[str, Any] | None:
        """What a payload must look like; None where anything goes."""
        return self._given_schema or self._input.schema() or None

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """What a result looks like; None where anything goes."""
        return self._output.schema() or None

    def card(self, lane: str | None = None) -> AgentCard:
        """Say what the registry has to know.

        Args:
            lane (str | None): The lane of its model, which only the table of models can tell.

        Returns:
            AgentCard: With its schemas.
        """
        return AgentCard(
            name=self.name,
            version=self.version,
            queue=self.queue,
            lane=lane,
            description=self.description,
            input_schema=self.input_schema,
            output_schema=self.output_schema,
            attempts=self.attempts,
            timeout_s=self.timeout_s,
        )

    def read(self, body: Any) -> Any:
        """Read a payload.

        Args:
            body (Any): What JSON said.

        Returns:
            Any: Of the type the hint names.

        Raises:
            InvalidInput: It does not fit.
        """
        return self._input.read(body)

    def write(self, result: Any) -> bytes:
        """Write a result.

        Args:
            result (Any): What the function returned.

        Returns:
            bytes: JSON.

        Raises:
            InvalidResult: JSON cannot say it, or it is not what the hint promises.
        """
        try:
            said = plain(result, what=self._output.what)
            self._output.read(said)
            return dump_plain(said)
        except InvalidInput as error:
            raise InvalidResult(error.message, hint="Return what the function's hint says; see the agent's output schema.") from error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself.

        Args:
            *args (Any): A run first.
            **kwargs (Any): What else it takes.

        Returns:
            Any: What it returns.
        """
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Say which agent this is.

        Returns:
            str: With its version.
        """
        return f"<agent {self.name}@{self.version}>"

    @cached_property
    def _input(self) -> Typed:
        what = f"the payload of agent {self.name!r}"
        if self._given_type is not None:
            return Typed(self._given_type, what=what)
        return self._signature.typed(self._payload, what=what) if self._payload else Typed(Any, what=what)

    @cached_property
    def _output(self) -> Typed:
        return self._signature.typed("return", what=f"the result of agent {self.name!r}")


def _second_parameter(signature: Signature, name: str) -> str | None:
    parameters = list(signature.parameters.values())
    more = [one.name for one in parameters[2:] if one.default is one.empty]
    if not name or not parameters or more or any(one.kind is one.KEYWORD_ONLY for one in parameters[:2]):
        raise ConfigError(
            f"agent {name!r} must be a function of a run and, if it likes, a payload",
            hint="Write `async def triage(run: Run, ticket: Ticket) -> Verdict`.",
        )
    return parameters[1].name if len(parameters) > 1 else None


@overload
def agent(function: Callable[..., Any], /) -> Agent: ...
@overload
def agent(
    *,
    name: str | None = None,
    version: str | None = None,
    queue: str = "default",
    provider: str | None = None,
    model: str | None = None,
    attempts: int | None = None,
    timeout_s: float | None = None,
    memory: str | None = None,
    max_steps: int | None = None,
    max_tokens: int | None = None,
    max_time_s: float | None = None,
    max_cost_usd: float | None = None,
    max_children: int | None = None,
    max_depth: int | None = None,
    formerly: Sequence[str] = (),
    capture: Capture = "full",
    input: Any = None,
) -> Callable[[Callable[..., Any]], Agent]: ...
def agent(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    queue: str = "default",
    provider: str | None = None,
    model: str | None = None,
    attempts: int | None = None,
    timeout_s: float | None = None,
    memory: str | None = None,
    max_steps: int | None = None,
    max_tokens: int | None = None,
    max_time_s: float | None = None,
    max_cost_usd: float | None = None,
    max_children: int | None = None,
    max_depth: int | None = None,
    formerly: Sequence[str] = (),
    capture: Capture = "full",
    input: Any = None,
) -> Agent | Callable[[Callable[..., Any]], Agent]:
    """Make an agent of a function: `@agent`, or `@agent(queue="support")`.

    Args:
        function (Callable[..., Any] | None): The function, where no option is given.
        name (str | None): The function's own if None.
        version (str | None): A digest of its source if None.
        queue (str): Where its messages wait unless they say otherwise.
        provider (str | None): Whom it asks, unless a call says otherwise.
        model (str | None): Which model.
        attempts (int | None): How often its messages are tried.
        timeout_s (float | None): How long one attempt may take; then it is tried again.
        memory (str | None): The name of its memory; its own if None.
        max_steps (int | None): Steps of one run; one more and the message is dead.
        max_tokens (int | None): Tokens of one run, checked before each LLM call.
        max_time_s (float | None): Working time of one run.
        max_cost_usd (float | None): What the calls of models of one run may cost, checked before each.
        max_children (int | None): Messages that one run may send; 10,000 if None.
        max_depth (int | None): Runs that may stand behind one another, each sent by the one before; 16 if None.
        formerly (Sequence[str]): Names it had before: messages and runs that came under those go on here.
        capture (Capture): What its journals keep to show of what its calls ask: `full`, `redacted` or `none`.
        input (Any): The payload's type, or JSON Schema, instead of the hint's.

    Returns:
        Agent | Callable[[Callable[..., Any]], Agent]: The agent, or what makes one of a function.
    """
    near = sys._getframe(1).f_locals
    limits = Limits(max_steps=max_steps, max_tokens=max_tokens, max_time_s=max_time_s, max_cost_usd=max_cost_usd)
    if max_children is not None:
        limits = msgspec.structs.replace(limits, max_children=max_children)
    if max_depth is not None:
        limits = msgspec.structs.replace(limits, max_depth=max_depth)

    def make(function: Callable[..., Any]) -> Agent:
        return Agent(
            function,
            name=name,
            version=version,
            queue=queue,
            provider=provider,
            model=model,
            attempts=attempts,
            timeout_s=timeout_s,
            memory=memory,
            limits=limits,
            formerly=formerly,
            capture=capture,
            input=input,
            near=near,
        )

    return make if function is None else make(function)
