"""The pieces of a chat, told as the events of a response.

An item is open until something of another kind comes; calls of tools, whose pieces may come mixed, stay open until the end.
Each event has its number, from 0 on. The whole answer is told by the same code, as if it had come in one piece, so an answer
and the stream of it can not differ; and an answer that is told a second time has the same events with the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeAlias

from perdure.errors.base import ErrorFacts
from perdure.wire.answers import chunks_of
from perdure.wire.response_said import error_of, usage_said

Event: TypeAlias = dict[str, Any]

__all__ = ["Event", "ResponseEvents", "completed"]


def completed(response: Mapping[str, Any], answer: Mapping[str, Any], *, at: float) -> dict[str, Any]:
    """Put a whole answer into a response.

    Args:
        response (Mapping[str, Any]): As it was begun.
        answer (Mapping[str, Any]): A `chat.completion`.
        at (float): When it came.

    Returns:
        dict[str, Any]: Completed, or incomplete.
    """
    events = ResponseEvents(response)
    for chunk in chunks_of(answer):
        events.take(chunk)
    events.end(at=at)
    return events.response


class ResponseEvents:
    """The events of one response, in their order.

    Args:
        response (Mapping[str, Any]): As it was begun.
    """

    def __init__(self, response: Mapping[str, Any]) -> None:
        self.response: dict[str, Any] = {**response, "output": []}
        self.counts: Mapping[str, Any] | None = None
        """What the upstream has counted so far."""
        self._number = 0
        self._reason: str | None = None
        self._said: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._cited: list[dict[str, Any]] = []  # told when the text is whole: some servers send them before it

    def begin(self) -> list[Event]:
        """Tell that it is asked.

        Returns:
            list[Event]: The first ones.
        """
        return [self.told("response.created"), self.told("response.in_progress")]

    def told(self, kind: str) -> Event:
        """Tell how the response stands now.

        Args:
            kind (str): Such as `response.queued`.

        Returns:
            Event: With all of the response.
        """
        return self._event(kind, response={**self.response, "output": list(self.response["output"])})

    def take(self, chunk: Mapping[str, Any]) -> list[Event]:
        """Take the next piece.

        Args:
            chunk (Mapping[str, Any]): Of a chat.

        Returns:
            list[Event]: What it says; often none.
        """
        if chunk.get("usage"):
            self.counts = chunk["usage"]
        if chunk.get("service_tier"):
            self.response["service_tier"] = chunk["service_tier"]
        choice = next((one for one in chunk.get("choices") or [] if not one.get("index")), None)
        if choice is None:
            return []
        self._reason = choice.get("finish_reason") or self._reason
        delta = choice.get("delta") or {}
        logprobs = [_logprob(one) for one in (choice.get("logprobs") or {}).get("content") or []]
        found: list[Event] = []
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            found += self._say("reasoning", "reasoning_text", thought, [])
        if text := delta.get("content"):
            found += self._say("message", "output_text", text, logprobs)
        elif logprobs and self._said is not None and self._said.parts:
            self._said.parts[-1].logprobs += logprobs
        self._cited += [_annotation(one) for one in delta.get("annotations") or [] if isinstance(one.get("url_citation"), Mapping)]
        if refusal := delta.get("refusal"):
            found += self._say("message", "refusal", refusal, [])
        for call in delta.get("tool_calls") or []:
            found += self._call(call)
        return found

    def end(self, *, at: float) -> list[Event]:
        """Tell that it is over.

        Args:
            at (float): When.

        Returns:
            list[Event]: The last ones.
        """
        why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(self._reason or "")
        status = "incomplete" if why else "completed"
        found = self._close_all(status)
        counted = usage_said(self.counts)
        self.response.update(status=status, usage=counted, incomplete_details={"reason": why} if why else None)
        self.response["completed_at"] = None if why else int(at)
        return [*found, self.told(f"response.{status}")]

    def fail(self, error: ErrorFacts) -> list[Event]:
        """Tell that nothing more comes, and why.

        Args:
            error (ErrorFacts): Without secrets.

        Returns:
            list[Event]: The last one; what came before stays in its `output`.
        """
        self._close_all("incomplete")
        self.response.update(status="failed", error=error_of(error), usage=usage_said(self.counts))
        return [self.told("response.failed")]

    def _say(self, kind: str, part: str, text: str, logprobs: list[dict[str, Any]]) -> list[Event]:
        found: list[Event] = []
        if self._said is not None and self._said.kind != kind:
            found += self._close_said("completed")
        if self._said is None:
            self._said = self._open(kind)
            found.append(self._event("response.output_item.added", output_index=self._said.at, item=self._said.whole("in_progress")))
        return found + self._add(self._said, part, text, logprobs)

    def _add(self, item: _Item, part: str, text: str, logprobs: list[dict[str, Any]]) -> list[Event]:
        found: list[Event] = []
        if not item.parts or item.parts[-1].kind != part:
            found += self._close_part(item)
            item.parts.append(_Part(part))
            found.append(self._event("response.content_part.added", **self._place(item), part=item.parts[-1].whole()))
        item.parts[-1].pieces.append(text)
        item.parts[-1].logprobs += logprobs
        more = {"logprobs": logprobs} if part == "output_text" else {}
        return [*found, self._event(f"response.{part}.delta", **self._place(item), delta=text, **more)]

    def _close_part(self, item: _Item) -> list[Event]:
        if not item.parts:
            return []
        part, found = item.parts[-1], []
        if part.kind == "output_text":
            part.annotations, self._cited = self._cited, []
            found = [
                self._event("response.output_text.annotation.added", **self._place(item), annotation_index=at, annotation=annotation)
                for at, annotation in enumerate(part.annotations)
            ]
        more = {"logprobs": part.logprobs} if part.kind == "output_text" else {}
        name = "refusal" if part.kind == "refusal" else "text"
        return [
            *found,
            self._event(f"response.{part.kind}.done", **self._place(item), **{name: part.text}, **more),
            self._event("response.content_part.done", **self._place(item), part=part.whole()),
        ]

    def _call(self, piece: Mapping[str, Any]) -> list[Event]:
        at = self._index(piece)
        function = piece.get("function") or {}
        found = self._close_said("completed")
        if at not in self._calls:
            item = self._calls[at] = self._open("function_call")
            item.call_id = piece.get("id") or f"call_{item.id.removeprefix('fc_')}"
            item.name = function.get("name") or ""
            found.append(self._event("response.output_item.added", output_index=item.at, item=item.whole("in_progress")))
        item = self._calls[at]
        if text := function.get("arguments"):
            item.pieces.append(text)
            found.append(self._event("response.function_call_arguments.delta", item_id=item.id, output_index=item.at, delta=text))
        return found

    def _index(self, piece: Mapping[str, Any]) -> int:
        given, last = piece.get("index"), max(self._calls, default=-1)
        if isinstance(given, int):
            return given
        begins = last < 0 or (piece.get("id") or self._calls[last].call_id) != self._calls[last].call_id
        return last + 1 if begins else last

    def _open(self, kind: str) -> _Item:
        item = _Item(kind, len(self.response["output"]), self.response["id"])
        self.response["output"].append(item.whole("in_progress"))
        return item

    def _close_said(self, status: str) -> list[Event]:
        item, self._said = self._said, None
        return [] if item is None else [*self._close_part(item), self._done(item, status)]

    def _close_all(self, status: str) -> list[Event]:
        found = self._close_said(status)
        for item in self._calls.values():
            told = {"item_id": item.id, "output_index": item.at, "name": item.name, "arguments": item.arguments}
            found += [self._event("response.function_call_arguments.done", **told), self._done(item, status)]
        self._calls = {}
        return found

    def _done(self, item: _Item, status: str) -> Event:
        self.response["output"][item.at] = item.whole(status)
        return self._event("response.output_item.done", output_index=item.at, item=item.whole(status))

    def _place(self, item: _Item) -> dict[str, Any]:
        return {"item_id": item.id, "output_index": item.at, "content_index": max(len(item.parts) - 1, 0)}

    def _event(self, kind: str, **said: Any) -> Event:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number, **said}


class _Part:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.logprobs: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def whole(self) -> dict[str, Any]:
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": self.text}
        more = {"annotations": list(self.annotations), "logprobs": list(self.logprobs)} if self.kind == "output_text" else {}
        return {"type": self.kind, "text": self.text, **more}


class _Item:
    def __init__(self, kind: str, at: int, owner: str) -> None:
        prefix = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_"}[kind]
        self.kind, self.at = kind, at
        self.id = prefix + hashlib.sha256(f"{owner}>{at}".encode()).hexdigest()[:32]
        self.parts: list[_Part] = []
        self.pieces: list[str] = []
        self.call_id = self.name = ""

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    def whole(self, status: str) -> dict[str, Any]:
        head = {"id": self.id, "type": self.kind, "status": status}
        if self.kind == "function_call":
            return {**head, "call_id": self.call_id, "name": self.name, "arguments": self.arguments}
        parts = [part.whole() for part in self.parts]
        return {**head, "summary": [], "content": parts} if self.kind == "reasoning" else {**head, "role": "assistant", "content": parts}


def _annotation(said: Mapping[str, Any]) -> dict[str, Any]:
    cited = said["url_citation"]
    first, last = (at if isinstance(at := cited.get(f"{end}_index"), int) else 0 for end in ("start", "end"))
    title, url = str(cited.get("title") or ""), str(cited.get("url") or "")
    return {"type": "url_citation", "start_index": first, "end_index": last, "title": title, "url": url}


def _logprob(said: Mapping[str, Any]) -> dict[str, Any]:
    token = str(said.get("token", ""))
    top = [_token(one) for one in said.get("top_logprobs") or []]
    return {**_token({**said, "token": token}), "top_logprobs": top}


def _token(said: Mapping[str, Any]) -> dict[str, Any]:
    token = str(said.get("token", ""))
    return {"token": token, "logprob": float(said.get("logprob") or 0.0), "bytes": said.get("bytes") or list(token.encode())}
