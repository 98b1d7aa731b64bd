"""The user's agents, found by the worker under one name: `--app my_module:app`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from perdure.agents.agent import Agent
from perdure.errors.base import ConfigError, UnknownAgent

__all__ = ["App"]


class App:
    """A set of agents.

    Args:
        agents (Iterable[Agent]): Made with `@agent`.
        name (str): For logs.

    Raises:
        ConfigError: Two agents have one name, or something is no agent.
    """

    def __init__(self, agents: Iterable[Agent] = (), *, name: str = "app") -> None:
        self.name = name
        self._agents: dict[str, Agent] = {}
        for one in agents:
            self.add(one)

    @property
    def agents(self) -> Mapping[str, Agent]:
        """All of them, by name."""
        return MappingProxyType(self._agents)

    @property
    def served(self) -> Mapping[str, Agent]:
        """All of them, by every name under which messages for them may come.

        Raises:
            ConfigError: A former name is another agent's.
        """
        served = dict(self._agents)
        for agent in self._agents.values():
            for name in agent.formerly:
                if served.setdefault(name, agent) is not agent:
                    raise ConfigError(
                        f"agent {agent.name!r} was formerly {name!r}, but that is agent {served[name].name!r} too",
                        hint="A name's messages can go to one agent only.",
                    )
        return MappingProxyType(served)

    def add(self, agent: Agent) -> Agent:
        """Take one more.

        Args:
            agent (Agent): Made with `@agent`.

        Returns:
            Agent: The same.

        Raises:
            ConfigError: There is another one of that name, or it is no agent.
        """
        if not isinstance(agent, Agent):
            raise ConfigError(f"{agent!r} is no agent", hint="Put `@agent` above the function.")
        if self._agents.get(agent.name, agent) is not agent:
            raise ConfigError(f"there are two agents called {agent.name!r}", hint="Give one of them another name: `@agent(name=...)`.")
        self._agents[agent.name] = agent
        return agent

    def agent(self, name: str) -> Agent:
        """Look an agent up.

        Args:
            name (str): Its name.

        Returns:
            Agent: The one of that name.

        Raises:
            UnknownAgent: There is none.
        """
        if name not in self._agents:
            raise UnknownAgent(
                f"there is no agent {name!r} in {self.name!r}", hint=f"There are: {', '.join(sorted(self._agents)) or 'none'}."
            )
        return self._agents[name]
