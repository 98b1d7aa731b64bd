from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from perdure.security.keys import LENGTH, digest, make_key, well_formed


def test_a_new_key_is_well_formed_and_never_the_same():
    made = {make_key("a", tenant="t", scopes=["*"], now=1.0)[1] for _ in range(50)}
    assert len(made) == 50
    assert all(well_formed(secret) and len(secret) == LENGTH and secret.startswith("pdr_") for secret in made)


def test_what_is_kept_of_a_key_is_not_the_key():
    key, secret = make_key("laptop", tenant="acme", scopes=["a:b"], now=5.0, expires_at=9.0)
    assert secret not in repr(key)
    assert (key.name, key.tenant, tuple(key.scopes), key.created_at, key.expires_at, key.last4) == (
        "laptop",
        "acme",
        ("a:b",),
        5.0,
        9.0,
        secret[-4:],
    )
    assert key.id.startswith("key_")
    assert len(digest(secret)) == 32


@given(st.integers(min_value=4, max_value=LENGTH - 1), st.sampled_from(string.ascii_letters + string.digits))
def test_one_wrong_letter_is_seen_without_a_database(at, letter):
    secret = make_key("a", tenant="t", scopes=[], now=0)[1]
    wrong = secret[:at] + letter + secret[at + 1 :]
    assert well_formed(wrong) == (wrong == secret)


@given(st.text())
def test_anything_else_is_no_key(text):
    assert not well_formed(text)
    assert not well_formed("pdr_" + text)
    digest(text)
