from __future__ import annotations

import asyncio

import pytest

from perdure.errors.base import InvalidInput
from perdure.security.validator import Validator

TICKET = {
    "type": "object",
    "properties": {"ticket": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["ticket"],
}


def test_good_input_is_valid_and_leaves_no_errors():
    validator = Validator()
    assert validator.validate_input({"ticket": "x"}, TICKET) is True
    assert validator.get_validation_errors() == []


def test_everything_that_is_wrong_is_named_with_its_place():
    validator = Validator()
    assert validator.validate_input({"tags": ["a", 1, 2]}, TICKET) is False
    errors = validator.get_validation_errors()
    assert [error.partition(":")[0] for error in errors] == ["the whole", "tags[1]", "tags[2]"] or len(errors) == 3
    assert any("ticket" in error for error in errors)
    assert validator.validate_input({"ticket": "x"}, TICKET)
    assert validator.get_validation_errors() == []


def test_at_most_so_many_errors_are_named():
    assert len(Validator(most=3).check({"ticket": "x", "tags": list(range(100))}, TICKET)) == 3


def test_a_long_value_is_cut_in_the_error():
    [error] = Validator().check({"ticket": ["x" * 5000]}, TICKET)
    assert len(error) < 400


async def test_errors_are_kept_per_task():
    validator = Validator()
    met = asyncio.Barrier(2)

    async def check(data):
        valid = validator.validate_input(data, TICKET)
        await met.wait()
        return valid, validator.get_validation_errors()

    good, bad = await asyncio.gather(check({"ticket": "x"}), check({}))
    assert good == (True, [])
    assert bad[0] is False
    assert len(bad[1]) == 1


@pytest.mark.parametrize("schema", [{"type": "nope"}, {"pattern": "("}, {"$ref": "http://127.0.0.1:9/x"}, {"$ref": "file:///etc/passwd"}])
def test_a_schema_that_is_none_or_would_be_fetched_is_refused(schema):
    with pytest.raises(InvalidInput, match="no usable JSON Schema"):
        Validator().validate_input({}, schema)


def test_schemas_are_compiled_once_and_the_oldest_forgotten():
    validator = Validator(remembered=2)
    first = validator._compile({"type": "string"})
    assert validator._compile({"type": "string"}) is first
    validator._compile({"type": "integer"})
    validator._compile({"type": "null"})
    assert validator._compile({"type": "string"}) is not first


def test_what_cannot_be_kept_is_taken_out():
    dirty = {"a\x00b": ["x\ud800y", 1, None, "tab\tline\nkept"], "esc": "\x1b[31mred"}
    assert Validator().sanitize_input(dirty) == {"ab": ["xy", 1, None, "tab\tline\nkept"], "esc": "[31mred"}
    assert Validator().sanitize_input(("a\x00",)) == ["a"]
    assert dirty["a\x00b"][0] == "x\ud800y"
