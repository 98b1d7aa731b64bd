"""The run of a sync agent: the same names, blocking.

The agent has a thread of its own; its calls are carried out on the worker's event loop while it waits.
Sync tools and steps come back to the agent's thread, so that what they open there stays usable there.
When the run is parked, timed out or lost, the call under way ends with `RunStopped`, a `BaseException`:
the thread has to end then, and one that catches it and goes on counts as hung.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, overload

from perdure.agents.blame import Blame
from perdure.agents.bridge import Bridge, RunStopped
from perdure.agents.call import SCOPE
from perdure.agents.conversation import ChatResult
from perdure.agents.mapping import in_scope
from perdure.agents.memory import SyncMemory
from perdure.agents.run import Run
from perdure.agents.sync_others import SyncOthers
from perdure.agents.waits import BRANCH, Branch
from perdure.tools.tool import Tool

__all__ = ["SyncRun"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class SyncRun(SyncOthers):
    """The work of one sync agent on one message. See `Run` for what each call means.

    Args:
        run (Run): The run itself.
        blame (Blame): Where it notes which errors go back to which steps.
        loop (asyncio.AbstractEventLoop): Where it lives.
    """

    def __init__(self, run: Run, blame: Blame, loop: asyncio.AbstractEventLoop) -> None:
        bridge = Bridge(loop)
        super().__init__(run, bridge)
        self._run = run
        self._blame = blame
        self._bridge = bridge
        self._memory = SyncMemory(run.memory, self._bridge)

    @property
    def body(self) -> Any:
        """The payload, as plain data."""
        return self._run.body

    @property
    def id(self) -> str:
        """The message's id, `msg_…`."""
        return self._run.id

    @property
    def attempt(self) -> int:
        """Number of the attempt under way, from 1."""
        return self._run.attempt

    @property
    def tenant(self) -> str:
        """Whose message it is."""
        return self._run.tenant

    @property
    def session(self) -> str | None:
        """The session of its message, if it is in one."""
        return self._run.session

    @property
    def metadata(self) -> Mapping[str, str]:
        """What its sender wrote on it."""
        return self._run.metadata

    @property
    def idempotency_key(self) -> str:
        """Names the step under way, the same on every try; outside a step it names the run."""
        return self._run.idempotency_key

    @property
    def memory(self) -> SyncMemory:
        """What the agent keeps between runs."""
        return self._memory

    @property
    def openai_base_url(self) -> str:
        """Where an OpenAI client asks so that its calls are steps of this run: `Run.openai_base_url`."""
        return self._run.openai_base_url

    @property
    def openai_api_key(self) -> str:
        """The key for `openai_base_url`."""
        return self._run.openai_api_key

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
    ) -> str: ...
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
    ) -> T: ...
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
    ) -> Any: ...
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
    ) -> Any:
        """Ask a model one thing: `Run.ask`.

        Args:
            name (str): What this question is called in the journal.
            prompt (str): What the user says.
            system (str | None): What the model should be.
            model (str | None): `provider/model` or an alias.
            output (Any): A type or a JSON Schema that the answer must fit.
            timeout_s (float | None): For one answer.
            **params (Any): More of the chat request.

        Returns:
            Any: The text, or a value of the type.
        """
        return self._bridge.wait(
            lambda: self._run.ask(name, prompt, system=system, model=model, output=output, timeout_s=timeout_s, **params)
        )

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
    ) -> ChatResult:
        """Talk to a model, which may call tools: `Run.chat`.

        Args:
            name (str): What this conversation is called in the journal.
            messages (Sequence[Mapping[str, Any]]): What was said so far.
            tools (Sequence[Tool | Callable[..., Any]] | None): What the model may call.
            output (Any): A type or a JSON Schema that the last answer must fit.
            model (str | None): `provider/model` or an alias.
            max_turns (int): At most this many answers with tool calls.
            timeout_s (float | None): For one answer.
            **params (Any): More of the chat request.

        Returns:
            ChatResult: The last answer and how it came about.
        """
        return self._bridge.wait(
            lambda: self._run.chat(
                name, messages, tools=tools, output=output, model=model, max_turns=max_turns, timeout_s=timeout_s, **params
            )
        )

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
    ) -> ChatResult:
        """Let a model work with tools until it has an answer: `Run.loop`.

        Args:
            name (str): What this loop is called in the journal.
            messages (Sequence[Mapping[str, Any]]): What was said so far.
            tools (Sequence[Tool | Callable[..., Any]] | None): What the model may call.
            output (Any): A type or a JSON Schema that the last answer must fit.
            model (str | None): `provider/model` or an alias.
            max_turns (int): At most this many answers with tool calls.
            at_once (int): At most this many tool calls at once.
            timeout_s (float | None): For one answer.
            **params (Any): More of the chat request.

        Returns:
            ChatResult: The last answer and how it came about.
        """
        how: dict[str, Any] = {"max_turns": max_turns, "at_once": at_once, "timeout_s": timeout_s}
        return self._bridge.wait(lambda: self._run.loop(name, messages, tools=tools, output=output, model=model, **how, **params))

    def complete(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send an OpenAI chat request as it is: `Run.complete`.

        Args:
            name (str): What this call is called in the journal.
            body (Mapping[str, Any]): The request.

        Returns:
            dict[str, Any]: The whole `chat.completion`.
        """
        return self._bridge.wait(lambda: self._run.complete(name, body))

    def call(self, tool: Tool | Callable[..., Any], /, *args: Any, idempotent: bool | None = None, **kwargs: Any) -> Any:
        """Call a tool: `Run.call`. A sync one runs in this thread.

        Args:
            tool (Tool | Callable[..., Any]): Made with `@tool`, or any function.
            *args (Any): Its arguments.
            idempotent (bool | None): Overrides the tool's own mark.
            **kwargs (Any): Its arguments.

        Returns:
            Any: What it returned.
        """
        return self._bridge.wait(lambda: self._run.call(tool, *args, idempotent=idempotent, **kwargs))

    @overload
    def tool(self, function: Tool, /, *, idempotent: bool | None = ...) -> Callable[..., Any]: ...
    @overload
    def tool(self, function: Callable[P, R], /, *, idempotent: bool | None = ...) -> Callable[P, R]: ...
    def tool(self, function: Tool | Callable[..., Any], /, *, idempotent: bool | None = None) -> Callable[..., Any]:
        """Make a function that a framework can be given as its tool: `Run.tool`.

        Args:
            function (Tool | Callable[..., Any]): Made with `@tool`, or any function.
            idempotent (bool | None): Overrides the tool's own mark.

        Returns:
            Callable[..., Any]: Each call of it is a step of this run.
        """
        return self._run.tool(function, idempotent=idempotent)

    def step(self, name: str, function: Callable[..., R], /, *args: Any, idempotent: bool = False, **kwargs: Any) -> R:
        """Carry out a piece of your own code, once: `Run.step`. It runs in this thread.

        Args:
            name (str): What it is called in the journal.
            function (Callable[..., R]): What to do.
            *args (Any): Its arguments.
            idempotent (bool): Whether it may be run twice if its outcome is unknown.
            **kwargs (Any): Its arguments.

        Returns:
            R: What it returned.
        """
        return self._bridge.wait(lambda: self._run.step(name, function, *args, idempotent=idempotent, **kwargs))

    def sleep(self, seconds: float) -> None:
        """Wait: `Run.sleep`.

        Args:
            seconds (float): How long.
        """
        self._bridge.wait(lambda: self._run.sleep(seconds))

    def scope(self, name: str) -> AbstractContextManager[None]:
        """Name a branch: `Run.scope`.

        Args:
            name (str): Its name.

        Returns:
            AbstractContextManager[None]: Calls made inside belong to it.
        """
        return self._run.scope(name)

    def map(self, name: str, function: Callable[[T], R], items: Iterable[T], *, limit: int = 8) -> list[R]:
        """Do the same for many items, each in a thread and a scope of its own: `Run.map`.

        Args:
            name (str): Names the scopes.
            function (Callable[[T], R]): What to do with one item.
            items (Iterable[T]): The items, always in the same order.
            limit (int): At most this many at once.

        Returns:
            list[R]: In the order of the items.
        """
        outer, branch = SCOPE.get(), Branch(BRANCH.get())

        def one(place: int, item: T) -> R:
            SCOPE.set(in_scope(outer, f"{name}[{place}]"))
            BRANCH.set(branch)
            return function(item)

        with concurrent.futures.ThreadPoolExecutor(max_workers=limit, thread_name_prefix=f"perdure-map-{name}") as pool:
            futures = [pool.submit(copy_context().run, one, place, item) for place, item in enumerate(items)]
            done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION)
            if any(future.exception() is not None for future in done):
                branch.stop(None)
                pool.shutdown(cancel_futures=True)
        return self._gathered(futures)

    def now(self) -> datetime:
        """Tell the time, the same on every replay.

        Returns:
            datetime: In UTC.
        """
        return self._bridge.wait(self._run.now)

    def uuid(self) -> uuid.UUID:
        """Make a UUID, the same on every replay.

        Returns:
            uuid.UUID: Version 4.
        """
        return self._bridge.wait(self._run.uuid)

    def random(self) -> float:
        """Throw the dice, with the same result on every replay.

        Returns:
            float: In [0, 1); not for secrets.
        """
        return self._bridge.wait(self._run.random)

    def _gathered(self, futures: Sequence[concurrent.futures.Future[R]]) -> list[R]:
        errors = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
        real = [error for error in errors if not isinstance(error, RunStopped)]
        for other in real[1:]:
            self._blame.join(real[0], other)
        for error in (*real, *errors):
            raise error
        return [future.result() for future in futures]
