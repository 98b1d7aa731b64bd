"""How providers are, as looks on a schedule find them: who looks when, and when one counts as turned.

Theory of operation: a store keeps one small card for each provider, and the moment of its next look. Any living worker
asks which looks are due and takes them, so that all machines together make one. What was found is judged by one plain
function. What a person has to mend counts at once; what may be a moment's trouble - no answer, an overload - only when
a second look soon after finds it too, or every blip would wake somebody. A rate limit says nothing against a provider.
The commit that turns a card tells so to its caller and to nobody else: he says it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from perdure.clock import Moment
from perdure.errors.handler import handler
from perdure.errors.recovery import DOWN, LIMITED
from perdure.providers.checkup import Checkup
from perdure.security.secrets import redact

__all__ = ["CONFIRM_S", "FORGOTTEN_S", "Due", "Health", "HealthStore", "Looked", "decode", "due_of", "encode", "judged", "keep"]

CONFIRM_S = 30.0
"""A first failure that may be a moment's trouble is looked at again so soon."""
FORGOTTEN_S = 30 * 24 * 3600.0
"""A provider that nobody has looked at for so long is no longer there."""


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a provider is."""

    provider: str
    well: bool | None = None
    """Whether it counts as one that can be used; None while nobody knows."""
    since: Moment | None = None
    """When it turned to that, in the store's time."""
    failures: int = 0
    """So many looks in a row found it unusable."""
    looked_at: Moment | None = None
    found: Checkup | None = None
    """By the last look; without secrets."""


class Due(NamedTuple):
    """Which looks are to be made by whoever asked."""

    providers: Sequence[str]
    next_in_s: float


class Looked(NamedTuple):
    """What a look has changed."""

    health: Health
    turned: bool
    """It counts as unusable since this look, or as usable again."""
    before: Health


class HealthStore(Protocol):
    """Keeps how providers are. Proved by `perdure.testing.HealthKit`."""

    async def take(self, providers: Sequence[str], *, every_s: float) -> Due:
        """Take the looks that are due: nobody else gets them for `every_s`, not even if they are never made.

        Args:
            providers (Sequence[str]): Whom the caller can look at.
            every_s (float): So long after a look the next is due.

        Returns:
            Due: Whom to look at now; and when to ask again.
        """
        ...

    async def note(self, found: Checkup, *, every_s: float) -> Looked:
        """Write down what a look found.

        Args:
            found (Checkup): Without secrets.
            every_s (float): So long after it the next is due, or sooner where `judged` says so.

        Returns:
            Looked: With whether that has turned it; of concurrent ones exactly one has.
        """
        ...

    async def all(self) -> Sequence[Health]:
        """List how providers are.

        Returns:
            Sequence[Health]: By name; also of such as are no longer in anybody's settings, for a month.
        """
        ...


def judged(before: Health, found: Checkup, now: Moment) -> tuple[Looked, float | None]:
    """Judge what a look found.

    Args:
        before (Health): How it was.
        found (Checkup): By the look.
        now (Moment): The store's time.

    Returns:
        tuple[Looked, float | None]: How it is now; and in how many seconds to look again, if sooner than usual.
    """
    seen = msgspec.structs.replace(before, found=found, looked_at=now)
    if found.error is not None and found.error.category in LIMITED:
        return Looked(seen, turned=False, before=before), None
    failures = 0 if found.ok else before.failures + 1
    passing = found.error is not None and found.error.category in DOWN
    if failures == 1 and passing and before.well is not False:
        return Looked(msgspec.structs.replace(seen, failures=1), turned=False, before=before), CONFIRM_S
    if before.well is found.ok:
        return Looked(msgspec.structs.replace(seen, failures=failures), turned=False, before=before), None
    turned = not found.ok or before.well is False
    return Looked(msgspec.structs.replace(seen, well=found.ok, since=now, failures=failures), turned=turned, before=before), None


def due_of(providers: Iterable[str], due_at: Mapping[str, Moment], now: Moment, every_s: float) -> Due:
    """Say which looks are due.

    Args:
        providers (Iterable[str]): Whom the caller can look at.
        due_at (Mapping[str, Moment]): When those are due of whom there is a card.
        now (Moment): The store's time.
        every_s (float): How far looks lie apart.

    Returns:
        Due: A moment further away than that was meant for another pace, or before the clock was set back: it is due.
    """
    in_s = {name: due_at.get(name, now) - now for name in providers}
    due = [name for name, wait_s in in_s.items() if wait_s <= 0 or wait_s > every_s]
    return Due(due, min((wait_s for name, wait_s in in_s.items() if name not in due), default=every_s))


def encode(health: Health) -> bytes:
    """Write a card.

    Args:
        health (Health): What is on it.

    Returns:
        bytes: JSON.
    """
    return msgspec.json.encode(health)


def decode(card: bytes) -> Health:
    """Read a card.

    Args:
        card (bytes): As it was written.

    Returns:
        Health: What is on it.
    """
    return msgspec.json.decode(card, type=Health)


async def keep(store: HealthStore, found: Checkup, *, every_s: float) -> Health:
    """Write down what a look found, and sound the alarm if that has turned the provider, or call it off.

    Args:
        store (HealthStore): Where.
        found (Checkup): Of one provider.
        every_s (float): How far looks lie apart.

    Returns:
        Health: How it is now.
    """
    looked = await store.note(_without_secrets(found), every_s=every_s)
    if looked.turned:
        _tell(looked)
    return looked.health


def _tell(looked: Looked) -> None:
    health, before = looked.health, looked.before
    what = f"the provider {health.provider!r}"
    if health.found is not None and health.found.error is not None:
        handler().alarm(health.found.error, where="health", what=f"{what} cannot be used", provider=health.provider)
    elif before.found is not None and before.found.error is not None:
        handler().over(before.found.error, where="health", what=f"{what} can be used again", provider=health.provider)


def _without_secrets(found: Checkup) -> Checkup:
    error = found.error
    if error is None:
        return found
    causes = [redact(cause) for cause in error.causes]
    hint = error.hint and redact(error.hint)
    clean = msgspec.structs.replace(error, message=redact(error.message), hint=hint, causes=causes, args=None)
    return msgspec.structs.replace(found, error=clean)
