"""What a store promises of calls with a key of their caller's own: each is made once, and answered as often as it is asked."""

from __future__ import annotations

import asyncio

import pytest

from perdure.errors.base import DedupConflict
from perdure.messages.calls import Begun, Found, KeptAnswer, KeyedCall, UnderWay
from perdure.messages.retention import Keep
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.kit import Kit

__all__ = ["CallKit"]

ANSWER = KeptAnswer(status=200, media_type="application/json", headers=[("perdure-lane", "fake/m")], body=b'{"said":"h\xc3\xb6ren"}\x00')
OTHER = KeptAnswer(status=200, media_type="text/event-stream", body=b"data: [DONE]\n\n")
_LASTS_S = 10.0


def _call(key: str = "k", *, tenant: str = "default", asked: bytes = b"one") -> KeyedCall:
    return KeyedCall(tenant=tenant, key=key, fingerprint=asked)


async def _begin(store: Store, call: KeyedCall) -> Found:
    return await store.calls.begin(call, lasts_s=_LASTS_S)


async def _begun(store: Store, call: KeyedCall) -> Begun:
    found = await _begin(store, call)
    assert isinstance(found, Begun)
    return found


class CallKit(Kit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your store of calls is proved."""

    async def test_one_of_many_who_ask_at_once_makes_the_call(self, store: Store, clock: FakeClock) -> None:
        found = await asyncio.gather(*(_begin(store, _call()) for _ in range(8)))
        assert sum(isinstance(one, Begun) for one in found) == 1
        assert [one for one in found if isinstance(one, UnderWay)] == [UnderWay(clock.now() + _LASTS_S)] * 7

    async def test_an_answer_is_given_as_it_was_to_whoever_asks_again(self, store: Store, clock: FakeClock) -> None:
        begun = await _begun(store, _call())
        assert not begun.again
        assert await store.calls.record(_call(), begun, ANSWER) == ANSWER
        clock.pass_by(seconds=3600)
        assert await _begin(store, _call()) == ANSWER

    async def test_a_key_is_for_one_call_and_for_one_tenant(self, store: Store) -> None:
        begun = await _begun(store, _call())
        for _ in range(2):  # while it is made, and once it is answered
            with pytest.raises(DedupConflict):
                await _begin(store, _call(asked=b"two"))
            await store.calls.record(_call(), begun, ANSWER)
        assert isinstance(await _begin(store, _call(tenant="acme", asked=b"two")), Begun)
        assert isinstance(await _begin(store, _call("other", asked=b"two")), Begun)

    async def test_a_call_whose_maker_is_not_heard_of_is_begun_again_and_said_to_be(self, store: Store, clock: FakeClock) -> None:
        first = await _begun(store, _call())
        clock.pass_by(seconds=_LASTS_S - 1)
        assert isinstance(await _begin(store, _call()), UnderWay)
        clock.pass_by(seconds=2)
        second = await _begun(store, _call())
        assert second.again
        assert second.token > first.token

    async def test_calls_whose_maker_is_heard_of_stay_its_own(self, store: Store, clock: FakeClock) -> None:
        made = [(call := _call(key), await _begun(store, call)) for key in ("a", "b", "done", "lost")]
        await store.calls.record(*made[2], ANSWER)
        clock.pass_by(seconds=_LASTS_S - 1)
        assert await store.calls.renew(made[:3], lasts_s=_LASTS_S) == 2
        clock.pass_by(seconds=2)
        assert isinstance(await _begin(store, _call("a")), UnderWay)
        assert isinstance(await _begin(store, _call("lost")), Begun)
        assert await store.calls.renew([made[3]], lasts_s=_LASTS_S) == 0

    async def test_the_first_answer_stays_whoever_comes_with_another(self, store: Store, clock: FakeClock) -> None:
        late = await _begun(store, _call())
        clock.pass_by(seconds=_LASTS_S + 1)
        quick = await _begun(store, _call())
        assert await store.calls.record(_call(), quick, OTHER) == OTHER
        assert await store.calls.record(_call(), late, ANSWER) == OTHER
        await store.calls.give_up(_call(), late, paid=True)
        assert await _begin(store, _call()) == OTHER

    async def test_an_answer_that_comes_late_is_kept_if_there_is_none_yet(self, store: Store, clock: FakeClock) -> None:
        late = await _begun(store, _call())
        clock.pass_by(seconds=_LASTS_S + 1)
        slow = await _begun(store, _call())
        assert await store.calls.record(_call(), late, ANSWER) == ANSWER
        assert await store.calls.record(_call(), slow, OTHER) == ANSWER

    async def test_a_call_that_failed_and_cost_nothing_is_as_if_it_had_never_been_asked(self, store: Store) -> None:
        await store.calls.give_up(_call(), await _begun(store, _call()), paid=False)
        assert not (await _begun(store, _call(asked=b"two"))).again

    async def test_a_call_that_failed_and_may_have_been_paid_for_says_so_when_it_is_begun_again(self, store: Store) -> None:
        await store.calls.give_up(_call(), await _begun(store, _call()), paid=True)
        again = await _begun(store, _call())
        assert again.again
        await store.calls.give_up(_call(), again, paid=False)  # the first may have been paid for all the same
        assert (await _begun(store, _call())).again

    async def test_who_gives_up_late_takes_the_call_from_nobody(self, store: Store, clock: FakeClock) -> None:
        late = await _begun(store, _call())
        clock.pass_by(seconds=_LASTS_S + 1)
        await _begun(store, _call())
        for paid in (True, False):
            await store.calls.give_up(_call(), late, paid=paid)
            assert isinstance(await _begin(store, _call()), UnderWay)

    async def test_answers_are_forgotten_in_time_and_calls_that_are_made_never_are(self, store: Store, clock: FakeClock) -> None:
        keep = Keep(calls_s=100.0)
        for n in range(5):
            call = _call(f"done {n}")
            await store.calls.record(call, await _begun(store, call), ANSWER)
        made = (_call("made"), await _begun(store, _call("made")))
        for _ in range(12):
            clock.pass_by(seconds=9)
            assert await store.calls.renew([made], lasts_s=_LASTS_S) == 1
        first = await store.retention.tidy(keep, limit=3)
        assert (first.calls, first.more) == (3, True)
        assert (await store.retention.tidy(keep, limit=3)).calls == 2
        assert isinstance(await _begin(store, _call("made")), UnderWay)
        assert isinstance(await _begin(store, _call("done 0", asked=b"two")), Begun)

    async def test_answers_are_kept_for_ever_where_that_is_wanted(self, store: Store, clock: FakeClock) -> None:
        await store.calls.record(_call(), await _begun(store, _call()), ANSWER)
        clock.pass_by(seconds=1e9)
        assert (await store.retention.tidy(Keep(calls_s=None))).calls == 0
        assert await _begin(store, _call()) == ANSWER
