from __future__ import annotations

import pytest

from perdure.errors.base import AgentFailed, BillingRefused, Evidence, ServerFailed
from perdure.errors.handler import ErrorHandler
from perdure.monitor.gathering import Gathering


async def died(served, error, *, agent="echo"):
    """A message that died of an error, as its worker would have counted it."""
    sent = await served.put(agent=agent)
    facts = error.facts()
    served.handler.handle(facts, where="run", agent=agent)
    await served.store.messages.bury(await served.lease(), facts)
    return sent


@pytest.fixture
async def counted(served):
    served.handler = ErrorHandler()
    gathering = Gathering(served.store.errors, served.clock)
    gathering.begin(served.handler)
    served.write = gathering.write
    yield served
    await gathering.end()


def refused(n: int) -> ServerFailed:
    return ServerFailed(f"order {n} of 'anna' was refused", hint="Ask Bob.", evidence=Evidence(provider="qwen", model="qwen-max"))


async def test_patterns_are_listed_with_their_counts_and_their_dead_letters(counted):
    letters = [await died(counted, refused(n)) for n in range(3)]
    other = await died(counted, BillingRefused("pay sk-secretsecretsecret"))
    await counted.write()
    found = (await counted.get("/api/v1/errors")).json["data"]
    orders = next(one for one in found if one["code"] == "provider-server")
    assert (orders["template"], orders["count"]) == ("order <n> of <said> was refused", 3)
    assert (orders["trend"], orders["provider"]) == ("new", "qwen")
    assert {one["what"]: one["value"] for one in orders["correlations"]}["model"] == "qwen-max"
    assert "secretsecret" not in str(found)
    page = (await counted.get(f"/api/v1/errors/{orders['id']}/dead-letters")).json
    assert [one["id"] for one in page["data"]] == letters[::-1]
    assert other not in str(page)
    assert (await counted.get(f"/api/v1/errors/{orders['id']}")).json == orders


async def test_patterns_are_found_by_what_they_are(counted):
    await died(counted, refused(1))
    await died(counted, BillingRefused("pay"))
    await counted.write()
    for query, codes in {
        "code=provider-billing": ["provider-billing"],
        "provider=qwen": ["provider-server"],
        "agent=nobody": [],
        "trend=quiet": [],
        "spikes=true": [],
        "limit=1&agent=echo": None,
    }.items():
        found = [one["code"] for one in (await counted.get(f"/api/v1/errors?{query}")).json["data"]]
        assert len(found) == 1 if codes is None else found == codes, query


async def test_letters_of_a_pattern_come_in_pages(counted):
    letters = [await died(counted, refused(n)) for n in range(3)]
    await counted.write()
    [pattern] = (await counted.get("/api/v1/errors")).json["data"]
    first = (await counted.get(f"/api/v1/errors/{pattern['id']}/dead-letters?limit=2")).json
    rest = (await counted.get(f"/api/v1/errors/{pattern['id']}/dead-letters?limit=2&cursor={first['next_cursor']}")).json
    assert [one["id"] for one in first["data"] + rest["data"]] == letters[::-1]


async def test_a_report_says_all_and_no_secret(counted):
    sent = await counted.put()
    first = AgentFailed("first, with Bearer abcdefghijkl").facts()
    await counted.store.messages.retry(await counted.lease(), first, at=counted.clock.now())
    counted.clock.pass_by(seconds=1)
    await counted.store.messages.tend()
    error = refused(7).facts()
    counted.handler.handle(error, where="run", agent="echo")
    await counted.store.messages.bury(await counted.lease(), error)
    await counted.write()
    report = (await counted.get(f"/api/v1/dead-letters/{sent}/report")).json
    assert [(one["n"], one["kind"]) for one in report["attempts"]] == [(1, "retry"), (2, "bury")]
    assert (report["id"], report["agent"], report["error"]["hint"]) == (sent, "echo", "Ask Bob.")
    assert report["next"]["then"] == "retry"
    assert "abcdefghijkl" not in str(report)
    [pattern] = (await counted.get("/api/v1/errors?code=provider-server")).json["data"]
    assert report["pattern"] == pattern["id"]


async def test_what_is_not_there_is_said(counted):
    assert (await counted.get("/api/v1/errors/pat_0000000000000000")).status == 404
    assert (await counted.get("/api/v1/errors/pat_0000000000000000/dead-letters")).status == 404
    sent = await counted.put()
    assert (await counted.get(f"/api/v1/dead-letters/{sent}/report")).status == 404
