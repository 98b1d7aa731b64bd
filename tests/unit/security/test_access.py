from __future__ import annotations

import pytest

from perdure.security.access import SCOPES, allows, covers, scope_problems, tenant_of


@pytest.mark.parametrize(
    ("scopes", "needed", "allowed"),
    [
        (["messages:read"], "messages:read", True),
        (["messages:read"], "messages:write", False),
        (["messages:*"], "messages:write", True),
        (["*"], "keys:write", True),
        (["message:*"], "messages:read", False),
        (["messages"], "messages:read", False),
        (["*:read"], "messages:read", False),
        ([], "messages:read", False),
    ],
)
def test_a_scope_allows_what_it_names_and_no_more(scopes, needed, allowed):
    assert allows(scopes, needed) is allowed


@pytest.mark.parametrize(
    ("mine", "others", "covered"),
    [
        (["*"], ["*"], True),
        (["messages:*"], ["messages:read", "messages:write"], True),
        (["messages:read", "messages:write"], ["messages:*"], True),
        (["messages:read"], ["messages:*"], False),
        (["messages:read"], ["*"], False),
        (list(SCOPES), ["*"], False),
        ([], [], True),
    ],
)
def test_nobody_hands_out_more_than_they_have(mine, others, covered):
    assert covers(mine, others) is covered


def test_an_operators_key_is_held_to_no_tenant():
    assert (tenant_of("*"), tenant_of("acme")) == (None, "acme")


def test_scopes_that_do_not_exist_are_named_with_the_nearest():
    assert scope_problems([*SCOPES, "messages:*", "*"]) == []
    assert scope_problems(["queue:read", "zzz"]) == [
        "there is no scope 'queue:read'; did you mean 'queues:read'?",
        "there is no scope 'zzz'",
    ]
