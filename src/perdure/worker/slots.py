"""How much room a worker has: slots for messages, threads for those whose agents are sync.

A slot is taken when a lease is and free as soon as the agent's work has ended; what is still being
written then (`settling`) is bounded too, so that a store in trouble is not given ever more to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from perdure.agents.agent import Agent

__all__ = ["Slots"]


class Slots:
    """Counts what is under way in one worker. Used on the event loop's thread only.

    Args:
        agents (Mapping[str, Agent]): The worker's agents by name.
        limit (int): Messages at once.
        threads (int): Messages of sync agents at once.
    """

    def __init__(self, agents: Mapping[str, Agent], *, limit: int, threads: int) -> None:
        self._agents = agents
        self._limit = limit
        self._threads = threads
        self._working = 0
        self._in_threads = 0
        self._settling = 0
        self._wanted = False
        self.freed: asyncio.Event = asyncio.Event()
        """Set when room was made that somebody wanted."""

    @property
    def working(self) -> int:
        """Messages whose agents are at work."""
        return self._working

    def room(self) -> tuple[int, dict[str, str]]:
        """Say how many messages can be taken now, and of which agents.

        Returns:
            tuple[int, dict[str, str]]: How many at most, and the agents' names and code versions. While
            threads are free, no more than those: any of the messages might need one.
        """
        free = min(self._limit - self._working, 2 * self._limit - self._working - self._settling)
        threads = self._threads - self._in_threads
        sync = any(not agent.is_async for agent in self._agents.values())
        self._wanted = free <= 0 or (sync and threads <= 0)
        self.freed.clear()
        if sync and threads > 0:
            free = min(free, threads)
        names = {name: agent.version for name, agent in self._agents.items() if agent.is_async or threads > 0}
        return max(free, 0), names

    def take(self, agent: Agent) -> None:
        """Note that a message of an agent is being worked.

        Args:
            agent (Agent): Whose message it is.
        """
        self._working += 1
        self._in_threads += not agent.is_async

    def free(self, agent: Agent) -> None:
        """Note that an agent's work has ended; its message is still being settled.

        Args:
            agent (Agent): Whose message it was.
        """
        self._working -= 1
        self._in_threads -= not agent.is_async
        self._settling += 1
        self._tell()

    def settled(self) -> None:
        """Note that a message has reached its next place."""
        self._settling -= 1
        self._tell()

    def _tell(self) -> None:
        if self._wanted:
            self.freed.set()
