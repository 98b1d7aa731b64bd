"""What a run is for frameworks: an address with a key, opened when somebody asks for it, closed with the run."""

from __future__ import annotations

import threading
from urllib.parse import quote

from perdure.agents.call import SCOPE
from perdure.agents.endpoint import Address
from perdure.agents.occurrences import Occurrences
from perdure.agents.steps import Steps
from perdure.errors.base import ConfigError, RunEnded

__all__ = ["Outside"]


class Outside:
    """The address of one run.

    Args:
        steps (Steps): The run's.
        model (str | None): Who answers where a request names nobody.
    """

    def __init__(self, steps: Steps, model: str | None) -> None:
        self._steps = steps
        self._model = model
        self._lock = threading.Lock()  # an agent may ask from any of its threads
        self._address: Address | None = None

    @property
    def base_url(self) -> str:
        """Where clients ask: in the scope in which this is read."""
        scope = SCOPE.get()
        inside = f"/scope={quote(scope, safe='')}" if scope else ""
        return f"{self._open().url}{inside}/v1"

    @property
    def api_key(self) -> str:
        """What lets them in."""
        return self._open().token

    def _open(self) -> Address:
        with self._lock:
            if self._address is None:
                self._address = self._opened()
            return self._address

    def _opened(self) -> Address:
        endpoint, lease = self._steps.parts.endpoint, self._steps.lease
        if endpoint is None:
            raise ConfigError("this run has no endpoint", hint="A worker gives one, and so does `perdure.testing.run_agent`.")
        if self._steps.open.closed:
            raise RunEnded("the run has ended or waits without a worker", hint="Ask for its address while it is at work.")
        address = endpoint.open(lease.message.id, lease.token, Occurrences(self._steps, self._model), self._steps.open.loop)
        self._steps.open.at_end(lambda: endpoint.close(lease.message.id, lease.token))
        return address
