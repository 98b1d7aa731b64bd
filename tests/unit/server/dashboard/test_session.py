from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.server.dashboard.session import SESSION_S, Sessions, cookie_header, cookie_in

DIGEST = bytes(range(32))


def test_a_session_is_read_back():
    sessions = Sessions(b"secret")
    session = sessions.read(sessions.begin(DIGEST, 1000.0), 1001.0)
    assert session is not None
    assert (session.digest, session.began_at) == (DIGEST, 1000.0)


def test_two_sessions_of_one_key_have_tokens_of_their_own():
    sessions = Sessions(b"secret")
    one, two = (sessions.read(sessions.begin(DIGEST, 1000.0), 1001.0) for _ in range(2))
    assert one.csrf != two.csrf


def test_a_session_ends():
    sessions = Sessions(b"secret")
    cookie = sessions.begin(DIGEST, 1000.0)
    assert sessions.read(cookie, 1000.0 + SESSION_S - 1)
    assert sessions.read(cookie, 1000.0 + SESSION_S) is None
    assert sessions.read(cookie, 999.0) is None


@given(st.integers(0, 111), st.sampled_from("ABCabc019-_"))
def test_one_changed_letter_makes_it_nobodys(at, letter):
    sessions = Sessions(b"secret")
    cookie = sessions.begin(DIGEST, 1000.0)
    changed = cookie[:at] + letter + cookie[at + 1 :]
    if changed != cookie:
        assert sessions.read(changed, 1001.0) is None


@given(st.text(max_size=500))
def test_anything_made_up_is_nobodys(cookie):
    assert Sessions(b"secret").read(cookie, 1001.0) is None


def test_another_servers_session_is_nobodys():
    assert Sessions(b"one").read(Sessions(b"two").begin(DIGEST, 1000.0), 1001.0) is None


def test_a_login_token_belongs_to_its_cookie_and_server():
    tokens = {Sessions(secret).login_token(nonce) for secret in (b"a", b"b") for nonce in ("x", "y")}
    assert len(tokens) == 4


@pytest.mark.parametrize(
    ("header", "value"),
    [("a=1; perdure_session=x", "x"), ("perdure_session=x;b=2", "x"), ("xperdure_session=x", ""), ("", ""), ("perdure_session", "")],
)
def test_a_cookie_is_found(header, value):
    assert cookie_in(header, "perdure_session") == value


def test_cookies_are_out_of_reach_of_scripts_and_other_sites():
    name, value = cookie_header("a", "b", max_age_s=5, secure=True)
    assert (name, value) == ("set-cookie", "a=b; Path=/; Max-Age=5; HttpOnly; SameSite=Strict; Secure")
    assert "Secure" not in cookie_header("a", "b", max_age_s=5, secure=False)[1]
