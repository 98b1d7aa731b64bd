"""What the client says the server answers is what the server says it answers."""

from __future__ import annotations

import msgspec
import pytest

from perdure.client import answers
from perdure.server import answers as served
from perdure.server import listings


def fields(name: str) -> set[str]:
    found = getattr(served, name, None) or getattr(listings, name)
    return {field.encode_name for field in msgspec.structs.fields(found)} | ({found.__struct_config__.tag_field} - {None})


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (answers.MessageJson, "MessageJson"),
        (answers.StepJson, "StepJson"),
        (answers.QueueJson, "QueueJson"),
        (answers.ChangeJson, "ChangeJson"),
        (answers.ErrorJson, "ErrorJson"),
        (answers.KeyJson, "KeyJson"),
        (answers.WorkerJson, "WorkerJson"),
        (answers.AgentJson, "AgentJson"),
    ],
)
def test_each_answer_has_the_same_names_on_both_sides(here: type, there: str) -> None:
    assert set(here.__annotations__) == fields(there)
