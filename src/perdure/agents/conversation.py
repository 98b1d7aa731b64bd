"""Talking to a model: the loop of model, tools, model, and answers of a given shape.

Every turn is a step of its own, and so is every tool call. A turn whose answer has the wrong shape is
recorded all the same, since it was paid for, and the model is asked again with what was wrong; the last
one allowed is recorded as a failure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from perdure.agents.output import RE_ASKS, Output
from perdure.errors.base import InvalidInput, InvalidOutput, RunLimit
from perdure.providers.protocol import ChatAnswer
from perdure.resources.usage import Usage
from perdure.tools.plain import canonical
from perdure.tools.tool import Tool

__all__ = ["ChatResult", "Conversation", "ToolCall"]

Check = Callable[[ChatAnswer], None] | None
Asked = Mapping[str, Any]
Used = tuple[dict[str, Any], "ToolCall | None"]
Together = Callable[[int, Callable[[Asked], Awaitable[Used]], Sequence[Asked]], Awaitable[Sequence[Used]]]
"""Makes the tool calls of one turn: given its number, what makes one, and the calls."""
_KEPT = ("role", "content", "tool_calls", "refusal")


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model called."""

    name: str
    arguments: dict[str, Any]
    result: Any
    error: str | None = None
    """What the model was told instead of a result, where its loop lets it go on."""


class ChatResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a conversation."""

    text: str
    """The last answer."""
    output: Any
    """The last answer in the shape asked for; None if no shape was."""
    messages: list[dict[str, Any]]
    """The whole conversation, the last answer included."""
    usage: Usage
    """Of all its turns."""
    tool_calls: list[ToolCall]


class Conversation:
    """One `run.chat` or `run.ask`.

    Args:
        turn (Callable[[dict[str, Any], Check], Awaitable[ChatAnswer]]): Makes one LLM call as a step.
        use (Callable[[Tool, dict[str, Any]], Awaitable[Any]]): Makes one tool call as a step.
        body (Mapping[str, Any]): The chat request without tools and shape.
        tools (Sequence[Tool]): What the model may call.
        output (Output | None): What shape the last answer must have.
        together (Together | None): Makes the tool calls of one turn; None makes one after the other.
        forgives (Callable[[Exception], bool]): Whether an error of a tool is told to the model instead of raised.
    """

    def __init__(
        self,
        turn: Callable[[dict[str, Any], Check], Awaitable[ChatAnswer]],
        use: Callable[[Tool, dict[str, Any]], Awaitable[Any]],
        body: Mapping[str, Any],
        *,
        tools: Sequence[Tool] = (),
        output: Output | None = None,
        together: Together | None = None,
        forgives: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._turn = turn
        self._together = together or _one_by_one
        self._forgives = forgives
        self._use = use
        self._tools = {tool.name: tool for tool in tools}
        self._output = output
        self._messages: list[dict[str, Any]] = list(body["messages"])
        self._rest = {key: value for key, value in body.items() if key != "messages"}
        self._re_asks = RE_ASKS if output else 0
        self._usage = Usage()
        self._used: list[ToolCall] = []

    def request(self) -> dict[str, Any]:
        """Say the next turn as an OpenAI chat request.

        Returns:
            dict[str, Any]: A copy of its own.
        """
        tools = {"tools": [tool.spec() for tool in self._tools.values()]} if self._tools else {}
        shape = {"response_format": self._output.format()} if self._output else {}
        return {"messages": list(self._messages), **self._rest, **tools, **shape}

    async def held(self, *, max_turns: int) -> ChatResult:
        """Go on until the model has nothing more to call and its answer has the right shape.

        Args:
            max_turns (int): At most this many answers with tool calls.

        Returns:
            ChatResult: All of it.

        Raises:
            RunLimit: The model still calls tools after `max_turns`.
            InvalidOutput: The answer has the wrong shape after the re-asks.
        """
        turns = 0
        while True:
            answer = await self._turn(self.request(), self._check())
            self._usage += answer.usage
            self._messages.append(
                {key: answer.message[key] for key in _KEPT if answer.message.get(key) is not None} | {"role": "assistant"}
            )
            asked_for = answer.message.get("tool_calls") or []
            if asked_for:
                turns += 1
                if turns > max_turns:
                    raise RunLimit(
                        "turns", f"the model still calls tools after {max_turns} turns", hint="Raise `max_turns`, or offer fewer tools."
                    )
                for message, used in await self._together(turns, self._used_tool, asked_for):
                    self._messages.append(message)
                    self._used += [] if used is None else [used]
            elif (output := self._shaped(answer)) is not _AGAIN:
                return ChatResult(text=answer.text, output=output, messages=self._messages, usage=self._usage, tool_calls=self._used)

    def _check(self) -> Check:
        """After the last re-ask a wrong answer is a failed step, which a revived message makes again."""
        output = self._output
        if output is None or self._re_asks > 0:
            return None

        def check(answer: ChatAnswer) -> None:
            if not answer.message.get("tool_calls"):
                output.read(answer.text)

        return check

    def _shaped(self, answer: ChatAnswer) -> Any:
        if self._output is None:
            return None
        try:
            return self._output.read(answer.text)
        except InvalidOutput as error:
            if not self._re_asks:
                raise
            self._re_asks -= 1
            self._messages.append({"role": "user", "content": f"{error.message}. Answer again, with JSON of that shape and nothing else."})
            return _AGAIN

    async def _used_tool(self, asked_for: Asked) -> Used:
        said = asked_for.get("function") or {}
        name = str(said.get("name") or "")
        used: ToolCall | None = None
        try:
            tool = self._tool(name)
            arguments = tool.arguments(said.get("arguments"))
        except InvalidInput as error:
            content = f"error: {error.message}"
        else:
            used = await self._outcome(tool, arguments)
            content = used.error or (used.result if isinstance(used.result, str) else canonical(used.result).decode())
        return {"role": "tool", "tool_call_id": asked_for.get("id") or "", "content": content}, used

    async def _outcome(self, tool: Tool, arguments: dict[str, Any]) -> ToolCall:
        try:
            return ToolCall(name=tool.name, arguments=arguments, result=await self._use(tool, arguments))
        except Exception as error:
            if not self._forgives(error):
                raise
            return ToolCall(name=tool.name, arguments=arguments, result=None, error=f"error: {type(error).__name__}: {error}")

    def _tool(self, name: str) -> Tool:
        if name not in self._tools:
            raise InvalidInput(f"there is no tool {name!r}; there are: {', '.join(self._tools) or 'none'}")
        return self._tools[name]


async def _one_by_one(_: int, use: Callable[[Asked], Awaitable[Used]], calls: Sequence[Asked]) -> Sequence[Used]:
    return [await use(one) for one in calls]


_AGAIN = object()
