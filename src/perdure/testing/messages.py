"""The kit that proves a store of messages."""

from __future__ import annotations

from perdure.testing.belonging import BelongingKit
from perdure.testing.calling_off import CallingOffKit
from perdure.testing.ending import EndingKit
from perdure.testing.flowing import FlowKit
from perdure.testing.leasing import LeasingKit
from perdure.testing.limiting import LimitKit
from perdure.testing.looking import LookingKit
from perdure.testing.putting import PuttingKit
from perdure.testing.telling import TellingKit
from perdure.testing.tending import TendingKit
from perdure.testing.waiting import WaitingKit

__all__ = ["MessageStoreKit"]


class MessageStoreKit(
    PuttingKit,
    LeasingKit,
    EndingKit,
    TendingKit,
    LookingKit,
    TellingKit,
    WaitingKit,
    BelongingKit,
    CallingOffKit,
    FlowKit,
    LimitKit,
    standard=True,
):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your message store is proved.

    The store is new for each test and everything of it is used, since messages, workers and journal are
    views of one thing. No test sleeps.
    """
