from __future__ import annotations

import asyncio
import re

import pytest

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.errors.base import AgentFailed, OutcomeUnknown, RateLimited
from perdure.messages.message import Wait
from perdure.resources.usage import Usage


async def test_without_a_session_every_page_leads_to_the_login_and_back(served, browser):
    sent = await served.put()
    assert (await browser.get("/")).headers["location"] == "/login"
    answer = await browser.get(f"/messages/{sent}?x=1")
    assert (answer.status, answer.headers["location"]) == (303, f"/login?next=%2Fmessages%2F{sent}%3Fx%3D1")
    login = await browser.get(answer.headers["location"])
    assert f'name="next" value="/messages/{sent}?x=1"' in login.text
    entered = await browser.submit("/login", key=served.key, next=f"/messages/{sent}?x=1")
    assert entered.headers["location"] == f"/messages/{sent}?x=1"
    assert (await browser.get(entered.headers["location"])).status == 200


async def test_a_wrong_key_stays_at_the_login_with_the_reason(browser):
    await browser.get("/login")
    answer = await browser.submit("/login", key="pdr_nonsense")
    assert answer.status == 401
    assert "this is no Perdure key" in answer.text
    assert "pdr_nonsense" not in answer.text
    assert "perdure_session" not in browser.cookies


async def test_logging_out_takes_the_session_back(inside):
    answer = await inside.submit("/logout")
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert (await inside.get("/")).status == 303


async def test_the_script_of_the_login_page_learns_whether_somebody_is_in(served, browser):
    assert (await browser.get("/session")).status == 200
    await browser.log_in()
    assert (await browser.get("/session")).status == 204


async def test_the_overview_shows_queues_and_the_latest_messages(served, inside):
    await served.put("echo", {"text": "first"}, queue="mail")
    done = await served.put("echo", {"text": "second"}, queue="mail", priority=0)
    await served.store.messages.done(await served.lease(), b'"all well"', usage=Usage(calls=1, input_tokens=1200, output_tokens=3))
    page = (await inside.get("/")).text
    assert re.search(r'<tr id="q-mail">', page)
    assert f'href="/messages/{done}"' in page
    assert "all well" in page
    assert "1\u202f200" in page
    assert 'data-live="/live"' in page


async def test_the_overview_is_told_how_to_begin_when_there_is_nothing(inside):
    page = (await inside.get("/")).text
    assert "perdure send chat --prompt" in page


async def test_what_is_held_has_a_number_a_tab_and_a_reason_on_the_overview(served, inside):
    first, second = [await served.put("echo", n, queue="mail", session="customer-17") for n in range(2)]
    page = (await inside.get("/")).text
    assert re.search(r'href="/\?state=held"><b>1</b>', page)
    assert "by session &#39;customer-17&#39;" in page
    held = (await inside.get("/?state=held")).text
    assert f'href="/messages/{second}"' in held
    assert f'href="/messages/{first}"' not in held


async def test_the_overview_says_which_signal_is_waited_for(served, inside):
    await served.put("echo")
    await served.store.messages.park(await served.lease(), Wait(why="signal", step=1, events=("signal:approval",)))
    page = (await inside.get("/?state=waiting")).text
    assert '<code class="code soft">signal</code> approval' in page
    assert "waits for a person" not in page


async def test_the_list_is_filtered_and_turned(served, inside):
    for n in range(60):
        await served.put("echo", n, queue="a" if n % 2 else "b")
    page = (await inside.get("/?queue=a&state=ready")).text
    assert page.count('<li id="msg_') == 30
    assert "queue: a" in page
    first = (await inside.get("/")).text
    assert first.count('<li id="msg_') == 50
    older = re.search(r'href="(/\?cursor=[^"]+)">Older', first)[1]
    last = (await inside.get(older)).text
    assert last.count('<li id="msg_') == 10
    assert "data-live" not in last
    assert (await inside.get("/?state=nonsense")).status == 200


async def test_a_message_shows_what_its_run_did(served, inside):
    sent = await served.put("triage", {"ticket": "charged twice"}, dedup_key="t-1", metadata={"customer": "c-9"})
    lease = await served.lease()
    await served.store.journal.intend(
        lease, Intent(number=1, key=StepKey("part", StepKind.LLM, "choose", "f", 1), request=b'{"q":1}', diverged=True, ambiguous=True)
    )
    served.clock.pass_by(seconds=1.5)
    await served.store.journal.record(lease, 1, b'{"team":"billing"}', usage=Usage(calls=1, input_tokens=412, output_tokens=7))
    await served.store.journal.intend(lease, Intent(number=2, key=StepKey("", StepKind.TOOL, "assign", "f", 0)))
    running = (await inside.get(f"/messages/{sent}")).text
    assert f'data-live="/live?message={sent}"' in running
    assert 'data-poll="2"' in running
    for shown in ("part/choose #2", "1.50 s", "412", "diverged", "under way", "assign", "charged twice", "c-9", "t-1"):
        assert shown in running, shown
    await served.store.messages.done(lease, b'{"team":"billing"}', usage=Usage(calls=1, input_tokens=412, output_tokens=7))
    done = (await inside.get(f"/messages/{sent}")).text
    assert "data-live" not in done
    assert "billing" in done


async def test_a_message_that_cannot_start_says_why(served, inside):
    sent = await served.put(queue="mail")
    await served.post("/api/v1/queues/mail/pause")
    assert "Its queue is paused." in (await inside.get(f"/messages/{sent}")).text
    lease_able = await served.put()
    lease = await served.lease()
    error = RateLimited("'qwen' accepts no request").facts()
    await served.store.messages.park(lease, Wait(why="rate-limit", until=served.clock.now() + 60, error=error))
    page = (await inside.get(f"/messages/{lease_able}")).text
    assert "Waits: rate-limit." in page
    assert "accepts no request" in page


async def test_a_dead_letter_shows_why_and_is_revived_by_a_button(served, inside):
    sent = await served.put()
    await served.store.messages.bury(await served.lease(), AgentFailed("it broke", hint="Mend it.").facts())
    page = (await inside.get(f"/messages/{sent}")).text
    assert "it broke" in page
    assert "Mend it." in page
    assert f'action="/messages/{sent}/revive"' in page
    answer = await inside.submit(f"/messages/{sent}/revive", back=f"/messages/{sent}")
    assert (answer.status, answer.headers["location"]) == (303, f"/messages/{sent}")
    assert (await served.get(f"/api/v1/messages/{sent}")).json["state"] == "ready"


async def test_a_waiting_message_is_cancelled_by_a_button(served, inside):
    sent = await served.put()
    assert f'action="/messages/{sent}/cancel"' in (await inside.get(f"/messages/{sent}")).text
    await inside.submit(f"/messages/{sent}/cancel")
    page = (await inside.get(f"/messages/{sent}")).text
    assert "cancelled" in page
    assert "/cancel" not in page


@pytest.fixture
async def uncertain(served):
    sent = await served.put()
    lease = await served.lease()
    await served.store.journal.intend(lease, Intent(number=1, key=StepKey("", StepKind.TOOL, "refund", "f", 0), request=b'{"eur":5}'))
    error = OutcomeUnknown("it was under way", hint="Look at the bank.").facts()
    await served.store.messages.park(lease, Wait(why="outcome-unknown", step=1, error=error))
    return sent


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"decision": "happened", "result": '{"ok": true}'}, "ready"),
        ({"decision": "happened", "result": ""}, "ready"),
        ({"decision": "run-again"}, "ready"),
        ({"decision": "bury", "result": "ignored"}, "dead"),
    ],
)
async def test_an_unknown_outcome_is_decided_by_buttons(served, inside, uncertain, fields, state):
    page = (await inside.get(f"/messages/{uncertain}")).text
    assert "What became of this call?" in page
    assert "Look at the bank." in page
    assert "outcome unknown" in page
    assert (await inside.submit(f"/messages/{uncertain}/steps/1/decision", **fields)).status == 303
    assert (await served.get(f"/api/v1/messages/{uncertain}")).json["state"] == state


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("steps/1/decision", {"decision": "perhaps"}, 422),
        ("steps/1/decision", {"decision": "happened", "result": "{not json"}, 400),
        ("steps/x/decision", {"decision": "bury"}, 404),
        ("steps/7/decision", {"decision": "bury"}, 404),
    ],
)
async def test_a_decision_that_cannot_be_shows_a_page_that_says_so(served, inside, uncertain, path, fields, status):
    answer = await inside.submit(f"/messages/{uncertain}/{path}", **fields)
    assert answer.status == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "Request req_" in answer.text
    assert (await served.get(f"/api/v1/messages/{uncertain}")).json["state"] == "waiting"


async def test_queues_are_paused_and_resumed_by_buttons(served, inside):
    await served.put(queue="mail")
    await inside.submit("/queues/mail/pause")
    page = (await inside.get("/")).text
    assert "paused" in page
    assert 'action="/queues/mail/resume"' in page
    await inside.submit("/queues/mail/resume")
    assert (await served.get("/api/v1/queues")).json["data"][0]["paused"] is False
    assert (await inside.submit("/queues/nope/pause")).status == 404


async def test_everything_is_paused_and_resumed_by_buttons(served, inside):
    await inside.submit("/pause")
    page = (await inside.get("/")).text
    assert "Everything is paused." in page
    assert await served.store.messages.paused()
    await inside.submit("/resume")
    assert not await served.store.messages.paused()


async def test_pages_are_only_read_and_actions_only_sent(inside):
    assert (await inside.submit("/")).status == 405
    assert (await inside.get("/pause")).status == 405
    assert (await inside.get("/messages/msg_0000000000000")).status == 404


async def test_live_tells_of_a_change_and_then_again(served, inside):
    async with served.http.get(served.url + "/live", headers=inside._headers({"accept": "text/event-stream"})) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert await stream.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
        while not served.core.feed._listeners:
            await asyncio.sleep(0)
        for _ in range(2):
            await served.put()
            event = await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 30)
            assert event.startswith(b"event: change\nid: ")


async def test_live_of_one_message_is_quiet_about_others(served, inside, monkeypatch):
    monkeypatch.setattr("perdure.server.dashboard.live.PING_S", 0.2)
    mine = await served.put()
    async with served.http.get(served.url + f"/live?message={mine}", headers=inside._headers({})) as stream:
        await stream.content.readuntil(b"\n\n")
        while not served.core.feed._listeners:
            await asyncio.sleep(0)
        await served.put()
        assert await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 30) == b": ping\n\n"
        await served.post(f"/api/v1/messages/{mine}/cancel")
        while not (heard := await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 30)).startswith(b"event: change"):
            assert heard == b": ping\n\n"


async def test_a_stopping_server_ends_live(served, inside):
    async with served.http.get(served.url + "/live", headers=inside._headers({})) as stream:
        await stream.content.readuntil(b"\n\n")
        served.server.should_exit = True
        await asyncio.wait_for(stream.content.read(), 30)


async def test_the_files_beside_the_pages_are_there_to_keep(served, inside):
    page = (await inside.get("/")).text
    for name, kind in (("app.css", "text/css"), ("app.js", "text/javascript"), ("favicon.svg", "image/svg+xml")):
        address = re.search(rf'(/static/{re.escape(name)}\?v=[0-9a-f]+)"', page)[1]
        answer = await served.get(address, key=None)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
    for missing in ("nope.css", "..%2f..%2frender.py", "render.py"):
        assert (await served.get(f"/static/{missing}", key=None)).status in (404, 401)
