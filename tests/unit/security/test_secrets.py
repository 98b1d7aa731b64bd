from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.security.keys import make_key
from perdure.security.secrets import redact, redact_facts


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRETSECRET",
        "authorization=Basic SECRETSECRET",
        "curl -H 'Authorization: Bearer SECRETSECRET'",
        '{"api_key": "SECRETSECRET", "model": "x"}',
        "{'x-api-key': 'SECRETSECRET'}",
        "https://host/path?api_key=SECRETSECRET&x=1",
        "postgresql://user:SECRETSECRET@host:5432/db",
        "postgresql://user:SECRET@SECRETSECRET@host:5432/db",
        "DASHSCOPE_API_KEY=SECRETSECRET",
        "password: SECRETSECRET",
        "openai said: Incorrect API key provided: sk-SECRETSECRETxx",
        "key sk-proj-SECRETSECRET_1234",
        "pdr_SECRETSECRET",
        "token ghp_SECRETSECRET12",
        "Set-Cookie: perdure_session=SECRETSECRET; Path=/",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJTRUNSRVQiOiJTRUNSRVQifQ.SECRETSECRET",
        "access_token=SECRETSECRET",
        "https://generativelanguage.example/v1beta/models?key=SECRETSECRET",
        "https://host/hook?a=1&sig=SECRETSECRET",
        "AIzaSySECRETSECRET0123456789abcdefghijklm",
        "gsk_SECRETSECRET12",
        "invalid_api_key: SECRETSECRET12",
    ],
)
def test_what_looks_like_a_secret_is_struck_out(text):
    assert "SECRETSECRET" not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=5 and input_tokens=700",
        "HTTP 401, invalid_api_key: Incorrect API key provided",
        "the secret of a good password is its length",
        "sketching-something-long-here",
        "http://localhost:8321/messages/msg_01k7s8x4zv000",
        "skills-and-more-than-twelve",
        '{"messages": [{"role": "user", "content": "hello"}]}',
    ],
)
def test_ordinary_words_stay(text):
    assert redact(text) == text


@given(st.text(max_size=30), st.text(max_size=30))
def test_our_own_keys_never_pass(before, after):
    secret = make_key("x", tenant="*", scopes=[], now=0)[1]
    assert secret not in redact(f"{before}{secret}{after}")


def test_facts_are_cleaned_by_name_and_by_look():
    facts = {"api_key": {"a": 1}, "user": "me", "list": ["Bearer abcdefgh", 3], "cookie": "x", "Authorization": "y", "none": None}
    assert redact_facts(facts) == {
        "api_key": "[redacted]",
        "user": "me",
        "list": ["Bearer [redacted]", 3],
        "cookie": "[redacted]",
        "Authorization": "[redacted]",
        "none": None,
    }


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "api_key" * 30_000, "a_" * 100_000 + "key", "://" * 60_000, "eyJ" + "a." * 90_000, "sk-" * 60_000]
)
def test_no_text_makes_it_slow(text):
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["From: anna@example.org", '"x-user-email": "anna@example.org"', "reply-to=anna@mail.example.org"])
def test_an_address_of_mail_in_a_header_is_struck_out(text: str) -> None:
    assert "anna" not in redact(text)


def test_an_address_that_a_message_is_about_stays() -> None:
    assert redact("anna@example.org is no customer") == "anna@example.org is no customer"
