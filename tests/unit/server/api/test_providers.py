from __future__ import annotations

import pytest

from perdure.errors.base import AuthenticationFailed
from perdure.testing import FakeProvider


async def test_providers_are_listed_with_what_they_did(served):
    await served.post("/v1/chat/completions", {"model": "fake/fake-1", "messages": [{"role": "user", "content": "hi"}]})
    [row] = (await served.get("/api/v1/providers")).json["data"]
    assert (row["object"], row["name"], row["kind"], row["models"]) == ("provider", "fake", "FakeProvider", ["fake-1"])
    assert row["metrics"]["requests"] == 1


async def test_a_provider_is_checked(served):
    found = await served.post("/api/v1/providers/fake/check")
    assert found.status == 200
    assert {name: found.json[name] for name in ("provider", "ok", "reachable", "key_good", "models_there", "error")} == {
        "provider": "fake", "ok": True, "reachable": True, "key_good": True, "models_there": True, "error": None,
    }  # fmt: skip


async def test_what_is_wrong_with_a_provider_is_told_and_no_failure_of_ours(serve):
    class Refusing(FakeProvider):
        async def check(self):
            raise AuthenticationFailed("no good: sk-1234567890123456", hint="Another region?")

    served = await serve(provider=Refusing())
    found = await served.post("/api/v1/providers/fake/check")
    assert (found.status, found.json["ok"], found.json["error"]["code"]) == (200, False, "provider-auth")
    assert "sk-1234567890123456" not in found.text


async def test_what_looks_and_checks_found_is_listed(serve):
    class Refusing(FakeProvider):
        refuses = True

        async def check(self):
            if self.refuses:
                raise AuthenticationFailed("no good: sk-1234567890123456", hint="Another region?")

    served = await serve(provider=Refusing())
    assert (await served.get("/api/v1/providers")).json["data"][0]["health"] is None
    await served.post("/api/v1/providers/fake/check")
    listed = await served.get("/api/v1/providers")
    health = listed.json["data"][0]["health"]
    assert (health["ok"], health["failures"], health["since"]) == (False, 1, health["looked_at"])
    assert (health["found"]["error"]["code"], health["found"]["error"]["hint"]) == ("provider-auth", "Another region?")
    assert "sk-1234567890123456" not in listed.text
    Refusing.refuses = False
    await served.post("/api/v1/providers/fake/check")
    health = (await served.get("/api/v1/providers")).json["data"][0]["health"]
    assert (health["ok"], health["failures"], health["found"]["error"]) == (True, 0, None)


async def test_who_is_not_there_cannot_be_checked(served):
    assert (await served.post("/api/v1/providers/nobody/check")).status == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/providers"), ("POST", "/api/v1/providers/fake/check")])
async def test_providers_are_the_operators(served, method, path):
    key = await served.new_key("acme")
    assert (await served.call(method, path, key=key)).status == 403
