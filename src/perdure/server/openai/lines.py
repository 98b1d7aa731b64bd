"""The lines of a batch's file, read piece by piece: checked once, then put as messages, many at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from perdure.agents.chat import chat
from perdure.clock import Moment
from perdure.config.settings import QueueSettings
from perdure.errors.base import InputError, InvalidInput, NotFound, UnknownModel
from perdure.messages.batches import Batch, BatchProblem
from perdure.messages.files import FileStore
from perdure.messages.message import NewMessage
from perdure.messages.registry import AgentCard
from perdure.messages.terms import with_terms
from perdure.providers.models import Models
from perdure.server.body import parse_json
from perdure.wire.batches import Line, read_line
from perdure.wire.requests import param_of

MOST_LINES = 50_000
_MOST_PROBLEMS = 100
_AT_ONCE, _AT_ONCE_BYTES = 500, 4 * 1024 * 1024
"""What is put with one commit."""

__all__ = ["MOST_LINES", "Bite", "Checked", "Lines"]


class Bite(NamedTuple):
    """Lines that are to be put at once, and their messages."""

    messages: list[NewMessage]
    lines: list[Line]


class Checked(NamedTuple):
    """What the lines are, all in all."""

    total: int
    model: str | None
    problems: tuple[BatchProblem, ...]


class Lines:
    """Reads the lines of batches.

    Args:
        files (FileStore): Where they are.
        models (Models): Who can be asked.
        defaults (QueueSettings): What a message gets that nobody says.
        max_line_bytes (int): A longer line is none.
        max_depth (int): The most levels of its JSON.
    """

    def __init__(self, files: FileStore, models: Models, defaults: QueueSettings, *, max_line_bytes: int, max_depth: int) -> None:
        self._files, self._models, self._defaults = files, models, defaults
        self._max_line_bytes, self._max_depth = max_line_bytes, max_depth

    async def check(self, batch: Batch, still: Callable[[], Awaitable[object]]) -> Checked:
        """Read all lines, and say what is wrong.

        Args:
            batch (Batch): Whose.
            still (Callable[[], Awaitable[object]]): Called every few hundred lines: reading goes on.

        Returns:
            Checked: With no problems if each can be put.
        """
        checking = _Checking(self._models)
        try:
            async with aclosing(self._texts(batch)) as texts:
                async for number, text in texts:
                    checking.take(number, partial(self._read, text, batch))
                    if checking.total % _AT_ONCE == 0:
                        await still()
                    if len(checking.problems) >= _MOST_PROBLEMS or checking.total > MOST_LINES:
                        break
        except NotFound as error:
            checking.problems.append(BatchProblem(code="file_not_found", message=error.message))
        return checking.checked()

    async def messages(self, batch: Batch, card: AgentCard | None, *, due_at: Moment | None = None) -> AsyncGenerator[Bite, None]:
        """Make messages of the lines that are not put yet.

        Args:
            batch (Batch): Whose.
            card (AgentCard | None): What is known of the agent `chat`.
            due_at (Moment | None): When they may begin; None for at once.

        Yields:
            Bite: Some that are to be put at once, in their order.

        Raises:
            NotFound: The file was deleted meanwhile.
        """
        held = Bite([], [])
        count = size = 0
        async with aclosing(self._texts(batch)) as texts:
            async for _, text in texts:
                count += 1
                if count > batch.put:
                    line = self._read(text, batch)
                    held.lines.append(line)
                    held.messages.append(self._message(batch, count, line, card, due_at))
                    size += len(text)
                if len(held.lines) == _AT_ONCE or size > _AT_ONCE_BYTES:
                    yield held
                    held, size = Bite([], []), 0
        if held.lines:
            yield held

    def _message(self, batch: Batch, count: int, line: Line, card: AgentCard | None, due_at: Moment | None) -> NewMessage:
        return NewMessage(
            agent=chat.name,
            body=line.body,
            queue=card.queue if card else "default",
            tenant=batch.tenant,
            priority=batch.priority,
            due_at=due_at,
            dedup_key=f"{batch.id}-{count}",
            attempts=(card.attempts if card else None) or self._defaults.attempts,
            timeout_s=(card.timeout_s if card else None) or self._defaults.timeout_s,
            max_wait_s=self._defaults.max_wait_s,
            lane=self._lane(line.model),
            metadata=with_terms({"custom_id": line.custom_id, "batch": batch.id}, by=batch.by),
        )

    def _lane(self, model: str | None) -> str | None:
        try:
            return self._models.deployments(model).lane
        except UnknownModel:  # it was there when the lines were checked; its message says so once it runs
            return None

    def _read(self, text: bytes, batch: Batch) -> Line:
        return read_line(parse_json(text, max_depth=self._max_depth), batch.endpoint)

    async def _texts(self, batch: Batch) -> AsyncGenerator[tuple[int, bytes], None]:
        """Lines with something in them, and their numbers."""
        file = await self._files.get(batch.input_file, tenant=batch.tenant)
        number, held = 0, b""
        for at in range(file.pieces):
            *lines, held = (held + await self._files.read(file.id, at)).split(b"\n")
            for text in lines:
                number += 1
                if text.strip():
                    yield number, text
            if len(held) > self._max_line_bytes:
                yield number + 1, held  # whoever reads it finds it broken
                return
        if held.strip():
            yield number + 1, held


class _Checking:
    """What was found so far."""

    def __init__(self, models: Models) -> None:
        self.total = 0
        self.problems: list[BatchProblem] = []
        self._models = models
        self._ids: set[str] = set()
        self._named: set[str | None] = set()

    def take(self, number: int, read: Callable[[], Line]) -> None:
        """Look at one line."""
        self.total += 1
        try:
            line = read()
            self._models.deployments(line.model)
        except UnknownModel as error:
            self._found("model_not_found", error.message, number, "body.model")
        except InputError as error:
            param = param_of(error) if isinstance(error, InvalidInput) else None
            self._found("invalid_json_line" if param is None else "invalid_request", error.message, number, param)
        else:
            self._named.add(line.model)
            if line.custom_id in self._ids:
                self._found("duplicate_custom_id", f"The custom_id {line.custom_id[:60]!r} stands there before.", number, "custom_id")
            self._ids.add(line.custom_id)

    def checked(self) -> Checked:
        """Say what they are all in all."""
        if self.total > MOST_LINES:
            self._found("too_many_requests", f"The file has more than {MOST_LINES:,} lines.")
        elif not self.total and not self.problems:
            self._found("empty_file", "The file has no lines.")
        model = next(iter(self._named)) if len(self._named) == 1 else None
        return Checked(self.total, model, tuple(self.problems))

    def _found(self, code: str, message: str, line: int | None = None, param: str | None = None) -> None:
        self.problems.append(BatchProblem(code=code, message=message, line=line, param=param))
