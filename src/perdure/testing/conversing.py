"""The part of the journal's kit about what steps say: long conversations and large bodies come back as they were (SEMANTICS 18)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.agents.journal import StepKind
from perdure.messages.message import Lease
from perdure.stores.store import Store
from perdure.testing.given import intent, leased, put, runs
from perdure.testing.kit import Kit

__all__ = ["ConversationKit", "said"]

LARGE = 200_000


def said(*texts: Any, **more: Any) -> bytes:
    """Write a chat request.

    Args:
        *texts (Any): What user and model said, in turn.
        **more (Any): What else it asks for.

    Returns:
        bytes: JSON as runs write it.
    """
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    return json.dumps({"messages": messages, **more}, separators=(",", ":"), ensure_ascii=False).encode()


async def asked(store: Store, lease: Lease, *requests: bytes, first: int = 1) -> None:
    """Make a call of a model for each request.

    Args:
        store (Store): Where.
        lease (Lease): The run.
        *requests (bytes): What is asked.
        first (int): Number of the first.
    """
    for number, request in enumerate(requests, first):
        await store.journal.intend(lease, intent(number, request=request))
        await store.journal.record(lease, number, b'"an answer"')


class ConversationKit(Kit, standard=True):
    """Asks long and large things, and reads what was asked."""

    async def test_each_step_of_a_growing_conversation_gives_its_whole_request(self, store: Store) -> None:
        lease = await runs(store)
        requests = [said(*(f"größe {n} " * 50 for n in range(upto)), model="a/b", tools=[{"messages": []}]) for upto in range(1, 12)]
        await asked(store, lease, *requests)
        assert [step.request for step in await store.journal.steps(lease.message.id)] == requests

    async def test_a_conversation_whose_history_was_edited_goes_its_own_way(self, store: Store) -> None:
        lease = await runs(store)
        requests = [
            said("one", "two", "three"),
            said("one", "TWO", "three"),
            said("one", "two", "three", "four"),
            said("two", "three"),
            said("one"),
            said("one", "two", "three", temperature=1),
            said("one", "two", "one", "two"),
        ]
        await asked(store, lease, *requests)
        assert [step.request for step in await store.journal.steps(lease.message.id)] == requests

    async def test_a_conversation_goes_on_after_the_run_changed_hands(self, store: Store) -> None:
        id = await put(store)
        texts: list[str] = []
        for number in (1, 2, 3):
            lease = await leased(store, id)
            texts += [f"said {number}"]
            await asked(store, lease, said(*texts), first=number)
            await store.messages.release(lease)
        steps = await store.journal.steps(id)
        assert [step.request for step in steps] == [said(*texts[:upto]) for upto in (1, 2, 3)]

    async def test_equal_conversations_of_two_runs_are_each_their_own(self, store: Store) -> None:
        for lease in (await runs(store), await runs(store)):
            await asked(store, lease, said("hello"), said("hello", "you"))
            assert [step.request for step in await store.journal.steps(lease.message.id)] == [said("hello"), said("hello", "you")]

    @pytest.mark.parametrize(
        "request_",
        [
            b'{"messages":[]}',
            b'{"messages": [ 1 ]}',
            b'{"messages":"none"}',
            b'{"messages":[1],"messages":[2,3]}',
            b'{"x":{"messages":[1]},"messages":[1]}',
            b'[{"messages":[1]}]',
            b"null",
            b"\x01\x02 no JSON at all",
            b"\x00",
            b" ",
        ],
        ids=repr,
    )
    async def test_whatever_a_request_looks_like_it_comes_back_as_it_was(self, store: Store, request_: bytes) -> None:
        lease = await runs(store)
        await asked(store, lease, request_)
        [step] = await store.journal.steps(lease.message.id)
        assert step.request == request_

    async def test_large_requests_results_and_messages_come_back_as_they_were(self, store: Store) -> None:
        document = "".join(chr(33 + n * 7919 % 90) for n in range(LARGE))
        result = json.dumps({"read": document}).encode()
        for _ in range(2):
            lease = await runs(store)
            await store.journal.intend(lease, intent(1, kind=StepKind.TOOL, request=result))
            await store.journal.record(lease, 1, result)
            await store.journal.settle(lease, intent(2, kind=StepKind.VALUE, request=result), result)
            await asked(store, lease, said(document), said(document, "short", document), first=3)
            steps = await store.journal.steps(lease.message.id)
            assert [step.request for step in steps] == [result, result, said(document), said(document, "short", document)]
            assert [step.result for step in steps] == [result, result, b'"an answer"', b'"an answer"']

    async def test_a_request_is_left_out_where_only_a_replay_reads(self, store: Store) -> None:
        lease = await runs(store)
        await asked(store, lease, said("hello"))
        await store.journal.settle(lease, intent(2, kind=StepKind.VALUE), b"17")
        shown, bare = await store.journal.steps(lease.message.id), await store.journal.steps(lease.message.id, shown=False)
        assert [step.request for step in bare] == [None, None]
        assert [step.result for step in bare] == [step.result for step in shown] == [b'"an answer"', b"17"]
        assert [(step.number, step.key, step.state) for step in bare] == [(step.number, step.key, step.state) for step in shown]

    async def test_steps_are_read_piece_by_piece(self, store: Store) -> None:
        lease = await runs(store)
        for number in (1, 2, 3, 5):
            await store.journal.settle(lease, intent(number, kind=StepKind.VALUE, request=None), b'"' + b"x" * 98 + b'"')
        journal, id = store.journal, lease.message.id
        assert [step.number for step in await journal.steps(id, after=2)] == [3, 5]
        assert [step.number for step in await journal.steps(id, most_bytes=200)] == [1, 2]
        assert [step.number for step in await journal.steps(id, after=3, most_bytes=1)] == [5]
        assert list(await journal.steps(id, after=5)) == []
