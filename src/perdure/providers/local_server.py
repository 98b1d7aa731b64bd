"""The process in which the embedded model lives: `python -m perdure.providers.local_server`.

It loads the model, answers OpenAI's wire on a loopback port under a random key, writes where into the
state file, and ends when nobody has touched that file for a while, when it is taken away, or by SIGTERM.
It is nobody's child for long: whoever started it may be gone, so it looks after its own end.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import importlib
import json
import os
import secrets
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from perdure.clock import now
from perdure.providers.local_state import ModelState, read_state, remove_state, touch, write_state

__all__ = ["main"]

_CONTEXT = 4096
_PARALLEL = 2
_ANSWER_TOKENS = 512  # a small model does not always find its end
_CACHE_MIB = 64


def main(arguments: list[str] | None = None) -> None:
    """Serve until idle.

    Args:
        arguments (list[str] | None): The command line; None for the process's own.
    """
    options = _options(arguments)
    ended = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.set())
    key = secrets.token_urlsafe(32)
    server = _load(options.model, options.name, key)
    state = ModelState(pid=os.getpid(), url=server.listening_address, key=key, model=options.name)
    write_state(options.state, state)
    _serve(state, options, ended)
    remove_state(options.state, state.pid)
    del server
    gc.collect()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perdure.providers.local_server", description="The embedded model")
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--idle", type=float, required=True)
    return parser.parse_args(arguments)


def _load(model: str, name: str, key: str) -> Any:
    xllamacpp: Any = importlib.import_module("xllamacpp")  # heavy, native, and an extra: only this process loads it
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {name}
    params.n_ctx, params.n_parallel, params.kv_unified = _CONTEXT, _PARALLEL, True
    # One core stays free: on a busy machine spinning threads bring generation to a crawl.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) - 1)
    params.n_predict, params.cache_ram_mib = _ANSWER_TOKENS, _CACHE_MIB
    params.sampling.temp = 0.2
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
    params.ui, params.endpoint_slots, params.verbosity = False, True, 1
    return xllamacpp.Server(params)


def _serve(state: ModelState, options: argparse.Namespace, ended: threading.Event) -> None:
    """Until told to end, replaced, or idle."""
    while not ended.wait(min(1.0, options.idle / 4)):
        found = read_state(options.state)
        if found is None or found.pid != state.pid:
            return
        if _idle(options) and _gone_to_rest(state, options):
            return


def _gone_to_rest(state: ModelState, options: argparse.Namespace) -> bool:
    """Under the lock: who comes meanwhile waits, finds no file, and starts the next process."""
    with suppress(Timeout), FileLock(str(options.lock), timeout=10):
        if _idle(options) and not _busy(state):
            remove_state(options.state, state.pid)
            return True
        touch(options.state)
    return False


def _idle(options: argparse.Namespace) -> bool:
    try:
        return bool(now() - options.state.stat().st_mtime > options.idle)
    except FileNotFoundError:
        return True


def _busy(state: ModelState) -> bool:
    address = urlsplit(state.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("GET", "/slots", headers={"authorization": f"Bearer {state.key}"})
        slots: list[dict[str, Any]] = json.loads(connection.getresponse().read())
        return any(slot.get("is_processing") for slot in slots)
    except (OSError, ValueError, AttributeError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
