"""Tokens of runs."""

from __future__ import annotations

import pytest

from perdure.security.secrets import STRUCK_OUT, redact
from perdure.worker.passes import Pass, Passes

WHOSE = Pass(message=2**62 + 7, lease=3)


def test_a_token_says_for_whom_it_is():
    passes = Passes()
    assert passes.read(passes.make(WHOSE)) == WHOSE
    assert passes.make(Pass(WHOSE.message, 4)) != passes.make(WHOSE)


def test_only_the_worker_that_made_a_token_takes_it():
    assert Passes().read(Passes().make(WHOSE)) is None


@pytest.mark.parametrize("token", ["", "pdr_", "sk-none", "pdr_00", "pdr_" + "00" * 48, "pdr_zz", "ü"])
def test_what_is_no_token_is_refused(token):
    assert Passes().read(token) is None


def test_a_token_whose_name_was_changed_is_refused():
    passes = Passes()
    name = passes.make(Pass(WHOSE.message, 4))[:36]
    assert passes.read(name + passes.make(WHOSE)[36:]) is None


def test_a_token_is_struck_out_of_logs_like_a_key():
    assert redact(f"client of {Passes().make(WHOSE)}") == f"client of {STRUCK_OUT}"
