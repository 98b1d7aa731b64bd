from __future__ import annotations

import json

import pytest

from perdure.server.dashboard.words import answer_text, duration, excerpt, number, pretty, span


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (-5, "0 s"), (89, "89 s"), (90, "1 min"), (5400, "1 h"), (130_000, "1 d"), (None, "-")]
)
def test_a_span_is_one_rough_number(seconds, said):
    assert span(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.0042, "4 ms"), (1.2345, "1.23 s"), (125, "2 min 05 s"), (7265, "2 h 01 min")])
def test_a_duration_is_exact_enough_to_compare(seconds, said):
    assert duration(100.0, 100.0 + seconds) == said


def test_what_did_not_end_has_no_duration():
    assert duration(1.0, None) == duration(None, 1.0) == "-"


def test_numbers_can_be_read():
    assert (number(1234567), number(None)) == ("1\u202f234\u202f567", "?")


def test_json_is_shown_over_several_lines_without_secrets():
    assert pretty(b'{"a":[1,2]}') == '{\n  "a": [\n    1,\n    2\n  ]\n}'
    assert "sk-" not in pretty(b'{"note":"sk-aaaaaaaaaaaaaaaaaaaa"}')
    assert pretty(None) == ""
    assert pretty(b"{broken") == "{broken"
    assert len(pretty(json.dumps("x" * 500_000).encode())) < 201_000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"object": "chat.completion", "choices": [{"message": {"content": "the answer\nis 42"}}]}, "the answer is 42"),
        ({"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "what?"}]}, "what?"),
        ("a text", "a text"),
        ({"a": 1}, '{"a": 1}'),
        ({"object": "chat.completion", "choices": []}, '{"object": "chat.completion", "choices": []}'),
        ({"object": "chat.completion", "choices": [5]}, '{"object": "chat.completion", "choices": [5]}'),
        ({"messages": "odd"}, '{"messages": "odd"}'),
        (None, "null"),
    ],
)
def test_a_body_or_result_is_told_in_one_line(body, said):
    assert excerpt(json.dumps(body).encode()) == said


def test_an_excerpt_is_short():
    assert len(excerpt(json.dumps("x" * 500).encode(), most=50)) == 50
    assert excerpt(None) == ""


def test_only_texts_are_answers():
    assert answer_text(b'"yes"') == "yes"
    assert answer_text(b"5") is answer_text(None) is answer_text(b"") is answer_text(b"{oops") is None
