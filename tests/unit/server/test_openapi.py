from __future__ import annotations

import jsonschema_rs
import pytest

from perdure.server.api.doors import DOORS as API_DOORS
from perdure.server.openai.doors import DOORS as OPENAI_DOORS


@pytest.fixture
async def page(served):
    return (await served.get("/api/v1/openapi.json")).json


async def test_every_door_is_in_it(page):
    described = {(method.upper(), path) for path, methods in page["paths"].items() for method in methods}
    doors = {(door.method, door.path.replace(":path", "")) for door in (*API_DOORS, *OPENAI_DOORS)}
    assert described - doors == {("GET", "/metrics"), ("GET", "/api/v1/openapi.json"), ("GET", "/healthz"), ("GET", "/readyz")}
    assert doors <= described


async def test_every_door_says_what_it_needs_and_which_refusals_it_gives(page):
    for path, methods in page["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            if path not in ("/healthz", "/readyz"):
                assert {"401", "403", "422", "500", "503"} <= set(operation["responses"])
                assert "Needs" in operation["description"]
    names = [operation["operationId"] for methods in page["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


async def test_every_reference_leads_somewhere_and_every_schema_is_one(page):
    schemas = page["components"]["schemas"]

    def check(node):
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/components/schemas/") in schemas
            for inner in node.values():
                check(inner)
        elif isinstance(node, list):
            for inner in node:
                check(inner)

    check(page)
    for schema in schemas.values():
        jsonschema_rs.validator_for({**schema, "components": page["components"]})


async def test_answers_have_the_shape_it_says(served, page):
    sent = await served.put()
    for path, name in ((f"/api/v1/messages/{sent}", "MessageJson"), ("/api/v1/nothing", "Problem"), ("/v1/nothing", "OpenAIError")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": page["components"]}
        assert list(jsonschema_rs.validator_for(schema).iter_errors((await served.get(path)).json)) == []
