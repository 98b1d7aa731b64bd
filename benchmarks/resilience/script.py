"""What goes wrong, and when: the same for everybody, whatever they do about it.

The n-th request for a message meets what the seed deals to that message and n, at whichever deployment it arrives. Beside that
time passes: deployment `a` is down in the middle third, and in a burst somebody else uses up the limit of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["ANSWER", "DOWN", "KINDS", "PAID", "SHARES", "Script", "answer_to"]

ANSWER, DOWN = "answer", "down"
SHARES = {
    "limited": 0.05,  # 429
    "limited, says when": 0.05,  # 429 with Retry-After
    "server error": 0.05,  # 500, 502, 503
    "time-out": 0.02,  # says nothing until the client has given up
    "cut": 0.02,  # the connection breaks in the middle of the answer
    "empty": 0.01,  # 200 with no text
}
"""Of all requests; the rest is answered."""
KINDS = (*SHARES, DOWN, ANSWER)
PAID = frozenset({"time-out", "cut", "empty", ANSWER})
"""What a provider has computed, and bills."""
_BURST, _BURST_SHARE = (0.80, 0.85), 0.6
_DOWN = (1 / 3, 2 / 3)


@dataclass(frozen=True)
class Script:
    """A day of trouble."""

    seed: int
    messages: int
    seconds: float

    def starts_at(self, message: int) -> float:
        """When a message is sent, from the beginning: evenly, but for a tenth that comes all at once, at the beginning of the burst."""
        burst = self.messages // 10
        before = int((self.messages - burst) * _BURST[0])
        if before <= message < before + burst:
            return self.seconds * _BURST[0]
        place = message if message < before else message - burst
        return self.seconds * place / (self.messages - burst)

    def dealt(self, deployment: str, message: int, nth: int, at: float) -> str:
        """What the `nth` request for a message meets, from 1, `at` so many seconds."""
        share = at / self.seconds
        if deployment == "a" and _DOWN[0] <= share < _DOWN[1]:
            return DOWN
        if _BURST[0] <= share < _BURST[1] and self.chance("burst", message, nth) < _BURST_SHARE:
            return "limited, says when"
        chance = self.chance("deal", message, nth)
        for kind, part in SHARES.items():
            if chance < part:
                return kind
            chance -= part
        return ANSWER

    def chance(self, what: str, message: int, nth: int) -> float:
        """A number in [0, 1), the same whenever it is asked for."""
        digest = blake2b(f"{self.seed}/{what}/{message}/{nth}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def answer_to(message: int) -> str:
    """The only text that counts as an answer."""
    return f"the answer to message {message}"
