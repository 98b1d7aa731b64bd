"""The asynchronous client against a real server over a socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from perdure.client.aio import AsyncClient
from perdure.errors.base import (
    AgentFailed,
    Conflict,
    DedupConflict,
    Forbidden,
    InvalidInput,
    NotFound,
    NotYetBuilt,
    ServerUnreachable,
    Unauthenticated,
    UnknownAgent,
)

if TYPE_CHECKING:
    from conftest import Served


async def test_a_message_goes_in_and_its_result_comes_out(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send("echo", {"text": "hällo"}, priority=1, metadata={"a": "b"})
        waiting = asyncio.create_task(sent.result(timeout_s=10))
        await served.finish()
        assert await waiting == {"echo": {"text": "hällo"}}
        message = await sent.message()
        assert (message["state"], message["priority"], message["metadata"]) == ("done", 1, {"a": "b"})
        assert message["usage"]
        assert message["usage"]["input_tokens"] == 3


@dataclass
class Ticket:
    text: str


class Order(BaseModel):
    number: int
    at: datetime


@pytest.mark.parametrize(
    ("body", "arrives"),
    [
        (Ticket("x"), {"text": "x"}),
        (Order(number=1, at=datetime(2026, 1, 1, tzinfo=UTC)), {"number": 1, "at": "2026-01-01T00:00:00Z"}),
        ([1, None, "ü"], [1, None, "ü"]),
        ({"big": 2**53 + 1}, {"big": 2**53 + 1}),
    ],
)
async def test_a_body_is_anything_json_can_say(served: Served, body: Any, arrives: Any) -> None:
    async with served.client() as client:
        sent = await client.send("echo", body)
        assert (await sent.message())["body"] == arrives


@pytest.mark.parametrize("body", [object(), {"x": "\ud800"}, {1j: 2}, float("nan"), [{"x": (1.0, float("inf"))}]])
async def test_a_body_json_cannot_say_is_refused_here(served: Served, body: Any) -> None:
    async with served.client() as client:
        with pytest.raises(InvalidInput, match="cannot be written as JSON"):
            await client.send("echo", body)


async def test_a_body_too_deep_is_refused_here(served: Served) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    async with served.client() as client:
        with pytest.raises(InvalidInput, match="nested too deeply"):
            await client.send("echo", deep)


async def test_an_agent_can_be_given_itself(served: Served) -> None:
    class Agent:
        name = "echo"

    async with served.client() as client:
        assert (await (await client.send(Agent(), {})).message())["agent"] == "echo"


async def test_a_moment_needs_a_time_zone(served: Served) -> None:
    async with served.client() as client:
        with pytest.raises(InvalidInput, match="time zone"):
            await client.send("echo", {}, due_at=datetime(2026, 1, 1))
        sent = await client.send("echo", {}, due_at=datetime.now(UTC) + timedelta(hours=1))
        assert (await sent.message())["state"] == "later"


async def test_the_same_dedup_key_brings_the_same_message(served: Served) -> None:
    async with served.client() as client:
        first = await client.send("echo", {"n": 1}, dedup_key="k")
        again = await client.send("echo", {"n": 1}, dedup_key="k")
        assert again.id == first.id
        assert (first.duplicate, again.duplicate) == (False, True)
        with pytest.raises(DedupConflict):
            await client.send("echo", {"n": 2}, dedup_key="k")


async def test_without_a_key_two_equal_messages_are_two(served: Served) -> None:
    async with served.client() as client:
        one, two = await client.send("echo", {}), await client.send("echo", {})
        assert one.id != two.id
        assert not two.duplicate


async def test_many_messages_are_put_in_order_over_several_requests(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send_many({"agent": "echo", "body": {"n": n}} for n in range(1201))
        assert len({one.id for one in sent}) == 1201
        assert [one.id for one in sent] == sorted(one.id for one in sent)
        assert (await sent[1200].message())["body"] == {"n": 1200}


async def test_large_bodies_are_divided_by_size(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send_many({"agent": "echo", "body": {"x": "a" * 700_000}} for _ in range(8))
        assert len(sent) == 8


async def test_one_bad_message_of_many_is_named(served: Served) -> None:
    async with served.client() as client:
        with pytest.raises(InvalidInput, match="message 1 has no 'body'"):
            await client.send_many([{"agent": "echo", "body": 1}, {"agent": "echo"}])


async def test_a_dead_message_raises_what_it_died_of(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send("echo", {})
        await served.bury()
        with pytest.raises(AgentFailed, match="it broke") as caught:
            await sent.result()
        assert caught.value.hint == "mend it"
        letter = await client.dead_letter(sent.id)
        assert letter["attempts_log"][0]["error"]["code"] == "agent-failed"
        assert [one["id"] for one in (await client.dead_letters(code="agent-failed"))["data"]] == [sent.id]
        assert (await client.revive(sent.id))["state"] == "ready"
        with pytest.raises(Conflict):
            await client.revive(sent.id)


async def test_a_cancelled_message_has_no_result(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send("echo", {}, delay_s=60)
        assert (await sent.cancel())["state"] == "cancelled"
        with pytest.raises(Conflict, match="was cancelled"):
            await sent.result()


async def test_a_message_is_signalled(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send("echo", {}, delay_s=60)
        assert (await sent.signal("approval", {"by": "ann"}))["id"] == sent.id
        with pytest.raises(NotFound):
            await client.signal("msg_0000000000001", "approval")


async def test_many_are_put_with_one_that_joins_them(served: Served) -> None:
    async with served.client() as client:
        them = ({"agent": "echo", "body": n} for n in range(700))
        sent = await client.send_many(them, then={"agent": "echo", "body": "all"}, group_name="night")
        [group_id] = {one.group for one in sent}
        group = await client.group(group_id)
        assert (group["total"], group["open"], group["name"]) == (700, False, "night")
        page = await client.members(group_id, limit=1000)
        assert [one["id"] for one in page["data"]] == [one.id for one in sent]
        assert (await client.message(group["then"]))["state"] == "waiting"


async def test_waiting_ends_at_its_limit_and_the_message_goes_on(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send("echo", {})
        with pytest.raises(TimeoutError, match="goes on"):
            await sent.result(timeout_s=0.05)
        assert (await sent.message())["state"] == "ready"


async def test_messages_are_listed_by_filter_and_page(served: Served) -> None:
    async with served.client() as client:
        sent = [await client.send("echo", n, queue="a" if n % 2 else "b") for n in range(5)]
        page = await client.messages(queue="b", limit=2)
        assert [one["body"] for one in page["data"]] == [4, 2]
        rest = await client.messages(queue="b", limit=2, cursor=page["next_cursor"])
        assert [one["id"] for one in rest["data"]] == [sent[0].id]
        assert rest["next_cursor"] is None


async def test_queues_are_paused_and_resumed(served: Served) -> None:
    async with served.client() as client:
        await client.send("echo", 1, queue="mail.in:1")
        await client.pause("mail.in:1")
        assert [queue["paused"] for queue in await client.queues()] == [True]
        assert await served.take() == []
        await client.resume("mail.in:1")
        await client.pause()
        assert await served.take() == []
        await client.resume()
        assert len(await served.take()) == 1


async def test_keys_are_made_listed_and_revoked(served: Served) -> None:
    async with served.client() as client:
        made = await client.create_key("shop", scopes=["messages:read"], tenant="shop")
        async with AsyncClient(served.url, made["key"]) as shop:
            assert (await shop.messages())["data"] == []
            with pytest.raises(Forbidden):
                await shop.send("echo", 1)
            await client.revoke_key(made["id"])
            with pytest.raises(Unauthenticated):
                await shop.messages()
        listed = {key["id"]: key for key in await client.keys()}
        assert listed[made["id"]]["revoked_at"] is not None
        assert "key" not in listed[made["id"]]


async def test_a_bad_key_is_told_so(served: Served) -> None:
    async with AsyncClient(served.url, "pdr_nonsense") as client:
        with pytest.raises(Unauthenticated):
            await client.messages()


async def test_what_is_not_there_is_not_found(served: Served) -> None:
    async with served.client() as client:
        with pytest.raises(NotFound):
            await client.message("msg_0000000000001")
        with pytest.raises(NotFound):
            await client.message("../../keys")
        with pytest.raises(UnknownAgent):
            await client.send("nobody", 1)


async def test_what_is_not_built_is_refused_by_name(served: Served) -> None:
    async with served.client() as client:
        with pytest.raises(NotYetBuilt):
            await client.send("echo", 1, budget_usd=1.0)  # type: ignore[call-arg]


async def test_a_wrong_field_comes_with_all_problems(served: Served) -> None:
    async with served.client() as client:
        with pytest.raises(InvalidInput) as caught:
            await client.send("echo", 1, priority=99)
        assert caught.value.evidence.status == 422
        assert "priority" in " ".join([caught.value.message, *caught.value.problems])


async def test_a_chat_is_answered_at_once(served: Served) -> None:
    async with served.client() as client:
        answer = await client.chat([{"role": "user", "content": "hi"}], model="fake/fake-1", max_tokens=5)
        assert answer["choices"][0]["message"]["content"] == "Hello."
        assert "fake/fake-1" in await client.models()


async def test_agents_and_workers_are_listed(served: Served) -> None:
    async with served.client() as client:
        assert {"echo", "chat"} <= {agent["name"] for agent in await client.agents()}
        [worker] = await client.workers()
        assert worker["alive"]


async def test_steps_and_attempts_of_a_fresh_message_are_none(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send("echo", 1)
        assert await client.steps(sent.id) == []
        assert await client.attempts(sent.id) == []
        with pytest.raises((Conflict, NotFound)):
            await client.decide(sent.id, 1, "happened", result={"ok": True})


async def test_many_are_followed_to_their_ends_over_one_connection(served: Served) -> None:
    async with served.client() as client:
        before = (await client.changes())["last"]
        sent = await client.send_many({"agent": "echo", "body": n} for n in range(150))
        following = asyncio.create_task(_all_of(client, sent, before))
        await served.finish()
        await served.finish()
        ended = await asyncio.wait_for(following, 20)
        assert sorted(message["result"]["echo"] for message in ended) == list(range(150))


async def test_those_that_ended_before_are_followed_too(served: Served) -> None:
    async with served.client() as client:
        sent = await client.send_many({"agent": "echo", "body": n} for n in range(3))
        await served.finish()
        assert len(await _all_of(client, sent, None)) == 3


async def test_a_server_that_is_not_there_is_said_clearly() -> None:
    async with AsyncClient("http://127.0.0.1:1", "k", retry_for_s=0) as client:
        with pytest.raises(ServerUnreachable, match="no server can be reached") as caught:
            await client.messages()
        assert caught.value.hint is not None
        assert "perdure up" in caught.value.hint


async def _all_of(client: AsyncClient, sent: list[Any], after: int | None) -> list[Any]:
    return [message async for message in client.as_ended(sent, after=after)]
