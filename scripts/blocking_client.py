"""Write `src/perdure/client/blocking.py` from the asynchronous client, method for method.

    python scripts/blocking_client.py          write it
    python scripts/blocking_client.py --check  exit 1 if it is not what would be written

Every public method of `AsyncClient` and `Sent` becomes one that waits on the client's background loop.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

CLIENT = Path(__file__).parent.parent / "src" / "perdure" / "client"
WRITTEN = CLIENT / "blocking.py"

HEAD = '''"""The blocking client, written from the asynchronous one by `scripts/blocking_client.py`: change those.

A thin one: an `AsyncClient` on a background thread's event loop, and every call waits for its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from perdure.client.aio import AsyncClient, Sent
from perdure.client.answers import (
    AgentJson,
    AttemptJson,
    BiteJson,
    BudgetJson,
    ChangesJson,
    CheckupJson,
    DeadLetterJson,
    DeedsPage,
    EditedJson,
    GroupJson,
    KeyJson,
    LaneJson,
    LimitJson,
    MembersPage,
    MessageJson,
    MessagesPage,
    NewKeyJson,
    PatternJson,
    ProviderJson,
    QueueJson,
    ReportJson,
    ScheduleJson,
    SpentJson,
    StepJson,
    WorkerJson,
)
from perdure.client.background import Background
from perdure.client.new import Named, NewMessageJson, PutOptions

__all__ = ["Client", "SyncSent"]


class Client:
    """Speaks with a Perdure server, blocking. Made once, it may be shared by threads.

    Args:
        base_url (str | None): Where the server is; None for `PERDURE_URL`, else the server of this folder's `.perdure`.
        api_key (str | None): The key; None for `PERDURE_API_KEY`, else the key file in `.perdure`.
        timeout_s (float): For one request.
        retry_for_s (float): How long a lost connection is tried again where that is safe.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, timeout_s: float = 30.0, retry_for_s: float = 10.0
    ) -> None:
        self._client = AsyncClient(base_url, api_key, timeout_s=timeout_s, retry_for_s=retry_for_s)
        self._loop = Background()

    def __enter__(self) -> Self:
        """Use it with `with`.

        Returns:
            Self: The same client.
        """
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        self.close()

    def close(self) -> None:
        """Close all connections and end the background thread."""
        self._loop.close(self._client.aclose())
'''

SENT = '''

class SyncSent:
    """A message that was put.

    Args:
        sent (Sent): The same for asynchronous programs.
        loop (Background): Where its client runs.
    """

    def __init__(self, sent: Sent, loop: Background) -> None:
        self._sent = sent
        self._loop = loop

    @property
    def id(self) -> str:
        """`msg_…`."""
        return self._sent.id

    @property
    def duplicate(self) -> bool:
        """True if its `dedup_key` had brought this message before."""
        return self._sent.duplicate

    @property
    def group(self) -> str | None:
        """The group it was put into.

        Returns:
            str | None: `grp_…`.
        """
        return self._sent.group

    def __repr__(self) -> str:
        """Show which.

        Returns:
            str: For people.
        """
        return repr(self._sent)
'''


def methods(file: str, name: str) -> list[ast.AsyncFunctionDef]:
    """Find a class's public asynchronous methods."""
    tree = ast.parse((CLIENT / file).read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return [
        node for node in found.body if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_") and node.name != "aclose"
    ]


def arguments(of: ast.arguments) -> str:
    """Pass every argument on."""
    said = [one.arg for one in of.args[1:]]
    said += [f"{one.arg}={one.arg}" for one in of.kwonlyargs]
    said += [f"**{of.kwarg.arg}"] if of.kwarg else []
    return ", ".join(said)


def blocking(method: ast.AsyncFunctionDef, inner: str) -> str:
    """Write one method that waits."""
    assert method.returns is not None
    returns = ast.unparse(method.returns).replace("Sent", "SyncSent")
    doc = (ast.get_docstring(method, clean=True) or "").replace("Sent:", "SyncSent:").replace("list[Sent]", "list[SyncSent]")
    call = f"self._loop.wait(self.{inner}.{method.name}({arguments(method.args)}))"
    answer = {"SyncSent": f"SyncSent({call}, self._loop)", "list[SyncSent]": f"[SyncSent(sent, self._loop) for sent in {call}]"}
    body = answer.get(returns, call)
    inside = [*f'"""{doc}\n"""'.splitlines(), body if returns == "None" else f"return {body}"]
    head = f"    def {method.name}({ast.unparse(method.args)}) -> {returns}:"
    return "\n".join([head, *(" " * 8 + line if line else "" for line in inside)])


def write() -> str:
    """Write the whole file, before formatting."""
    client = [*methods("aio.py", "AsyncClient"), *methods("operating.py", "Operating")]
    client += [*methods("letters.py", "Letters"), *methods("failures.py", "Failures"), *methods("scheduling.py", "Scheduling")]
    parts = [HEAD, *(blocking(method, "_client") + "\n" for method in client)]
    parts += [SENT, *(blocking(method, "_sent") + "\n" for method in methods("aio.py", "Sent"))]
    return "\n".join(parts)


def main() -> int:
    """Write the file, or compare it."""
    text = write()
    if "--check" in sys.argv:
        same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(WRITTEN.read_text(encoding="utf-8")))
        if not same:
            print("client/blocking.py is not what scripts/blocking_client.py writes: run it, then ruff format", file=sys.stderr)
        return 0 if same else 1
    WRITTEN.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
