"""A durable runtime for LLM agents: every public name, looked up when it is first used.

    from perdure import App, Run, agent, tool       what agents are written with
    from perdure import Client, AsyncClient         what messages are put with
    from perdure.testing import run_agent           what agents are tested with

`import perdure` loads nothing else, so that it costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing's own would cost as much as starting Python; checkers know the name
if TYPE_CHECKING:
    from typing import Any

    from perdure.agents.agent import Agent, agent
    from perdure.agents.conversation import ChatResult
    from perdure.agents.registry import App
    from perdure.agents.run import Run
    from perdure.agents.sync import SyncRun
    from perdure.client.aio import AsyncClient, Sent
    from perdure.client.blocking import Client, SyncSent
    from perdure.client.new import NewMessageJson
    from perdure.config.manager import ConfigManager
    from perdure.errors.base import (
        AgentFailed,
        BulkheadFull,
        ChildCancelled,
        ChildFailed,
        CircuitRefused,
        Conflict,
        DedupConflict,
        InputError,
        InvalidInput,
        NotFound,
        NotYetBuilt,
        OutcomeUnknown,
        PerdureError,
        ProviderError,
        RateLimited,
        RunError,
        ServerUnreachable,
        ToolFailed,
        Unauthenticated,
        UnknownAgent,
        UnknownModel,
        WaitTimedOut,
    )
    from perdure.errors.handler import ErrorHandler
    from perdure.memory.manager import MemoryManager
    from perdure.providers.generic import GenericProvider
    from perdure.providers.protocol import ChatProvider, LLMProvider
    from perdure.providers.qwen import QwenProvider
    from perdure.resources.batcher import Batcher
    from perdure.resources.bulkhead import Bulkhead
    from perdure.resources.circuit_breaker import CircuitBreaker, CircuitState
    from perdure.resources.single_flight import SingleFlight
    from perdure.resources.token_bucket import TokenBucket
    from perdure.security.validator import Validator
    from perdure.server.within import put_within, put_within_sync
    from perdure.tools.tool import Tool, tool

    __version__: str

__all__ = [
    "Agent",
    "AgentFailed",
    "App",
    "AsyncClient",
    "Batcher",
    "Bulkhead",
    "BulkheadFull",
    "ChatProvider",
    "ChatResult",
    "ChildCancelled",
    "ChildFailed",
    "CircuitBreaker",
    "CircuitRefused",
    "CircuitState",
    "Client",
    "ConfigManager",
    "Conflict",
    "DedupConflict",
    "ErrorHandler",
    "GenericProvider",
    "InputError",
    "InvalidInput",
    "LLMProvider",
    "MemoryManager",
    "NewMessageJson",
    "NotFound",
    "NotYetBuilt",
    "OutcomeUnknown",
    "PerdureError",
    "ProviderError",
    "QwenProvider",
    "RateLimited",
    "Run",
    "RunError",
    "Sent",
    "ServerUnreachable",
    "SingleFlight",
    "SyncRun",
    "SyncSent",
    "TokenBucket",
    "Tool",
    "ToolFailed",
    "Unauthenticated",
    "UnknownAgent",
    "UnknownModel",
    "Validator",
    "WaitTimedOut",
    "__version__",
    "agent",
    "put_within",
    "put_within_sync",
    "tool",
]

_HOMES = {
    "agents.agent": ("Agent", "agent"),
    "agents.conversation": ("ChatResult",),
    "agents.registry": ("App",),
    "agents.run": ("Run",),
    "agents.sync": ("SyncRun",),
    "client.aio": ("AsyncClient", "Sent"),
    "client.blocking": ("Client", "SyncSent"),
    "client.new": ("NewMessageJson",),
    "config.manager": ("ConfigManager",),
    "errors.handler": ("ErrorHandler",),
    "memory.manager": ("MemoryManager",),
    "providers.generic": ("GenericProvider",),
    "providers.protocol": ("ChatProvider", "LLMProvider"),
    "providers.qwen": ("QwenProvider",),
    "resources.batcher": ("Batcher",),
    "resources.bulkhead": ("Bulkhead",),
    "resources.circuit_breaker": ("CircuitBreaker", "CircuitState"),
    "resources.single_flight": ("SingleFlight",),
    "resources.token_bucket": ("TokenBucket",),
    "security.validator": ("Validator",),
    "server.within": ("put_within", "put_within_sync"),
    "tools.tool": ("Tool", "tool"),
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF.get(name, f"{__name__}.errors.base")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
