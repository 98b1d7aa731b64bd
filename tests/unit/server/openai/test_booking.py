"""Chats on `/v1` and the brake on spending."""

from __future__ import annotations

import pytest

from perdure.errors.base import AuthenticationFailed, Billed, ProviderTimeout, StreamCut
from perdure.messages.spending import EACH, Budget, BudgetScope, day_of
from perdure.providers.prices import OwnPrice, Prices
from perdure.testing import FakeProvider

HELLO = {"model": "small", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
DEAR = Prices({"fake/fake-1": OwnPrice(input_usd=1_000_000, output_usd=1_000_000)})


async def booked(served):
    today = day_of(served.clock.now())
    return list(await served.store.spending.entries(today, today))


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_chat_cost_is_booked_on_its_key(serve, stream):
    served = await serve(replies=["hi there"], prices=DEAR)
    answer = await served.post("/v1/chat/completions", {**HELLO, "stream": stream})
    assert answer.status == 200
    [entry] = await booked(served)
    assert (entry.account.tenant, entry.account.agent, entry.account.lane) == ("default", "", "fake/fake-1")
    assert entry.account.key.startswith("key_")
    assert (entry.usage.calls, entry.held_usd, entry.usage.unpriced) == (1, 0.0, 0)
    assert entry.usage.cost_usd == (entry.usage.input_tokens or 0) + (entry.usage.output_tokens or 0) > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_that_there_is_no_money_for_is_not_asked(serve, stream):
    served = await serve(replies=["hi there"], prices=DEAR)
    await served.store.spending.set_budget(Budget(scope=BudgetScope.INSTALLATION, name=EACH, daily_usd=17.5))  # it may cost 17
    assert (await served.post("/v1/chat/completions", HELLO)).status == 200
    stopped = await served.post("/v1/chat/completions", {**HELLO, "stream": stream})
    assert (stopped.status, stopped.json["error"]["code"]) == (429, "budget_reached")
    assert 0 < int(stopped.headers["retry-after"]) <= 86_400
    assert stopped.headers["x-should-retry"] == "false"
    assert served.provider.count == 1


async def test_a_chat_beyond_a_whole_budget_is_refused_for_good(serve):
    served = await serve(replies=["hi there"], prices=DEAR)
    await served.store.spending.set_budget(Budget(scope=BudgetScope.TENANT, name=EACH, daily_usd=1.0))
    refused = await served.post("/v1/chat/completions", HELLO)
    assert (refused.status, refused.json["error"]["code"], refused.headers["x-should-retry"]) == (402, "call_too_dear", "false")
    assert "of tenant 'default', 1 US dollars a day" in refused.json["error"]["message"]
    assert served.provider.count == 0


@pytest.mark.parametrize(
    ("error", "unpriced", "held"),
    [(AuthenticationFailed("no", billed=Billed.NO), 0, False), (ProviderTimeout("late", billed=Billed.MAYBE), 1, True)],
)
async def test_a_chat_without_an_answer_costs_nothing_only_if_the_provider_says_so(serve, error, unpriced, held):
    served = await serve(replies=[error], prices=DEAR)
    assert (await served.post("/v1/chat/completions", HELLO)).status >= 500
    [entry] = await booked(served)
    assert (entry.usage.cost_usd, entry.usage.unpriced, entry.held_usd > 0) == (0.0, unpriced, held)


async def test_of_a_stream_that_breaks_the_cost_is_unknown(serve):
    class Cut(FakeProvider):
        async def stream(self, body, *, timeout_s=None):
            yield {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
            raise StreamCut("it broke")

    served = await serve(provider=Cut(), prices=DEAR)
    assert "it broke" in (await served.post("/v1/chat/completions", {**HELLO, "stream": True})).text
    [entry] = await booked(served)
    assert (entry.usage.unpriced, entry.usage.cost_usd, entry.held_usd > 0) == (1, 0.0, True)
