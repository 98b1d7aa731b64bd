"""limits: set, list, drop, against a server over a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Perdure = Callable[..., Any]


@pytest.mark.usefixtures("served")
def test_a_limit_is_set_listed_and_dropped(perdure: Perdure) -> None:
    assert "queue mail: 1 at once; 0 now, 0 held" in perdure("limits", "set", "queue", "mail", "1").err
    for _ in range(2):
        perdure("send", "echo", "1", "--queue", "mail")
    [limit] = perdure("limits", "list", "--json").json
    assert (limit["at_once"], limit["used"], limit["held"]) == (1, 1, 1)
    assert "mail" in perdure("limits", "list").out
    held = perdure("messages", "list", "--state", "held")
    assert "limit queue 'mail' (1 at once)" in held.out
    assert perdure("limits", "drop", "queue", "mail").code == 0
    assert perdure("limits", "drop", "queue", "mail").code == 3


@pytest.mark.usefixtures("served")
def test_what_is_no_limit_is_a_usage_error(perdure: Perdure) -> None:
    assert perdure("limits", "set", "colour", "red", "1").code == 2
    assert perdure("limits", "set", "queue", "mail", "0").code == 2


@pytest.mark.usefixtures("served")
def test_a_session_is_said_at_the_put(perdure: Perdure) -> None:
    ids = [perdure("send", "echo", "1", "--session", "talk").out.strip() for _ in range(2)]
    assert perdure("messages", "show", ids[1], "--json").json["held_by"] == "session 'talk'"


@pytest.mark.usefixtures("served")
def test_budgets_are_set_and_listed_and_usage_is_told(perdure: Perdure) -> None:
    assert "installation *: $2.5 a day; $0.0000 today" in perdure("budgets", "set", "installation", "2.5").err
    assert "tenant acme: no limit a day" in perdure("budgets", "set", "tenant", "none", "--name", "acme").err
    assert "nobody is known as the tenant acme" in perdure("budgets", "set", "tenant", "3", "--name", "acme").err
    assert "nobody" not in perdure("budgets", "set", "tenant", "none", "--name", "default").err
    refused = perdure("budgets", "set", "key", "3", "--name", "key_of_nobody")
    assert (refused.code != 0, "there is no key 'key_of_nobody'" in refused.err, "perdure keys list" in refused.err) == (True, True, True)
    assert [one["daily_usd"] for one in perdure("budgets", "list", "--json").json] == [2.5, 3.0, None]
    assert "$2.5" in perdure("budgets", "list").out
    assert perdure("budgets", "set", "installation", "much").code == 2
    assert perdure("usage", "--json").json == []
    assert "COST" in perdure("usage", "--by", "agent").out
    assert perdure("usage", "--by", "colour").code == 2
