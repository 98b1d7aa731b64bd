"""What handlers leave behind, in a file that every process of the benchmark has mapped.

Counting in shared memory costs a handler less than a microsecond, the same for every contender, and asks
nothing of the database that is being measured. Moments are nanoseconds of the machine's steady clock,
which all processes share. Only the standard library: this runs in every peer's own environment.
"""

from __future__ import annotations

import mmap
import threading
import time
from pathlib import Path

GO, STARTED, FIRST, ENDED, LISTED = range(5)
_HEAD = 16
MOST = 1 << 16
"""Messages with a lower number are followed one by one."""
_REGIONS = 5


class Marks:
    """A mapped file of 64-bit numbers.

    Args:
        path (Path): Where; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        size_bytes = 8 * (_HEAD + _REGIONS * MOST)
        if not path.exists():
            path.write_bytes(bytes(size_bytes))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size_bytes)
        self._at = memoryview(self._map).cast("Q")
        self._lock = threading.Lock()

    def clear(self) -> None:
        self._map[:] = bytes(len(self._map))

    # What handlers say ------------------------------------------------------------------------------

    def began(self, n: int) -> None:
        at, now = self._at, time.monotonic_ns()
        with self._lock:
            if at[STARTED] == 0:
                at[FIRST] = now
            at[STARTED] += 1
            if 0 <= n < MOST:
                at[_HEAD + n] += 1
                at[_HEAD + MOST + n] = now
                at[_HEAD + 4 * MOST + at[LISTED] % MOST] = n
                at[LISTED] += 1

    def paid(self, n: int) -> None:
        with self._lock:
            self._at[_HEAD + 2 * MOST + n] += 1

    def ended(self, n: int) -> None:
        with self._lock:
            self._at[ENDED] += 1
            if 0 <= n < MOST:
                self._at[_HEAD + 3 * MOST + n] += 1

    # What is read of it -----------------------------------------------------------------------------

    @property
    def started(self) -> int:
        return self._at[STARTED]

    @property
    def first_ns(self) -> int:
        return self._at[FIRST]

    def starts_of(self, n: int) -> int:
        return self._at[_HEAD + n]

    def began_ns(self, n: int) -> int:
        return self._at[_HEAD + MOST + n]

    def payments_of(self, n: int) -> int:
        return self._at[_HEAD + 2 * MOST + n]

    def ends_of(self, n: int) -> int:
        return self._at[_HEAD + 3 * MOST + n]

    def order(self) -> list[int]:
        return [self._at[_HEAD + 4 * MOST + i] for i in range(min(self._at[LISTED], MOST))]

    # The gate ---------------------------------------------------------------------------------------

    def say_imported(self) -> None:
        self._at[GO] = max(self._at[GO], 1)

    def imported(self) -> bool:
        return self._at[GO] >= 1

    def open_gate(self) -> int:
        self._at[GO] = 2
        return time.monotonic_ns()

    def wait_at_gate(self, limit_s: float = 120.0) -> None:
        """A worker has imported all it needs and waits to be let go, so that imports are in nobody's figures."""
        self.say_imported()
        until = time.monotonic() + limit_s
        while self._at[GO] < 2:
            if time.monotonic() > until:
                raise SystemExit("nobody opened the gate")
            time.sleep(0.001)
