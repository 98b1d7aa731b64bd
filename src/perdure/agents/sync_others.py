"""What a sync run does with other messages and those outside: the names of `Others`, blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from perdure.agents.agent import Agent
from perdure.agents.bridge import Bridge
from perdure.agents.others import Others, page_of
from perdure.messages.groups import Group, Member

__all__ = ["SyncOthers"]


class SyncOthers:
    """What `SyncRun` has besides its own calls.

    Args:
        run (Others): The run itself.
        bridge (Bridge): To where it lives.
    """

    def __init__(self, run: Others, bridge: Bridge) -> None:
        self._others = run
        self._bridge = bridge

    def wait_for(self, name: str, *, timeout_s: float | None = None, output: Any = None) -> Any:
        """Wait for a signal: `Run.wait_for`.

        Args:
            name (str): Which signal.
            timeout_s (float | None): How long.
            output (Any): A type or a JSON Schema that the signal's data must fit.

        Returns:
            Any: The signal's data.
        """
        return self._bridge.wait(lambda: self._others.wait_for(name, timeout_s=timeout_s, output=output))

    def send(self, agent: str | Agent, body: Any = None, **how: Any) -> str:
        """Send a message to an agent: `Run.send`.

        Args:
            agent (str | Agent): Whom.
            body (Any): The payload.
            **how (Any): As for `Run.send`.

        Returns:
            str: The message's id.
        """
        return self._bridge.wait(lambda: self._others.send(agent, body, **how))

    def send_many(self, agent: str | Agent, bodies: Iterable[Any], **how: Any) -> list[str]:
        """Send many messages to an agent in one step: `Run.send_many`.

        Args:
            agent (str | Agent): Whom.
            bodies (Iterable[Any]): The payloads.
            **how (Any): As for `Run.send`.

        Returns:
            list[str]: Their ids.
        """
        return self._bridge.wait(lambda: self._others.send_many(agent, bodies, **how))

    def result_of(self, sent: str, *, timeout_s: float | None = None, output: Any = None) -> Any:
        """Wait for the result of a message that this run has sent: `Run.result_of`.

        Args:
            sent (str): What `send` returned.
            timeout_s (float | None): How long.
            output (Any): A type or a JSON Schema that the result must fit.

        Returns:
            Any: The result.
        """
        return self._bridge.wait(lambda: self._others.result_of(sent, timeout_s=timeout_s, output=output))

    def results_of(
        self, sent: Iterable[str], *, timeout_s: float | None = None, output: Any = None, return_exceptions: bool = False
    ) -> list[Any]:
        """Wait for the results of several messages: `Run.results_of`.

        Args:
            sent (Iterable[str]): What `send` returned.
            timeout_s (float | None): How long.
            output (Any): A type or a JSON Schema that each result must fit.
            return_exceptions (bool): Return a `ChildFailed` in place of a result.

        Returns:
            list[Any]: The results, in the order asked for.
        """
        return self._bridge.wait(
            lambda: self._others.results_of(sent, timeout_s=timeout_s, output=output, return_exceptions=return_exceptions)
        )

    def group(self) -> Group:
        """Look at the group that this run joins: `Run.group`.

        Returns:
            Group: In kept numbers.
        """
        return self._bridge.wait(self._others.group)

    def members(self, *, page: int = 500) -> Iterator[Member]:
        """Go through what became of the group's messages: `Run.members`.

        Args:
            page (int): How many are read at once.

        Yields:
            Member: In the order of putting.
        """
        cursor: str | None = None
        while True:
            found = self._bridge.wait(partial(page_of, self._others, page, cursor))
            yield from found.members
            cursor = found.cursor
            if cursor is None:
                return
