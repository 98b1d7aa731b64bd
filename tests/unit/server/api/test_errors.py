from __future__ import annotations

import pytest

from perdure.errors.base import AgentFailed, BillingRefused, Evidence, ServerFailed
from perdure.errors.handler import ErrorHandler
from perdure.monitor.gathering import Gathering


async def died(served, error, *, agent="echo", body=None):
    """A message that died of an error, as its worker would have counted it."""
    sent = await served.put(agent, body)
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
    assert orders["correlations"] == [], "three errors are no sign of anything"
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


async def test_the_letters_of_one_pattern_are_revived(counted):
    letters = [await died(counted, refused(n)) for n in range(3)]
    other = await died(counted, ServerFailed("elsewhere it is something else"))
    theirs = await died(counted, refused(4), agent="triage", body={"ticket": "late"})
    await counted.write()
    found = (await counted.get("/api/v1/errors?agent=echo")).json["data"]
    pattern = next(one["id"] for one in found if one["template"].startswith("order"))
    dry = await counted.post("/api/v1/dead-letters/revive", {"filter": {"pattern": pattern}, "dry_run": True})
    assert (dry.json["done"], sorted(dry.json["sample"])) == (3, sorted(letters))
    done = await counted.post("/api/v1/dead-letters/revive", {"filter": {"pattern": pattern}})
    assert done.json["done"] == 3
    states = {one: (await counted.get(f"/api/v1/messages/{one}")).json["state"] for one in (*letters, other, theirs)}
    assert states == {**dict.fromkeys(letters, "ready"), other: "dead", theirs: "dead"}
    [row] = (await counted.get("/api/v1/audit?action=dead-letters.revive")).json["data"]
    assert row["details"]["filter"] == {"agent": "echo", "died_of": pattern}


async def test_a_pattern_that_is_not_there_or_of_no_messages_revives_none(counted):
    counted.handler.handle(ServerFailed("the store is away"), where="worker")
    await counted.write()
    [found] = (await counted.get("/api/v1/errors")).json["data"]
    refusals = {"pat_0000000000000000": 404, found["id"]: 422}
    for pattern, status in refusals.items():
        assert (await counted.post("/api/v1/dead-letters/revive", {"filter": {"pattern": pattern}})).status == status
    assert (await counted.get(f"/api/v1/errors/{found['id']}/dead-letters")).json["data"] == []
    key = await counted.new_key("acme")
    asked = await counted.post("/api/v1/dead-letters/revive", {"filter": {"pattern": found["id"]}}, key=key)
    assert asked.status == 403


async def test_answers_that_no_rule_knows_are_listed_apart_with_one_of_them_and_a_rule(counted):
    from perdure.providers.errors import Whence, judge
    from perdure.wire.errors import read_error

    body = b'{"error": {"message": "I am a teapot, sk-secretsecretsecret12", "code": "teapot"}}'
    unknown = judge(read_error(body), Whence(provider="qwen", dialect="x", status=418), counted.clock.now())
    await died(counted, unknown)
    await died(counted, refused(1))
    await counted.write()
    [found] = (await counted.get("/api/v1/errors?unmapped=true")).json["data"]
    assert (found["unmapped"], found["provider"], found["count"]) == (True, "qwen", 1)
    assert "teapot" in found["sample"]
    assert found["sample"].startswith('{"error":{')
    assert "secretsecret" not in str(found)
    for line in ("[errors.rules.NAME]", 'provider = "qwen"', "status = [418]", 'code = "teapot"'):
        assert line in found["hint"], line
    assert len((await counted.get("/api/v1/errors")).json["data"]) == 2
