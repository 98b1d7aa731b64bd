"""How much room a worker has: slots for messages, threads for those whose agents are sync.

A slot is taken when a lease is and free as soon as the agent's work has ended; what is still being
written then (`settling`) is bounded too, so that a store in trouble is not given ever more to do.

Where agents are quick, fetching is what takes time: so as many messages are fetched *ahead* as are worked within
`AHEAD_S`. One that waits here cannot be overtaken by a more urgent one, which is why it is no more than that,
and nothing at all where a message takes longer than `QUICK_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from perdure.agents.agent import Agent
from perdure.clock import awake

__all__ = ["Slots"]

AHEAD_S, MOST_AHEAD = 0.05, 500
QUICK_S = 0.2
_SPAN_S = 0.02


class Slots:
    """Counts what is under way in one worker. Used on the event loop's thread only.

    Args:
        agents (Mapping[str, Agent]): The worker's agents by name.
        limit (int): Messages at once.
        threads (int): Messages of sync agents at once.
    """

    def __init__(self, agents: Mapping[str, Agent], *, limit: int, threads: int) -> None:
        self._async = {name: agent.version for name, agent in agents.items() if agent.is_async}
        self._all = {name: agent.version for name, agent in agents.items()}
        self._limit = limit
        self._threads = threads
        self._working = 0
        self._in_threads = 0
        self._settling = 0
        self._ahead = 0
        self._allowed = 0
        self._freed, self._since = 0, awake()
        self._wanted = False
        self.freed: asyncio.Event = asyncio.Event()
        """Set when room was made that somebody wanted."""

    @property
    def working(self) -> int:
        """Messages whose agents are at work."""
        return self._working

    @property
    def full(self) -> bool:
        """Whether one more message would have to wait for a slot."""
        return self._working >= self._limit

    def room(self) -> tuple[int, dict[str, str]]:
        """Say how many messages can be taken now, and of which agents.

        Returns:
            tuple[int, dict[str, str]]: How many at most, and the agents' names and code versions. While
            threads are free, no more than those: any of the messages might need one.
        """
        self._allowed = self._allow()
        free, threads = self._free(), self._threads - self._in_threads
        if not self._worth_fetching(free):
            free = 0
        sync = len(self._async) < len(self._all)
        self._wanted = free <= 0 or (sync and threads <= 0)
        self.freed.clear()
        if sync and threads > 0:
            free = min(free, threads)
        return max(free, 0), self._all if threads > 0 else self._async

    def take(self, agent: Agent) -> None:
        """Note that a message of an agent is being worked.

        Args:
            agent (Agent): Whose message it is.
        """
        self._working += 1
        self._in_threads += not agent.is_async

    def queue(self, change: int) -> None:
        """Note that messages wait here for a slot, or no longer do.

        Args:
            change (int): How many more.
        """
        self._ahead += change

    def free(self, agent: Agent) -> None:
        """Note that an agent's work has ended; its message is still being settled.

        Args:
            agent (Agent): Whose message it was.
        """
        self._working -= 1
        self._in_threads -= not agent.is_async
        self._settling += 1
        self._freed += 1
        self._tell()

    def settled(self) -> None:
        """Note that a message has reached its next place."""
        self._settling -= 1
        self._tell()

    def _free(self) -> int:
        room = self._limit + self._allowed
        return min(room - self._working - self._ahead, 2 * room - self._working - self._ahead - self._settling)

    def _allow(self) -> int:
        """How many may wait here: none where a slot might not be what they wait for."""
        if len(self._async) < len(self._all):
            return 0
        span_s = awake() - self._since
        if span_s < _SPAN_S:
            return self._allowed
        rate = self._freed / span_s
        allowed = min(MOST_AHEAD, int(rate * AHEAD_S)) if rate * QUICK_S >= self._limit else 0
        self._freed, self._since = 0, awake()
        return (allowed + self._allowed + 1) // 2 if allowed else 0

    def _worth_fetching(self, free: int) -> bool:
        """Many at once cost no more than one: with work in hand, wait until half can be fetched while half is worked."""
        return not self._ahead or free * 2 >= self._limit + self._allowed

    def _tell(self) -> None:
        if self._wanted and self._worth_fetching(self._free()):
            self.freed.set()
