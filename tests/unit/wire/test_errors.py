"""Errors are read in every spelling met, and written in OpenAI's."""

from __future__ import annotations

import pytest

from perdure.errors.base import (
    ContextTooLong,
    InputTooLarge,
    InvalidInput,
    NotYetBuilt,
    PerdureError,
    RateLimited,
    StoreBusy,
    Unauthenticated,
    UnknownModel,
)
from perdure.wire.errors import error_body, error_in, read_error, status_of


@pytest.mark.parametrize(
    ("raw", "message", "code", "type"),
    [
        (b'{"error":{"message":"m","type":"t","param":"p","code":"c"}}', "m", "c", "t"),
        (b'{"code":"Throttling.RateQuota","message":"m","request_id":"r"}', "m", "Throttling.RateQuota", None),
        (b'{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}', "m", None, "BadRequestError"),
        (b'{"error":"m"}', "m", None, None),
        (b'{"detail":"m"}', "m", None, None),
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"c"}}}', "m", "c", "rate_limit_error"),
    ],
)
def test_every_shape_is_understood(raw: bytes, message: str, code: str | None, type: str | None) -> None:
    said = read_error(raw)
    assert (said.message, said.code, said.type, said.known_shape) == (message, code, type, True)


def test_a_status_inside_the_body_is_found() -> None:
    assert read_error(b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}').status == 503


def test_a_request_id_beside_the_error_is_found() -> None:
    assert read_error(b'{"error":{"message":"m"},"request_id":"r-1"}').request_id == "r-1"


@pytest.mark.parametrize("raw", [b"", b"<html>bad gateway</html>", b"[1]", b'{"choices":[]}', b"[" * 5000, b"\xff\xfe"])
def test_what_is_no_error_is_kept_as_text(raw: bytes) -> None:
    said = read_error(raw)
    assert not said.known_shape
    assert len(said.message) <= 2001


def test_a_good_answer_is_no_error() -> None:
    assert error_in({"id": "x", "choices": [], "code": 1, "message": "x"}) is None
    assert error_in({"error": None, "choices": [1]}) is None
    assert error_in([]) is None


@pytest.mark.parametrize(
    ("error", "status", "type", "code"),
    [
        (InvalidInput("x"), 400, "invalid_request_error", "invalid_input"),
        (InputTooLarge("x"), 413, "invalid_request_error", "input_too_large"),
        (NotYetBuilt("x"), 422, "invalid_request_error", "not_yet_built"),
        (UnknownModel("x"), 404, "not_found_error", "model_not_found"),
        (Unauthenticated("x"), 401, "authentication_error", "invalid_api_key"),
        (RateLimited("x"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (ContextTooLong("x"), 400, "invalid_request_error", "context_length_exceeded"),
        (StoreBusy("x"), 503, "service_unavailable_error", "store_busy"),
        (PerdureError("x"), 500, "server_error", "internal_error"),
    ],
)
def test_ours_are_written_as_openai_writes_them(error: PerdureError, status: int, type: str, code: str) -> None:
    assert status_of(error) == status_of(error.facts()) == status
    assert error_body(error, param="p") == {"error": {"message": "x", "type": type, "param": "p", "code": code}}


def test_a_hint_is_part_of_the_message() -> None:
    assert error_body(UnknownModel("no", hint="Did you mean x?"))["error"]["message"] == "no. Did you mean x?"
