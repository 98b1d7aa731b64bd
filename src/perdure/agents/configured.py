"""Agents without code: a model, instructions and tools, as the settings say.

Each is a loop of model, tools, model in one run, so all that is promised of runs holds: every call is a step, replayed at no cost after
a crash, within the agent's limits. With memory, what was said in a session is kept with the journal and goes before the next message of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from perdure.agents.agent import Agent
from perdure.agents.limits import Limits
from perdure.agents.run import Run
from perdure.config.settings import AgentSettings
from perdure.errors.base import ConfigError
from perdure.tools.plain import canonical
from perdure.tools.tool import Tool

__all__ = ["ConfiguredAgent"]

_TALK = {
    "title": "Talk",
    "description": "A text, or an object with a prompt.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"prompt": {"type": "string", "minLength": 1}},
            "required": ["prompt"],
            "additionalProperties": False,
        },
    ],
}


class ConfiguredAgent(Agent):
    """An agent that the settings describe.

    Args:
        name (str): As in the settings.
        wanted (AgentSettings): What they say of it.
        tools (Sequence[Tool]): Its tools, found by the names that the settings give.

    Raises:
        ConfigError: Two tools have one name, or a schema is none.
    """

    def __init__(self, name: str, wanted: AgentSettings, tools: Sequence[Tool]) -> None:
        named = [tool.name for tool in tools]
        twice = next((one for one in named if named.count(one) > 1), None)
        if twice is not None:
            raise ConfigError(f"`agents.{name}.tools` has two tools called {twice!r}", hint="Give one another name: `@tool(name=…)`.")
        self._wanted = wanted
        self._tools = list(tools)
        super().__init__(
            self._work,
            name=name,
            version=_version(wanted, tools),
            queue=wanted.queue,
            model=wanted.model,
            attempts=wanted.attempts,
            timeout_s=wanted.timeout_s,
            limits=Limits(
                max_steps=wanted.max_steps, max_tokens=wanted.max_tokens, max_time_s=wanted.max_time_s, max_cost_usd=wanted.max_cost_usd
            ),
            input=wanted.input or _TALK,
        )
        self.description = wanted.description
        _check_schema(name, "output", wanted.output)
        _check_schema(name, "input", wanted.input)

    @property
    def output_schema(self) -> dict[str, Any] | None:
        """What a result looks like."""
        return self._wanted.output or {"type": "string"}

    async def _work(self, run: Run) -> Any:
        wanted = self._wanted
        asked = {"role": "user", "content": _text_of(run.body)}
        talk = f"session:{run.session}" if wanted.memory and run.session is not None else None
        before = [] if talk is None else await run.memory.retrieve(talk) or []
        messages = [{"role": "system", "content": wanted.instructions}, *before, asked]
        result = await run.loop(
            "work", messages, tools=self._tools, output=wanted.output, max_turns=wanted.max_turns, **wanted.params
        )  # fmt: skip
        if talk is not None:
            said = [*before, asked, {"role": "assistant", "content": result.text}]
            await run.memory.store(talk, said[-wanted.memory_messages :])
        return result.text if wanted.output is None else result.output


def _text_of(body: Any) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, Mapping) and set(body) == {"prompt"} and isinstance(body["prompt"], str):
        return body["prompt"]
    return canonical(body).decode()


def _version(wanted: AgentSettings, tools: Sequence[Tool]) -> str:
    """A digest of all that makes it answer as it does."""
    said = json.dumps([wanted.model_dump(mode="json"), [(tool.name, tool.version) for tool in tools]], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _check_schema(name: str, which: str, schema: dict[str, Any] | None) -> None:
    if schema is None:
        return
    import jsonschema_rs  # late: it takes 40 ms, and only a schema needs it

    try:
        jsonschema_rs.validator_for(schema)
    except ValueError as error:
        raise ConfigError(f"`agents.{name}.{which}` is no JSON Schema: {error}") from error
