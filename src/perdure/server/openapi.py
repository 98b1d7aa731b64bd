"""`/api/v1/openapi.json`: OpenAPI 3.1, made from the doors themselves.

Every status that a door can answer with is in it: its own, those of its kind of reading, and those that
any door behind the gate can give.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.server.answer import JSON, Answer, json_answer
from perdure.server.door import Call, Door
from perdure.server.health import HealthJson
from perdure.server.openai.refusals import OpenAIError
from perdure.server.refusals import Problem

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_SAYS = {
    400: "Malformed: not JSON, not UTF-8, too deep, half a character.",
    401: "No key, or not a good one.",
    402: "The provider's account needs a person.",
    403: "The key may not do this.",
    404: "There is no such thing, or it is not yours to see.",
    409: "It is not in a state in which this can be done.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Of the wrong shape, unknown, contradictory, or not built yet.",
    429: "The provider asked us to slow down.",
    500: "Something went wrong inside; the log has it under the request's id.",
    502: "The provider failed.",
    503: "The store, or the provider, does not answer at the moment.",
    504: "The provider did not answer in time.",
}
_ONCE = "With it the call is made once: the same key and body get the answer that was recorded, another body is refused."
_KEY = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~][ -~]*$"}
_MEDIA_TYPES: dict[Any, str] = {str: "text/plain", bytes: "application/octet-stream"}
"""Of answers that are not JSON."""
_ALWAYS = (401, 403, 422, 500, 503)
_READING = (400, 413, 415)

__all__ = ["openapi_door", "openapi_page"]


def openapi_door(doors: Sequence[Door]) -> Door:
    """Make the door that describes the others, and itself.

    Args:
        doors (Sequence[Door]): All others.

    Returns:
        Door: For any good key.
    """
    made: list[Answer] = []

    async def show(call: Call) -> Answer:  # noqa: ARG001 - every handler takes the call
        if not made:
            made.append(json_answer(openapi_page([*doors, itself])))
        return made[0]

    itself = Door(
        "GET", "/api/v1/openapi.json", show, "openapi", "Describe every door.", "Monitoring", None, answers={200: dict[str, Any]}
    )  # fmt: skip
    return itself


def openapi_page(doors: Sequence[Door]) -> dict[str, Any]:
    """Describe doors.

    Args:
        doors (Sequence[Door]): Which.

    Returns:
        dict[str, Any]: An OpenAPI 3.1 document.
    """
    types = _types(doors)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(map(_name_of, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for door in doors:
        paths.setdefault(_PARAMETER.sub(r"{\1}", door.path), {})[door.method.lower()] = _operation(door, schema_of)
    for path, says in (("/healthz", "This process answers."), ("/readyz", "The store answers, and somebody works here.")):
        paths[path] = {"get": _health(path, says, schema_of)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Perdure", "version": "1", "description": "A durable runtime for LLM agents."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "pdr_…"}},
        },
        "security": [{"key": []}],
    }


def _types(doors: Sequence[Door]) -> list[Any]:
    found: dict[str, Any] = {}
    for kind in (Problem, OpenAIError, HealthJson):
        found[_name_of(kind)] = kind
    for door in doors:
        for kind in (*door.bodies, *(kind for given in door.answers.values() for kind in _each(given))):
            found.setdefault(_name_of(kind), kind)
    return list(found.values())


def _each(kinds: Any) -> tuple[Any, ...]:
    return kinds if isinstance(kinds, tuple) else (kinds,)


def _one_of(kinds: tuple[Any, ...], schema_of: dict[str, Any]) -> dict[str, Any]:
    schemas = [schema_of[_name_of(kind)] for kind in kinds]
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _name_of(kind: Any) -> str:
    return str(kind)


def _operation(door: Door, schema_of: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": door.name,
        "summary": door.says,
        "description": _needs(door),
        "tags": [door.part],
        "parameters": _parameters(door),
        "responses": _responses(door, schema_of),
    }
    if door.bodies:
        described["requestBody"] = {
            "required": not door.optional,
            "content": {"multipart/form-data" if door.upload else JSON: {"schema": _one_of(door.bodies, schema_of)}},
        }
    return described


def _needs(door: Door) -> str:
    scope = f"Needs a key with the scope `{door.scope}`" if door.scope else "Needs any good key"
    return f"{scope}{' of an operator (tenant `*`)' if door.operator else ''}."


def _parameters(door: Door) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1} if name == "number" else {"type": "string"},
        }
        for name in _PARAMETER.findall(door.path)
    ]
    if door.once:
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "description": _ONCE, "schema": _KEY})
    for field in msgspec.structs.fields(door.query) if door.query else ():
        schema = msgspec.json.schema(field.type)
        options = schema.get("anyOf", [])
        if len(kept := [option for option in options if option != {"type": "null"}]) == 1:
            schema = kept[0]  # in an address, what is not said is left out: there is no null
        found.append({"name": field.encode_name, "in": "query", "required": False, "schema": schema})
    return found


def _responses(door: Door, schema_of: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in door.answers.items():
        schema = {"type": "string", "format": "binary"} if kind is bytes else _one_of(_each(kind), schema_of)
        content: dict[str, Any] = {_MEDIA_TYPES.get(kind, JSON): {"schema": schema}}
        if door.streams:
            content["text/event-stream"] = {
                "schema": {
                    "type": "string",
                    "description": "Events whose data is JSON; `[DONE]` ends those of chats and texts.",
                }
            }
        responses[str(status)] = {"description": door.says, "content": content}
    refusal = ("application/json", OpenAIError) if door.path.startswith("/v1/") else ("application/problem+json", Problem)
    for status in sorted({*_ALWAYS, *(_READING if door.bodies else (413,)), *door.refusals}):
        content = {refusal[0]: {"schema": schema_of[_name_of(refusal[1])]}}
        responses[str(status)] = {"description": _SAYS[status], "content": content}
    return responses


def _health(path: str, says: str, schema_of: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema_of[_name_of(HealthJson)]}}
    responses: dict[str, Any] = {"200": {"description": says, "content": content}}
    if path == "/readyz":
        responses["503"] = {"description": "Not yet.", "content": content}
    return {"operationId": path.strip("/"), "summary": says, "tags": ["Monitoring"], "security": [], "responses": responses}
