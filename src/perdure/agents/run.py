"""What an agent is given: everything it does through its run is a step, and happens once.

A call counts, and gets its place among equal ones, at the moment it is made; so no method here is
`async def`, though all are awaited. An agent obeys no rules of determinism. It only keeps in mind that it
may be run again from the top: what it did through the run is then answered from the journal, what it did
otherwise is done again.
"""

from __future__ import annotations

import inspect
import math
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar, overload

from perdure.agents.agent import Agent
from perdure.agents.asking import Asking, take
from perdure.agents.call import SCOPE, Call
from perdure.agents.conversation import ChatResult, Check, Conversation
from perdure.agents.effects import carry_out
from perdure.agents.journal import StepKind
from perdure.agents.kinds import CHAT, TEXT, VECTORS
from perdure.agents.mapping import in_scope, mapped
from perdure.agents.memory import RunMemory
from perdure.agents.others import Others
from perdure.agents.output import Output
from perdure.agents.outside import Outside
from perdure.agents.quiet import settled, slept
from perdure.agents.steps import Steps
from perdure.agents.threads import RUNNER, Threads
from perdure.agents.wrapping import wrapped
from perdure.clock import chance
from perdure.errors.base import ConfigError, InvalidInput, RunLimit
from perdure.messages import ids
from perdure.messages.terms import own
from perdure.providers.protocol import ChatAnswer
from perdure.tools.current import STEP_KEY
from perdure.tools.plain import dump, load
from perdure.tools.signature import hints_of
from perdure.tools.tool import Tool, as_tool
from perdure.tools.typed import Typed

__all__ = ["Run"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Run(Others):
    """The work of one agent on one message.

    Args:
        agent (Agent): Whose.
        steps (Steps): Its journal.
        threads (Threads): Where its sync tools run.
        body (Any): The payload as JSON said it.
    """

    def __init__(self, agent: Agent, steps: Steps, threads: Threads, body: Any) -> None:
        super().__init__(steps)
        self._agent = agent
        self._threads = threads
        self._body = body
        self._memory = RunMemory(steps, agent.memory)
        self._outside = Outside(steps, agent.model)

    @property
    def body(self) -> Any:
        """The payload, as plain data."""
        return self._body

    @property
    def id(self) -> str:
        """The message's id, `msg_…`."""
        return ids.write(self._steps.lease.message.id)

    @property
    def attempt(self) -> int:
        """Number of the attempt under way, from 1."""
        return self._steps.lease.attempt

    @property
    def tenant(self) -> str:
        """Whose message it is."""
        return self._steps.lease.message.tenant

    @property
    def session(self) -> str | None:
        """The session of its message, if it is in one."""
        return self._steps.lease.message.session

    @property
    def metadata(self) -> Mapping[str, str]:
        """What its sender wrote on it."""
        return own(self._steps.lease.message.metadata)

    @property
    def idempotency_key(self) -> str:
        """Names the step under way, the same on every try; outside a step it names the run."""
        return STEP_KEY.get() or self.id

    @property
    def memory(self) -> RunMemory:
        """What the agent keeps between runs."""
        return self._memory

    @property
    def openai_base_url(self) -> str:
        """Where an OpenAI client asks so that its calls are steps of this run, in the scope in which this is read."""
        return self._outside.base_url

    @property
    def openai_api_key(self) -> str:
        """The key for `openai_base_url`: good for this run on this worker, and for as long as it is at work."""
        return self._outside.api_key

    @overload
    def ask(
        self,
        name: str,
        prompt: str,
        *,
        system: str | None = ...,
        model: str | None = ...,
        output: None = ...,
        timeout_s: float | None = ...,
        **params: Any,
    ) -> Coroutine[Any, Any, str]: ...
    @overload
    def ask(
        self,
        name: str,
        prompt: str,
        *,
        output: type[T],
        system: str | None = ...,
        model: str | None = ...,
        timeout_s: float | None = ...,
        **params: Any,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def ask(
        self,
        name: str,
        prompt: str,
        *,
        output: Any,
        system: str | None = ...,
        model: str | None = ...,
        timeout_s: float | None = ...,
        **params: Any,
    ) -> Coroutine[Any, Any, Any]: ...
    def ask(
        self,
        name: str,
        prompt: str,
        *,
        system: str | None = None,
        model: str | None = None,
        output: Any = None,
        timeout_s: float | None = None,
        **params: Any,
    ) -> Coroutine[Any, Any, Any]:
        """Ask a model one thing.

        Args:
            name (str): What this question is called in the journal.
            prompt (str): What the user says.
            system (str | None): What the model should be.
            model (str | None): `provider/model` or an alias; None is the agent's, else the default.
            output (Any): A type or a JSON Schema that the answer must fit.
            timeout_s (float | None): For one answer; None is the provider's own.
            **params (Any): More of the chat request: `temperature`, `max_tokens`.

        Returns:
            Coroutine[Any, Any, Any]: The text, or a value of the type.

        Raises:
            ProviderError: There was no answer, and waiting does not help.
            InvalidOutput: The answer has the wrong shape after the re-asks.
        """
        messages = [{"role": "system", "content": system}] if system else []
        held = self.chat(name, [*messages, {"role": "user", "content": prompt}], model=model, output=output, timeout_s=timeout_s, **params)

        async def last() -> Any:
            result = await held
            return result.text if output is None else result.output

        return last()

    def chat(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Tool | Callable[..., Any]] | None = None,
        output: Any = None,
        model: str | None = None,
        max_turns: int = 8,
        timeout_s: float | None = None,
        **params: Any,
    ) -> Coroutine[Any, Any, ChatResult]:
        """Talk to a model, which may call tools; each answer and each tool call is a step.

        Args:
            name (str): What this conversation is called in the journal.
            messages (Sequence[Mapping[str, Any]]): What was said so far, as OpenAI writes it.
            tools (Sequence[Tool | Callable[..., Any]] | None): What the model may call.
            output (Any): A type or a JSON Schema that the last answer must fit.
            model (str | None): `provider/model` or an alias; None is the agent's, else the default.
            max_turns (int): At most this many answers with tool calls.
            timeout_s (float | None): For one answer; None is the provider's own.
            **params (Any): More of the chat request: `temperature`, `max_tokens`.

        Returns:
            Coroutine[Any, Any, ChatResult]: The last answer and how it came about.

        Raises:
            ProviderError: There was no answer, and waiting does not help.
            InvalidOutput: The answer has the wrong shape after the re-asks.
            RunLimit: The model still calls tools after `max_turns`.
        """
        body = {"messages": [dict(one) for one in messages], **params} | ({"model": model} if model else {})
        return self._held(name, body, tools, output, timeout_s).held(max_turns=max_turns)

    def loop(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Tool | Callable[..., Any]] | None = None,
        output: Any = None,
        model: str | None = None,
        max_turns: int = 25,
        at_once: int = 8,
        timeout_s: float | None = None,
        **params: Any,
    ) -> Coroutine[Any, Any, ChatResult]:
        """Let a model work with tools until it has an answer: `chat` for agents that find their own way.

        Tool calls of one answer are made side by side, each in a scope of its own. A tool that fails is told to the model, which may
        try something else; the failure is recorded all the same. One whose outcome nobody knows waits for a person, as everywhere.

        Args:
            name (str): What this loop is called in the journal.
            messages (Sequence[Mapping[str, Any]]): What was said so far, as OpenAI writes it.
            tools (Sequence[Tool | Callable[..., Any]] | None): What the model may call.
            output (Any): A type or a JSON Schema that the last answer must fit.
            model (str | None): `provider/model` or an alias; None is the agent's, else the default.
            max_turns (int): At most this many answers with tool calls; steps, tokens, time and cost are bounded by the agent's limits.
            at_once (int): At most this many tool calls at once.
            timeout_s (float | None): For one answer; None is the provider's own.
            **params (Any): More of the chat request: `temperature`, `max_tokens`.

        Returns:
            Coroutine[Any, Any, ChatResult]: The last answer and how it came about.

        Raises:
            ProviderError: There was no answer, and waiting does not help.
            InvalidOutput: The answer has the wrong shape after the re-asks.
            RunLimit: The model still calls tools after `max_turns`, or a limit of the agent is reached.
        """
        body = {"messages": [dict(one) for one in messages], **params} | ({"model": model} if model else {})

        async def together(turn: int, use: Callable[[Any], Any], calls: Sequence[Any]) -> list[Any]:
            return await mapped(self._steps, f"{name}.{turn}", use, calls, limit=at_once)

        return self._held(name, body, tools, output, timeout_s, together=together, forgives=self._is_a_tools_own).held(max_turns=max_turns)

    def _is_a_tools_own(self, error: Exception) -> bool:
        """A failure that is recorded with its step; what halts the run, or is no failure of the tool, is not."""
        return bool(self._steps.blame.steps(error)) and not isinstance(error, RunLimit)

    def _held(
        self,
        name: str,
        body: dict[str, Any],
        tools: Sequence[Tool | Callable[..., Any]] | None,
        output: Any,
        timeout_s: float | None,
        **more: Any,
    ) -> Conversation:
        shape = None if output is None else Output(output)
        offered = [as_tool(one) for one in tools or ()]
        model = body.get("model") or self._agent.model
        taken: list[Call] = []

        async def turn(request: dict[str, Any], check: Check) -> ChatAnswer:
            call = taken.pop() if taken else take(self._steps, name, request)
            return await Asking(
                self._steps, call, request, lambda: self._steps.parts.models.deployments(model), timeout_s=timeout_s, check=check
            ).answer()

        async def use(tool: Tool, arguments: dict[str, Any]) -> Any:
            return await self.call(tool, **arguments)

        conversation = Conversation(turn, use, body, tools=offered, output=shape, **more)
        taken.append(take(self._steps, _named(name), conversation.request()))
        return conversation

    def complete(self, name: str, body: Mapping[str, Any]) -> Coroutine[Any, Any, dict[str, Any]]:
        """Send an OpenAI request as it is: for a chat; with `prompt` for the end of a text, with `input` for vectors.

        Args:
            name (str): What this call is called in the journal.
            body (Mapping[str, Any]): The request; its `model` decides who answers.

        Returns:
            Coroutine[Any, Any, dict[str, Any]]: The whole `chat.completion`, `text_completion` or list of vectors.

        Raises:
            ProviderError: There was no answer, and waiting does not help.
        """
        call = take(self._steps, _named(name), body)
        model = body.get("model") or self._agent.model
        kind = CHAT if "messages" in body else TEXT if "prompt" in body else VECTORS if "input" in body else CHAT
        asking = Asking(self._steps, call, body, lambda: self._steps.parts.models.deployments(model), kind=kind)

        async def whole() -> dict[str, Any]:
            return (await asking.answer()).body

        return whole()

    def call(
        self, tool: Tool | Callable[..., Any], /, *args: Any, idempotent: bool | None = None, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Call a tool.

        Args:
            tool (Tool | Callable[..., Any]): Made with `@tool`; any other function is one that is not idempotent.
            *args (Any): Its arguments.
            idempotent (bool | None): Overrides the tool's own mark.
            **kwargs (Any): Its arguments.

        Returns:
            Coroutine[Any, Any, Any]: What it returned, of the type its hint names.

        Raises:
            InvalidInput: It does not take such arguments; nothing was called.
            Exception: Its own, recorded.
        """
        one = as_tool(tool)
        return self._called(one, args, kwargs, one.function, idempotent)

    @overload
    def tool(self, function: Tool, /, *, idempotent: bool | None = ...) -> Callable[..., Any]: ...
    @overload
    def tool(self, function: Callable[P, R], /, *, idempotent: bool | None = ...) -> Callable[P, R]: ...
    def tool(self, function: Tool | Callable[..., Any], /, *, idempotent: bool | None = None) -> Callable[..., Any]:
        """Make a function that a framework can be given as its tool: each call of it is a step of this run.

        Args:
            function (Tool | Callable[..., Any]): Made with `@tool`; any other function is one that is not idempotent.
            idempotent (bool | None): Overrides the tool's own mark.

        Returns:
            Callable[..., Any]: With the name, the hints and the docstring of the function, and async if that is. It runs where the
            framework calls it; a sync one must not be called on the thread of the run's own event loop.
        """
        one = as_tool(function)
        return wrapped(one, lambda args, kwargs, act: self._called(one, args, kwargs, act, idempotent), self._steps.open.loop)

    @overload
    def step(
        self, name: str, function: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, idempotent: bool = ..., **kwargs: Any
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def step(
        self, name: str, function: Callable[..., R], /, *args: Any, idempotent: bool = ..., **kwargs: Any
    ) -> Coroutine[Any, Any, R]: ...
    def step(
        self, name: str, function: Callable[..., Any], /, *args: Any, idempotent: bool = False, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Carry out a piece of your own code, once.

        Args:
            name (str): What it is called in the journal.
            function (Callable[..., Any]): Async, or sync to be run in a thread.
            *args (Any): Its arguments, which JSON must be able to say.
            idempotent (bool): Whether it may be run twice if its outcome is unknown.
            **kwargs (Any): Its arguments.

        Returns:
            Coroutine[Any, Any, Any]: What it returned, of the type its hint names.

        Raises:
            Exception: Its own, recorded.
        """
        inner = function.function if isinstance(function, Tool) else function
        call = self._steps.take(StepKind.STEP, _named(name), {"args": args, "kwargs": kwargs}, idempotent=idempotent)
        return self._acted(
            call, lambda: inner(*args, **kwargs), inspect.iscoroutinefunction(inner), Typed(_returned(inner), what=f"step {name!r}")
        )

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait, for minutes or months: a long wait holds no worker.

        Args:
            seconds (float): How long.

        Returns:
            Coroutine[Any, Any, None]: To be awaited.

        Raises:
            InvalidInput: That is no length of time.
        """
        if not 0 <= seconds < math.inf:
            raise InvalidInput(f"{seconds!r} is no length of time", hint="Give seconds, 0 or more.")
        return slept(self._steps, self._steps.take(StepKind.SLEEP, "sleep", {"seconds": seconds}), seconds)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Name a branch, so that equal calls in two branches cannot be taken for each other.

        Args:
            name (str): Its name.

        Yields:
            None: Calls made inside belong to it, tasks begun inside too.
        """
        token = SCOPE.set(in_scope(SCOPE.get(), _named(name)))
        try:
            yield
        finally:
            SCOPE.reset(token)

    @overload
    def map(
        self, name: str, function: Callable[[T], Coroutine[Any, Any, R]], items: Iterable[T], *, limit: int = ...
    ) -> Coroutine[Any, Any, list[R]]: ...
    @overload
    def map(self, name: str, function: Callable[[T], R], items: Iterable[T], *, limit: int = ...) -> Coroutine[Any, Any, list[R]]: ...
    def map(self, name: str, function: Callable[[Any], Any], items: Iterable[Any], *, limit: int = 8) -> Coroutine[Any, Any, list[Any]]:
        """Do the same for many items, several at once, each in a scope of its own.

        Args:
            name (str): Names the scopes: `name[0]`, `name[1]` and so on.
            function (Callable[[Any], Any]): What to do with one item.
            items (Iterable[Any]): The items, always in the same order.
            limit (int): At most this many at once.

        Returns:
            Coroutine[Any, Any, list[Any]]: In the order of the items.

        Raises:
            Exception: The first failure; calls of the others that were under way are recorded.
        """
        if limit < 1:
            raise InvalidInput(f"{limit!r} items at once is none")
        return mapped(self._steps, _named(name), function, items, limit=limit)

    def now(self) -> Coroutine[Any, Any, datetime]:
        """Tell the time, the same on every replay.

        Returns:
            Coroutine[Any, Any, datetime]: In UTC.
        """
        return self._value("now", self._steps.parts.clock.now, lambda said: datetime.fromtimestamp(said, UTC))

    def uuid(self) -> Coroutine[Any, Any, uuid.UUID]:
        """Make a UUID, the same on every replay.

        Returns:
            Coroutine[Any, Any, uuid.UUID]: Version 4.
        """
        return self._value("uuid", uuid.uuid4, uuid.UUID)

    def random(self) -> Coroutine[Any, Any, float]:
        """Throw the dice, with the same result on every replay.

        Returns:
            Coroutine[Any, Any, float]: In [0, 1); not for secrets.
        """
        return self._value("random", chance, float)

    def _called(
        self, one: Tool, args: tuple[Any, ...], kwargs: Mapping[str, Any], act: Callable[..., Any], idempotent: bool | None
    ) -> Coroutine[Any, Any, Any]:
        given = one.signature.bind(args, kwargs)
        ready = one.signature.read(given)
        mark = one.idempotent if idempotent is None else idempotent
        call = self._steps.take(StepKind.TOOL, one.name, given, idempotent=mark, tool_version=one.version)
        return self._acted(call, lambda: act(**ready), one.is_async, one.signature.typed("return"))

    async def _acted(self, call: Call, act: Callable[[], Any], is_async: bool, returned: Typed) -> Any:
        async def here() -> Any:
            if is_async:
                return await act()
            runner = RUNNER.get()
            value = await (self._threads.run(self._steps.parts.tool_threads, act) if runner is None else runner(act))
            return await value if inspect.isawaitable(value) else value

        said = load(await carry_out(self._steps, call, here))
        try:
            return returned.read(said)
        except (InvalidInput, ConfigError):  # the hint promises what JSON does not give back: plain data, now and on replay
            return said

    def _value(self, name: str, make: Callable[[], Any], read: Callable[[Any], R]) -> Coroutine[Any, Any, R]:
        call = self._steps.take(StepKind.VALUE, name, None)

        async def find() -> tuple[bytes, None]:
            return dump(make()), None

        async def value() -> R:
            return read(load(await settled(self._steps, call, find)))

        return value()


def _returned(function: Callable[..., Any]) -> Any:
    try:
        return hints_of(function, None).get("return", Any)
    except NameError:  # a name of the place where it was defined, which we cannot see
        return Any


def _named(name: str) -> str:
    if type(name) is not str or not name or len(name) > 200:
        raise InvalidInput(f"{name!r} cannot be the name of a step", hint="Use a text of 1 to 200 letters.")
    return name
