"""Typed use of what users import. Nobody runs this file; mypy and pyright read it, and `assert_type` must hold.

A change that takes a type away from users fails here, though every test still passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, assert_type
from uuid import UUID

from pydantic import BaseModel

from perdure import (
    Agent,
    App,
    AsyncClient,
    ChatProvider,
    ChatResult,
    Client,
    ConfigManager,
    ErrorHandler,
    GenericProvider,
    LLMProvider,
    MemoryManager,
    OutcomeUnknown,
    PerdureError,
    QwenProvider,
    Run,
    Sent,
    SyncRun,
    SyncSent,
    Tool,
    Validator,
    agent,
    tool,
)


class Verdict(BaseModel):
    team: str
    urgent: bool


@dataclass
class Ticket:
    number: str


class Told(TypedDict):
    heard: bool


# What agents are written with ----------------------------------------------------------------------


@tool
def look_up(number: str) -> dict[str, str]:
    return {"number": number}


@tool(name="write", idempotent=True)
async def write_down(number: str, *, team: str = "none") -> Told:
    return {"heard": bool(number and team)}


def length(text: str) -> int:
    return len(text)


async def length_later(text: str) -> int:
    return len(text)


@agent
async def bare(run: Run) -> None:
    assert_type(run.attempt, int)
    assert_type(run.tenant, str)
    assert_type(run.idempotency_key, str)


@agent(queue="support", provider="qwen", attempts=5, timeout_s=60)
async def triage(run: Run, ticket: Ticket) -> Verdict:
    assert_type(await run.ask("say", f"What of {ticket.number}?", system="Be brief.", model="qwen/qwen-plus", temperature=0), str)
    assert_type(await run.ask("judge", "Judge it.", output=Verdict), Verdict)
    talk = await run.chat("talk", [{"role": "user", "content": "Hello"}], tools=[look_up, write_down], max_turns=4)
    assert_type(talk, ChatResult)
    assert_type(talk.text, str)
    assert_type(await run.step("measure", length, "text"), int)
    assert_type(await run.step("measure later", length_later, "text", idempotent=True), int)
    assert_type(await run.map("measure all", length_later, ["a", "b"], limit=2), list[int])
    await run.call(look_up, ticket.number)
    await run.memory.store("last", {"number": ticket.number})
    await run.memory.retrieve("last")
    await run.memory.clear()
    await run.sleep(3600)
    assert_type(await run.now(), datetime)
    assert_type(await run.random(), float)
    assert_type(await run.uuid(), UUID)
    with run.scope("branch"):
        await run.ask("again", "And now?")
    return Verdict(team="billing", urgent=False)


@agent
def blocking(run: SyncRun) -> str:
    assert_type(run.step("measure", length, "text"), int)
    assert_type(run.ask("judge", "Judge it.", output=Verdict), Verdict)
    run.memory.store("last", 1)
    run.sleep(1)
    return run.ask("say", "Something")


assert_type(triage, Agent)
assert_type(look_up, Tool)
assert_type(write_down, Tool)
app = App(agents=[bare, triage, blocking], name="support")


# What messages are put with ------------------------------------------------------------------------


async def put_and_wait() -> None:
    async with AsyncClient("http://127.0.0.1:8321", api_key="pdr_…") as client:
        sent = await client.send("triage", {"number": "T-17"}, priority=0, dedup_key="t-17", delay_s=1.5, metadata={"from": "mail"})
        assert_type(sent, Sent)
        assert_type(sent.id, str)
        assert_type(await client.send_many([{"agent": triage, "body": {"number": "T-18"}, "attempts": 2}]), list[Sent])
        try:
            await sent.result(timeout_s=30)
        except OutcomeUnknown as unknown:
            assert_type(unknown.code, str)
            assert_type(unknown.hint, str | None)
        message = await client.message(sent.id, wait_s=10)
        assert_type(message["state"], str)
        await client.decide(sent.id, 3, "happened", result={"ok": True})


def put_blocking() -> None:
    with Client() as client:
        assert_type(client.send(triage, Ticket("T-19")), SyncSent)
        for queue in client.queues():
            assert_type(queue["name"], str)
        client.pause("support")
        client.resume()


# The founding names --------------------------------------------------------------------------------


class Mine:
    """Plugs in by shape, without inheriting anything."""

    def generate(self, prompt: str, system_prompt: str) -> str | None:
        return prompt or system_prompt or None

    def get_metrics(self) -> dict[str, Any]:
        return {}

    def validate(self) -> bool:
        return True


class Shelf:
    """A memory of one's own."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def store(self, key: str, data: Any) -> None:
        self._kept[key] = data

    def retrieve(self, key: str) -> Any | None:
        return self._kept.get(key)

    def clear(self, key: str | None = None) -> None:
        self._kept.clear()

    def get_stats(self) -> dict[str, Any]:
        return {"items": len(self._kept)}


mine: LLMProvider = Mine()
shelf: MemoryManager = Shelf()
simple: LLMProvider = GenericProvider("mine", base_url="http://127.0.0.1:8000/v1")
full: ChatProvider = GenericProvider("mine", base_url="http://127.0.0.1:8000/v1")
qwen: LLMProvider = QwenProvider("qwen", api_key="env:DASHSCOPE_API_KEY")
assert_type(qwen.generate("Hello", ""), str | None)

settings = ConfigManager()
settings.load("prod")
assert_type(settings.validate(), bool)
settings.update("worker.slots", 5)

validator = Validator()
assert_type(validator.validate_input({"a": 1}, {"type": "object"}), bool)
assert_type(validator.get_validation_errors(), list[str])

handler = ErrorHandler()
failure: Exception = PerdureError("it went wrong", hint="Try again.")
