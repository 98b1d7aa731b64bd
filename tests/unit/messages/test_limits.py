"""Limits are named by what they are of, and say in words what they hold."""

from __future__ import annotations

import pytest

from perdure.errors.base import InvalidInput
from perdure.messages.limits import GateName, Limit, Scope, gates_for, held_by_limit, held_by_session


def test_a_message_may_be_under_a_limit_of_each_kind() -> None:
    assert [gate.scope for gate in gates_for("mail", "support", "acme", "k")] == [Scope.QUEUE, Scope.AGENT, Scope.TENANT, Scope.KEY]
    assert [gate.scope for gate in gates_for("mail", "support", "acme", None)] == [Scope.QUEUE, Scope.AGENT, Scope.TENANT]


def test_what_holds_is_said_in_words() -> None:
    assert held_by_limit(GateName(Scope.TENANT, "acme"), 2) == "limit tenant 'acme' (2 at once)"
    assert held_by_limit(GateName(Scope.KEY, "mail", "k"), 1) == "limit key 'k' of queue 'mail' (1 at once)"
    assert held_by_limit(GateName(Scope.QUEUE, "mail"), None) == "limit queue 'mail' (lifted)"
    assert held_by_session("talk", None) == "session 'talk'"
    assert held_by_session("talk", "msg_1") == "session 'talk', which stands behind the dead letter msg_1"


@pytest.mark.parametrize("at_once", [0, -1, 1_000_001])
def test_a_limit_is_a_sensible_number(at_once: int) -> None:
    with pytest.raises(InvalidInput, match="at once"):
        Limit(scope=Scope.QUEUE, name="mail", at_once=at_once)
