"""Kits that prove a store, a memory, a provider; fakes one can trust; a way to test an agent.

Each name is loaded when it is first used, so that a test which wants a clock does not pay for a server.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.stores.inmemory import InMemoryStore
    from perdure.testing.batching import BatchKit
    from perdure.testing.calling import CallKit
    from perdure.testing.case import ProviderCase
    from perdure.testing.clock import FakeClock
    from perdure.testing.conformance import run_conformance
    from perdure.testing.errors import ErrorsKit
    from perdure.testing.faults import Fault
    from perdure.testing.filing import FileKit
    from perdure.testing.health import HealthKit
    from perdure.testing.journal import JournalKit
    from perdure.testing.keys import KeyStoreKit
    from perdure.testing.lending import LaneKit
    from perdure.testing.machine import StoreMachine
    from perdure.testing.measuring import MeasuresKit
    from perdure.testing.memory import MemoryKit
    from perdure.testing.messages import MessageStoreKit
    from perdure.testing.operating import OperatingKit
    from perdure.testing.provider import FakeProvider
    from perdure.testing.providers import ProviderKit
    from perdure.testing.real import RealAnswer, real_answers
    from perdure.testing.responding import ResponseKit
    from perdure.testing.retention import RetentionKit
    from perdure.testing.schedules import ScheduleKit
    from perdure.testing.spending import SpendingKit
    from perdure.testing.trial import run_agent
    from perdure.testing.upstream import Upstream
    from perdure.testing.workers import WorkerRegistryKit

__all__ = [
    "BatchKit",
    "CallKit",
    "ErrorsKit",
    "FakeClock",
    "FakeProvider",
    "Fault",
    "FileKit",
    "HealthKit",
    "InMemoryStore",
    "JournalKit",
    "KeyStoreKit",
    "LaneKit",
    "MeasuresKit",
    "MemoryKit",
    "MessageStoreKit",
    "OperatingKit",
    "ProviderCase",
    "ProviderKit",
    "RealAnswer",
    "ResponseKit",
    "RetentionKit",
    "ScheduleKit",
    "SpendingKit",
    "StoreMachine",
    "Upstream",
    "WorkerRegistryKit",
    "real_answers",
    "run_agent",
    "run_conformance",
]

_HOMES = {
    "CallKit": "perdure.testing.calling",
    "BatchKit": "perdure.testing.batching",
    "ErrorsKit": "perdure.testing.errors",
    "FakeClock": "perdure.testing.clock",
    "FakeProvider": "perdure.testing.provider",
    "FileKit": "perdure.testing.filing",
    "Fault": "perdure.testing.faults",
    "HealthKit": "perdure.testing.health",
    "InMemoryStore": "perdure.stores.inmemory",
    "JournalKit": "perdure.testing.journal",
    "KeyStoreKit": "perdure.testing.keys",
    "LaneKit": "perdure.testing.lending",
    "MeasuresKit": "perdure.testing.measuring",
    "MemoryKit": "perdure.testing.memory",
    "MessageStoreKit": "perdure.testing.messages",
    "OperatingKit": "perdure.testing.operating",
    "ProviderCase": "perdure.testing.case",
    "ProviderKit": "perdure.testing.providers",
    "RealAnswer": "perdure.testing.real",
    "ResponseKit": "perdure.testing.responding",
    "RetentionKit": "perdure.testing.retention",
    "ScheduleKit": "perdure.testing.schedules",
    "SpendingKit": "perdure.testing.spending",
    "StoreMachine": "perdure.testing.machine",
    "Upstream": "perdure.testing.upstream",
    "WorkerRegistryKit": "perdure.testing.workers",
    "real_answers": "perdure.testing.real",
    "run_agent": "perdure.testing.trial",
    "run_conformance": "perdure.testing.conformance",
}


_KIT_PARTS = (
    "batching",
    "answering",
    "breaking",
    "calling",
    "case",
    "crashing",
    "deciding",
    "deeds",
    "ending",
    "errors",
    "filing",
    "flowing",
    "given",
    "health",
    "journal",
    "keys",
    "leasing",
    "lending",
    "opening",
    "letters",
    "limiting",
    "looking",
    "machine",
    "measuring",
    "memory",
    "operating",
    "providers",
    "putting",
    "responding",
    "retention",
    "schedules",
    "telling",
    "tending",
    "workers",
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name.endswith(("Kit", "Machine")):
        _explain_asserts()
    return getattr(import_module(_HOMES[name]), name)


def _explain_asserts() -> None:
    """Let pytest show what was compared when a kit's test fails, as it does for tests of one's own."""
    import pytest  # here alone: who wants a clock need not have pytest

    pytest.register_assert_rewrite(*(part for name in _KIT_PARTS if (part := f"{__name__}.{name}") not in sys.modules))


def __dir__() -> list[str]:
    return sorted(__all__)
