"""What a terminal gets to see."""

from __future__ import annotations

import json

import pytest

from perdure.cli.words import clean, print_json

STEERING = "a\x1b[31m\x07\x7f\x9b31m\u202eb\u2066"


def test_a_text_cannot_steer_the_terminal() -> None:
    assert clean(STEERING) == "a[31m31mb"


def test_json_cannot_steer_the_terminal_and_stays_the_same_data(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": STEERING})
    out = capsys.readouterr().out
    assert not any(letter in out for letter in "\x1b\x07\x7f\x9b\u202e\u2066")
    assert json.loads(out) == {"text": STEERING}
