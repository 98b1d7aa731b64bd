"""Every door against what its own description allows and forbids: no 5xx, no answer that is not described."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from perdure.server.api.doors import DOORS as API_DOORS
from perdure.server.openai.doors import DOORS as OPENAI_DOORS

schemathesis = pytest.importorskip("schemathesis")

OPERATIONS = sorted({(door.method, door.path.replace(":path", "")) for door in (*API_DOORS, *OPENAI_DOORS)})
BRIEF = settings(
    max_examples=8, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def target(running) -> Iterator[tuple[str, str, str]]:
    """A server in a thread of its own, since schemathesis blocks: its address, an operator's key, a message."""
    loop = asyncio.new_event_loop()
    found: list[tuple[str, str, str]] = []
    begun, over = threading.Event(), asyncio.Event()

    async def run() -> None:
        async with running() as served:
            message = await served.put()
            await served.post(f"/api/v1/messages/{message}/cancel")  # has ended: `wait` on it is answered at once
            found.append((served.url, served.key, message))
            begun.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert begun.wait(30)
    yield found[0]
    loop.call_soon_threadsafe(over.set)
    thread.join(30)
    loop.close()


@pytest.fixture(scope="module")
def described(target):
    import json
    from urllib.request import Request, urlopen

    url, key, _ = target
    with urlopen(Request(f"{url}/api/v1/openapi.json", headers={"authorization": f"Bearer {key}"})) as answer:
        return schemathesis.openapi.from_dict(json.load(answer))


@pytest.mark.parametrize("wrong", [False, True], ids=["as described", "not as described"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_door_answers_as_it_is_described(target, described, method, path, wrong):
    url, key, message = target
    checks = schemathesis.checks
    wanted = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
    ]
    if wrong:
        wanted.append(checks.negative_data_rejection)
    mode = schemathesis.GenerationMode.NEGATIVE if wrong else schemathesis.GenerationMode.POSITIVE
    operation = described[path][method]
    known = {"path_parameters": {"id": message}} if "/messages/{id}" in path else {}
    if path == "/api/v1/changes" and not wrong:
        known["query"] = {"wait": 0}  # nothing changes here any more: each example would wait its time out

    @BRIEF
    @given(operation.as_strategy(generation_mode=mode, **known))
    def check(case):
        if "wait" in (case.query or {}) and case.query["wait"] not in (0, "0"):
            case.query["wait"] = min(case.query["wait"], 0.1) if isinstance(case.query["wait"], float | int) else case.query["wait"]
        case.call_and_validate(base_url=url, headers={"authorization": f"Bearer {key}"}, checks=wanted, timeout=60)

    try:
        check()
    except Exception as error:
        if "Unsatisfiable" in type(error).__name__:
            pytest.skip("there is nothing one could say wrongly")
        raise


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_door_is_open_without_a_key(target, described, method, path):
    url, _, _ = target
    operation = described[path][method]

    @settings(BRIEF, max_examples=1)
    @given(operation.as_strategy())
    def check(case):
        for headers in ({}, {"authorization": "Bearer pdr_made_up"}):
            assert case.call(base_url=url, headers=headers).status_code == 401

    check()
