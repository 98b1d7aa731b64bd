"""Lines of a batch file, in and out, in OpenAI's batch format."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from perdure.cli.read import check_json
from perdure.client.answers import MessageJson
from perdure.errors.base import InvalidInput, PerdureError
from perdure.wire.requests import read_chat_request

CHAT_URL = "/v1/chat/completions"
_FIELDS = {"custom_id", "method", "url", "body"}

__all__ = ["Line", "answer_line", "dedup_key", "read_lines"]


class Line(msgspec.Struct, frozen=True):
    """One request of a batch file."""

    number: int
    """Its line in the file, from 1."""
    custom_id: str
    body: bytes
    """JSON, as it stands in the file."""


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: str
    body: msgspec.Raw
    method: str = "POST"
    url: str = CHAT_URL


def read_lines(content: bytes, *, agent: str) -> list[Line]:
    """Read a whole batch file, and say everything that is wrong with it at once.

    Args:
        content (bytes): JSON Lines.
        agent (str): Who is to do it; for `chat` each body must be a chat request.

    Returns:
        list[Line]: Empty lines are left out.

    Raises:
        InvalidInput: With `problems`, one for each bad line, each beginning with the line's number.
    """
    lines: list[Line] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(content.split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            line = _read_line(number, text, agent)
            if line.custom_id in seen:
                raise InvalidInput(f"custom_id {line.custom_id!r} is that of line {seen[line.custom_id]} already")
        except PerdureError as error:
            problems += [f"line {number}: {said}" for said in (getattr(error, "problems", None) or [error.message])]
            continue
        seen[line.custom_id] = number
        lines.append(line)
    if problems or not lines:
        mistakes = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        message = f"the batch file has {mistakes}; nothing was put" if problems else "the batch file has no lines"
        raise InvalidInput(message, problems=problems, hint='A line: {"custom_id": "1", "method": "POST", "url": "…", "body": {…}}')
    return lines


def dedup_key(line: Line, *, agent: str, round: str) -> str:
    """Make the key by which the same line, put again, is the same message.

    Args:
        line (Line): The line.
        agent (str): Who is to do it.
        round (str): Another one makes another message of the same line.

    Returns:
        str: From its content, so that a changed line is a new message.
    """
    content = b"\0".join([agent.encode(), round.encode(), line.custom_id.encode("utf-8", "surrogatepass"), line.body])
    return f"batch:{hashlib.sha256(content).hexdigest()[:40]}"


def answer_line(custom_id: str, message: MessageJson) -> bytes:
    """Write what came of a line.

    Args:
        custom_id (str): Of the line.
        message (MessageJson): Its message, which has ended.

    Returns:
        bytes: One line of OpenAI's batch output, with its line end.
    """
    response: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    if message["state"] == "done":
        response = {"status_code": 200, "request_id": message["id"], "body": message["result"]}
    else:
        told = message["error"] or {"code": message["state"], "message": f"the message is {message['state']}"}
        error = {"code": told["code"], "message": told["message"]}
    said = {"id": f"batch_req_{message['id'].removeprefix('msg_')}", "custom_id": custom_id, "response": response, "error": error}
    return msgspec.json.encode(said) + b"\n"


def _read_line(number: int, text: bytes, agent: str) -> Line:
    check_json(text, "this")
    try:
        request = msgspec.json.decode(text, type=_Request)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from error
    if not request.custom_id or len(request.custom_id) > 512:
        raise InvalidInput("custom_id must have 1 to 512 characters")
    if request.method != "POST":
        raise InvalidInput(f"method is {request.method!r}; only 'POST' is known")
    if agent == "chat":
        _check_chat(request)
    return Line(number, request.custom_id, bytes(request.body))


def _check_chat(request: _Request) -> None:
    if request.url != CHAT_URL:
        raise InvalidInput(f"url is {request.url!r}; only {CHAT_URL!r} is known")
    body = msgspec.json.decode(request.body)
    read_chat_request(body)
    if body.get("stream"):
        raise InvalidInput("body.stream: an answer in a file cannot be streamed")
