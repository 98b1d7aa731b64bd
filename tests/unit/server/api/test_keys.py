from __future__ import annotations

import pytest


async def test_a_key_is_made_shown_once_works_and_is_revoked(served):
    made = await served.post("/api/v1/keys", {"name": "laptop", "scopes": ["messages:*"], "tenant": "acme"})
    assert made.status == 201
    secret = made.json["key"]
    assert secret.startswith("pdr_")
    assert (made.json["tenant"], made.json["scopes"], made.json["last4"]) == ("acme", ["messages:*"], secret[-4:])
    assert (await served.get("/api/v1/messages", key=secret)).status == 200
    listed = await served.get("/api/v1/keys")
    assert secret not in listed.text
    assert {key["name"] for key in listed.json["data"]} == {"laptop", "operator"}
    revoked = await served.call("DELETE", f"/api/v1/keys/{made.json['id']}")
    assert revoked.status == 200
    assert revoked.json["revoked_at"]
    assert (await served.get("/api/v1/messages", key=secret)).status == 401


async def test_a_key_without_a_tenant_is_of_its_makers(served):
    acme = await served.new_key("acme")
    assert (await served.post("/api/v1/keys", {"name": "k", "scopes": ["chat:write"]}, key=acme)).json["tenant"] == "acme"
    assert (await served.post("/api/v1/keys", {"name": "k", "scopes": ["chat:write"]})).json["tenant"] == "*"


async def test_a_key_expires(served):
    made = await served.post("/api/v1/keys", {"name": "k", "scopes": ["*"], "expires_at": "2100-01-01T00:00:00Z"})
    assert made.json["expires_at"] == "2100-01-01T00:00:00.000Z"
    brief = await served.new_key("*", expires_at=served.clock.now() + 60)
    assert (await served.get("/api/v1/messages", key=brief)).status == 200
    served.clock.pass_by(seconds=60)
    expired = await served.get("/api/v1/messages", key=brief)
    assert (expired.status, expired.json["detail"]) == (401, "this key has expired")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "k", "scopes": []},
        {"name": "k", "scopes": ["mesages:read"]},
        {"name": "", "scopes": ["*"]},
        {"name": "a\nb", "scopes": ["*"]},
        {"name": "k", "scopes": ["*"], "tenant": "a b"},
        {"name": "k", "scopes": ["*"], "tenant": "a\n"},
        {"name": "k", "scopes": ["*"], "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "k", "scopes": ["*"], "expires_at": "2100-01-01"},
        {"name": "k", "scopes": ["*"], "expires_at": "0001-01-01T00:00:00+23:59"},
        {"name": "k"},
    ],
)
async def test_a_key_that_cannot_be_is_refused(served, body):
    assert (await served.post("/api/v1/keys", body)).status == 422


async def test_a_misspelt_scope_is_refused_with_the_right_one(served):
    answer = await served.post("/api/v1/keys", {"name": "k", "scopes": ["mesages:read", "chat:write"]})
    assert answer.json["errors"] == ["scopes: there is no scope 'mesages:read'; did you mean 'messages:read'?"]


async def test_an_unknown_key_cannot_be_revoked(served):
    assert (await served.call("DELETE", "/api/v1/keys/key_none")).status == 404
