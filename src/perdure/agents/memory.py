"""What an agent keeps between runs, as its run sees it: the four names of `MemoryManager`, async.

Writes are committed together with their step and so are never in doubt; reads are recorded, so that a
prompt made from memory is the same when it is replayed. No method here is `async def`: a call counts at
the moment it is made, not when it is awaited.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from perdure.agents.bridge import Bridge
from perdure.agents.call import Call
from perdure.agents.journal import MemoryWrite, StepKind
from perdure.agents.quiet import Found, settled
from perdure.agents.steps import Steps
from perdure.errors.base import InvalidInput
from perdure.tools.plain import dump, load

__all__ = ["RunMemory", "SyncMemory"]


class RunMemory:
    """One space of the store's memory.

    Args:
        steps (Steps): The run's.
        space (str): Usually the agent's name.
    """

    def __init__(self, steps: Steps, space: str) -> None:
        self._steps = steps
        self._space = space
        self._tenant = steps.lease.message.tenant

    def store(self, key: str, data: Any) -> Coroutine[Any, Any, None]:
        """Keep something.

        Args:
            key (str): Under which name.
            data (Any): Anything that JSON can say.

        Returns:
            Coroutine[Any, Any, None]: To be awaited.

        Raises:
            InvalidInput: JSON cannot say it.
        """
        value = dump(data, what=f"memory {key!r}")
        call = self._steps.take(StepKind.MEMORY, "store", {"key": _named(key), "data": load(value)})

        async def write() -> tuple[bytes, MemoryWrite]:
            return b"null", MemoryWrite(space=self._space, key=key, value=value)

        return self._quietly(call, write)

    def retrieve(self, key: str) -> Coroutine[Any, Any, Any]:
        """Get it back.

        Args:
            key (str): Its name.

        Returns:
            Coroutine[Any, Any, Any]: What was stored last; None if nothing is.
        """
        call = self._steps.take(StepKind.MEMORY, "retrieve", {"key": _named(key)})

        async def read() -> tuple[bytes, None]:
            return await self._steps.read(lambda: self._steps.parts.memory.read(self._tenant, self._space, key)) or b"null", None

        return self._found(call, read)

    def clear(self, key: str | None = None) -> Coroutine[Any, Any, None]:
        """Forget one thing, or all.

        Args:
            key (str | None): Its name; None for everything in this space.

        Returns:
            Coroutine[Any, Any, None]: To be awaited.
        """
        call = self._steps.take(StepKind.MEMORY, "clear", {"key": None if key is None else _named(key)})

        async def forget() -> tuple[bytes, MemoryWrite]:
            return b"null", MemoryWrite(space=self._space, key=key)

        return self._quietly(call, forget)

    def get_stats(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """Say how much is kept.

        Returns:
            Coroutine[Any, Any, dict[str, Any]]: `entries` and `size_bytes`.
        """
        call = self._steps.take(StepKind.MEMORY, "get_stats", {})

        async def count() -> tuple[bytes, None]:
            return dump(dict(await self._steps.read(lambda: self._steps.parts.memory.stats(self._tenant, self._space)))), None

        return self._found(call, count)

    async def _quietly(self, call: Call, find: Found) -> None:
        await settled(self._steps, call, find)

    async def _found(self, call: Call, find: Found) -> Any:
        return load(await settled(self._steps, call, find))


class SyncMemory:
    """What an agent keeps between runs, blocking.

    Args:
        memory (RunMemory): The same, async.
        bridge (Bridge): The way to it.
    """

    def __init__(self, memory: RunMemory, bridge: Bridge) -> None:
        self._memory = memory
        self._bridge = bridge

    def store(self, key: str, data: Any) -> None:
        """Keep something."""
        self._bridge.wait(lambda: self._memory.store(key, data))

    def retrieve(self, key: str) -> Any | None:
        """Get it back."""
        return self._bridge.wait(lambda: self._memory.retrieve(key))

    def clear(self, key: str | None = None) -> None:
        """Forget one thing, or all."""
        self._bridge.wait(lambda: self._memory.clear(key))

    def get_stats(self) -> dict[str, Any]:
        """Say how much is kept."""
        return self._bridge.wait(self._memory.get_stats)


def _named(key: str) -> str:
    if not key or type(key) is not str:
        raise InvalidInput(f"{key!r} cannot be the name of something in memory", hint="Use a text that is not empty.")
    return key
