"""The asynchronous client: put messages, wait for their results, see what became of them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from perdure.client.address import Address, find_address
from perdure.client.answers import AttemptJson, ChangesJson, GroupJson, MembersPage, MessageJson, MessagesPage, StepJson
from perdure.client.failures import Failures
from perdure.client.follow import ENDED, follow
from perdure.client.letters import Letters
from perdure.client.new import OWN_KEY, Named, NewMessageJson, PutOptions, as_json, brought_own_key, chunks, new_message
from perdure.client.operating import Operating
from perdure.client.pooled import PooledWire
from perdure.client.problems import error_of_message
from perdure.client.scheduling import Scheduling
from perdure.client.transport import Transport, segment
from perdure.client.wires import Wire
from perdure.clock import awake
from perdure.errors.base import Conflict, InvalidInput, PerdureError

POLL_S = 30.0
CHAT_TIMEOUT_S = 600.0

__all__ = ["AsyncClient", "Sent"]


class AsyncClient(Operating, Letters, Failures, Scheduling):
    """Speaks with a Perdure server. One client keeps one pool of connections: make it once and share it.

    Args:
        base_url (str | None): Where the server is; None for `PERDURE_URL`, else the server of this folder's `.perdure`.
        api_key (str | None): The key; None for `PERDURE_API_KEY`, else the key file in `.perdure`.
        timeout_s (float): For one request.
        retry_for_s (float): How long a lost connection is tried again where that is safe.
        wire (Wire | None): Who carries requests; None for a pool of connections.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry_for_s: float = 10.0,
        wire: Wire | None = None,
    ) -> None:
        self.address: Address = find_address(base_url, api_key)
        self._wire = Transport(self.address, wire=wire or PooledWire(), timeout_s=timeout_s, retry_for_s=retry_for_s)

    async def __aenter__(self) -> Self:
        """Use it with `async with`.

        Returns:
            Self: The same client.
        """
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it.

        Args:
            kind (type[BaseException] | None): As Python gives it.
            error (BaseException | None): As Python gives it.
            trace (TracebackType | None): As Python gives it.
        """
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    async def send(self, agent: str | Named, body: Any, **options: Unpack[PutOptions]) -> Sent:
        """Put a message. Once this returns, the message is on disk.

        Args:
            agent (str | Named): Who is to do it.
            body (Any): What it is given: anything that JSON can say.
            **options (Unpack[PutOptions]): Queue, priority, delay, dedup key and so on.

        Returns:
            Sent: Its id, and the way to its result.

        Raises:
            UnknownAgent: No worker ever registered that agent.
            InvalidInput: The body is not what the agent takes.
            DedupConflict: The key was used for another body.
        """
        message = new_message(agent, body, options)
        receipt = await self._wire.ask("POST", "/api/v1/messages", body=as_json(message, "the message"), repeatable=True)
        return self._sent(receipt, message)

    async def send_many(
        self, messages: Iterable[NewMessageJson], *, then: NewMessageJson | None = None, group_name: str | None = None
    ) -> list[Sent]:
        """Put many messages, as many at a time as a server takes; each such part is put whole or not at all.

        Args:
            messages (Iterable[NewMessageJson]): Each with `agent`, `body`, and what else `send` takes.
            then (NewMessageJson | None): Makes them a group, however many they are: this message runs once all have ended.
            group_name (str | None): Makes them a group with this name, with or without `then`.

        Returns:
            list[Sent]: One for each, in their order; `group` says in which.

        Raises:
            InvalidInput: One is not what its agent takes; parts before it are put.
        """
        sent: list[Sent] = []
        more: dict[str, Any] = {}
        if then is not None or group_name is not None:
            [join] = _each([then]) if then is not None else [None]
            more = {"open": True} | ({"then": join} if join else {}) | ({"group_name": group_name} if group_name else {})
        for chunk in chunks(_each(messages)):
            body = as_json({"messages": chunk, **more}, "the messages")
            answer = await self._wire.ask("POST", "/api/v1/messages", body=body, repeatable=True)
            sent += [self._sent(receipt, message) for receipt, message in zip(answer["data"], chunk, strict=True)]
            more = {"group": sent[0].group} if more and sent[0].group else {}
        if more:
            await self.close_group(more["group"])
        return sent

    async def group(self, id: str) -> GroupJson:
        """Look how far a group has come.

        Args:
            id (str): `grp_…`: `Sent.group`.

        Returns:
            GroupJson: `total`, `left`, `done`, `dead`, `cancelled`, and the message that joins it as `then`.
        """
        group: GroupJson = await self._wire.get(f"/api/v1/groups/{segment(id)}")
        return group

    async def members(self, id: str, *, limit: int = 100, cursor: str | None = None) -> MembersPage:
        """List what became of a group's messages, in the order of putting.

        Args:
            id (str): `grp_…`.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            MembersPage: Some of them.
        """
        page: MembersPage = await self._wire.get(f"/api/v1/groups/{segment(id)}/members", {"limit": limit, "cursor": cursor})
        return page

    async def close_group(self, id: str) -> GroupJson:
        """Say that an open group is complete.

        Args:
            id (str): `grp_…`.

        Returns:
            GroupJson: As it is then.
        """
        group: GroupJson = await self._wire.ask("POST", f"/api/v1/groups/{segment(id)}/close", repeatable=True)
        return group

    async def signal(self, id: str, name: str, data: Any = None, *, key: str | None = None) -> MessageJson:
        """Tell a message what its run waits for, or will wait for, with `run.wait_for`.

        Args:
            id (str): `msg_…`.
            name (str): Which of the things it may wait for.
            data (Any): What the wait returns: anything that JSON can say.
            key (str | None): Makes a repeated signal one; None makes up one for this call.

        Returns:
            MessageJson: As it is now.

        Raises:
            Conflict: It has ended.
            DedupConflict: The key was used for other data.
        """
        body = as_json({"name": name, "data": data, "key": key or f"{OWN_KEY}{uuid.uuid4().hex}"}, "the signal")
        message: MessageJson = await self._wire.ask("POST", f"/api/v1/messages/{segment(id)}/signals", body=body, repeatable=True)
        return message

    async def message(self, id: str, *, wait_s: float = 0) -> MessageJson:
        """Look at a message.

        Args:
            id (str): `msg_…`.
            wait_s (float): Let the server wait for its end so long, at most 60 s.

        Returns:
            MessageJson: As it is then.

        Raises:
            NotFound: There is none, or it is not yours.
        """
        query = {"wait": f"{min(wait_s, 60):g}"} if wait_s else None
        message: MessageJson = await self._wire.get(f"/api/v1/messages/{segment(id)}", query, wait_s=wait_s)
        return message

    async def ended(self, id: str, *, timeout_s: float | None = None) -> MessageJson:
        """Wait until a message has ended, whichever way.

        Args:
            id (str): `msg_…`.
            timeout_s (float | None): Wait no longer than this; None waits as long as it takes.

        Returns:
            MessageJson: `done`, `dead` or `cancelled`.

        Raises:
            TimeoutError: It has not ended yet; it goes on.
        """
        give_up_at = None if timeout_s is None else awake() + timeout_s
        while True:
            left_s = POLL_S if give_up_at is None else max(give_up_at - awake(), 0)
            message = await self.message(id, wait_s=min(left_s, POLL_S))
            if message["state"] in ENDED:
                return message
            if give_up_at is not None and awake() >= give_up_at:
                raise TimeoutError(f"{id} is {message['state']} after {timeout_s:g} s and goes on; ask for it again")

    async def result(self, id: str, *, timeout_s: float | None = None) -> Any:
        """Wait until a message has ended, and give its result.

        Args:
            id (str): `msg_…`.
            timeout_s (float | None): Wait no longer than this; None waits as long as it takes.

        Returns:
            Any: What the agent returned.

        Raises:
            PerdureError: What the message died of.
            Conflict: It was cancelled.
            TimeoutError: It has not ended yet; it goes on.
        """
        return _result_of(await self.ended(id, timeout_s=timeout_s))

    def as_ended(self, sent: Iterable[Sent], *, after: int | None = None) -> AsyncIterator[MessageJson]:
        """Give each of many messages as it ends, over one connection.

        Args:
            sent (Iterable[Sent]): From `send` or `send_many`.
            after (int | None): `last` of `changes()` before they were put, which saves looking at each first.

        Returns:
            AsyncIterator[MessageJson]: Each once: `done`, `dead` or `cancelled`.
        """
        these = list(sent)
        look_at = [one.id for one in these if one.duplicate or after is None]
        return follow(self, [one.id for one in these], look_at=look_at, after=after)

    async def messages(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        agent: str | None = None,
        code: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> MessagesPage:
        """List messages, those put last first.

        Args:
            state (str | None): Only those in this state.
            queue (str | None): Only of this queue.
            agent (str | None): Only for this agent.
            code (str | None): Only those that died of this error.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            MessagesPage: Some of them.
        """
        query = {"state": state, "queue": queue, "agent": agent, "code": code, "limit": limit, "cursor": cursor}
        page: MessagesPage = await self._wire.get("/api/v1/messages", query)
        return page

    async def cancel(self, id: str, *, children: bool = True) -> MessageJson:
        """Call a message off: at once, or within a moment if it runs.

        Args:
            id (str): `msg_…`.
            children (bool): Also what its run has sent.

        Returns:
            MessageJson: As it is now: `cancelled`, or with `cancelling` true until its worker has ended it.
        """
        query = None if children else {"children": "false"}
        message: MessageJson = await self._wire.ask("POST", f"/api/v1/messages/{segment(id)}/cancel", query=query, repeatable=True)
        return message

    async def steps(self, id: str) -> list[StepJson]:
        """List what a message's run has recorded.

        Args:
            id (str): `msg_…`.

        Returns:
            list[StepJson]: In the order in which they were first begun.
        """
        steps: list[StepJson] = []
        cursor: str | None = None
        while True:
            page = await self._wire.get(f"/api/v1/messages/{segment(id)}/steps", {"cursor": cursor})
            steps += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return steps

    async def attempts(self, id: str) -> list[AttemptJson]:
        """List what went wrong with a message so far.

        Args:
            id (str): `msg_…`.

        Returns:
            list[AttemptJson]: Oldest first.
        """
        attempts: list[AttemptJson] = (await self._wire.get(f"/api/v1/messages/{segment(id)}/attempts"))["data"]
        return attempts

    async def decide(self, id: str, step: int, decision: Literal["happened", "run-again", "bury"], *, result: Any = None) -> None:
        """Say what became of a step whose outcome is unknown.

        Args:
            id (str): `msg_…`, which waits as `outcome-unknown`.
            step (int): Its number.
            decision (Literal["happened", "run-again", "bury"]): What is true, or what to do.
            result (Any): For `happened`: what the step returned.
        """
        said = {"decision": decision} | ({"result": result} if decision == "happened" else {})
        await self._wire.ask("POST", f"/api/v1/messages/{segment(id)}/steps/{step}/decision", body=as_json(said, "the decision"))

    async def chat(self, messages: Sequence[Mapping[str, Any]], *, model: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask a model at once, without a message.

        Args:
            messages (Sequence[Mapping[str, Any]]): The conversation, as OpenAI's API has it.
            model (str | None): `provider/model` or an alias; None for the server's default.
            **params (Any): What else a chat request has.

        Returns:
            dict[str, Any]: An OpenAI `chat.completion`.
        """
        said = {"messages": list(messages), **({"model": model} if model else {}), **params}
        body = as_json(said, "the conversation")
        answer: dict[str, Any] = await self._wire.ask("POST", "/v1/chat/completions", body=body, wait_s=CHAT_TIMEOUT_S)
        return answer

    async def changes(self, after: int | None = None, *, wait_s: float = 0, limit: int = 1000) -> ChangesJson:
        """Read which messages moved.

        Args:
            after (int | None): `last` of the answer before; None begins now.
            wait_s (float): Let the server wait for a change so long, at most 60 s.
            limit (int): At most this many, 1 to 1000.

        Returns:
            ChangesJson: In order.
        """
        query = {"after": after, "wait": f"{min(wait_s, 60):g}" if wait_s else None, "limit": limit}
        changes: ChangesJson = await self._wire.get("/api/v1/changes", query, wait_s=wait_s)
        return changes

    def _sent(self, receipt: Mapping[str, Any], message: Mapping[str, Any]) -> Sent:
        return Sent(self, receipt["id"], duplicate=receipt["duplicate"] and brought_own_key(message), group=receipt.get("group"))


class Sent:
    """A message that was put.

    Args:
        client (AsyncClient): Who put it.
        id (str): `msg_…`.
        duplicate (bool): True if its `dedup_key` had brought this message before.
        group (str | None): The group it was put into.
    """

    def __init__(self, client: AsyncClient, id: str, *, duplicate: bool = False, group: str | None = None) -> None:
        self._client = client
        self.id = id
        self.duplicate = duplicate
        self.group = group

    def __repr__(self) -> str:
        """Show which.

        Returns:
            str: For people.
        """
        return f"Sent({self.id!r}{', duplicate=True' if self.duplicate else ''})"

    async def result(self, *, timeout_s: float | None = None) -> Any:
        """Wait until it has ended, and give its result.

        Args:
            timeout_s (float | None): Wait no longer than this; None waits as long as it takes.

        Returns:
            Any: What the agent returned.

        Raises:
            PerdureError: What it died of.
            Conflict: It was cancelled.
            TimeoutError: It has not ended yet; it goes on.
        """
        return await self._client.result(self.id, timeout_s=timeout_s)

    async def message(self, *, wait_s: float = 0) -> MessageJson:
        """Look at it.

        Args:
            wait_s (float): Let the server wait for its end so long, at most 60 s.

        Returns:
            MessageJson: As it is then.
        """
        return await self._client.message(self.id, wait_s=wait_s)

    async def signal(self, name: str, data: Any = None, *, key: str | None = None) -> MessageJson:
        """Tell it what its run waits for.

        Args:
            name (str): Which of the things it may wait for.
            data (Any): What the wait returns.
            key (str | None): Makes a repeated signal one.

        Returns:
            MessageJson: As it is now.
        """
        return await self._client.signal(self.id, name, data, key=key)

    async def cancel(self) -> MessageJson:
        """Call it off.

        Returns:
            MessageJson: As it is now.
        """
        return await self._client.cancel(self.id)


def _each(messages: Iterable[NewMessageJson]) -> Iterator[dict[str, Any]]:
    for number, message in enumerate(messages):
        options: dict[str, Any] = dict(message)
        try:
            agent, body = options.pop("agent"), options.pop("body")
        except KeyError as missing:
            raise InvalidInput(f"message {number} has no {missing.args[0]!r}") from None
        yield new_message(agent, body, options)


def _result_of(message: MessageJson) -> Any:
    if message["state"] == "done":
        return message["result"]
    if message["state"] == "cancelled":
        raise Conflict(f"{message['id']} was cancelled", hint="Put it again to have it done.")
    error = message["error"]
    raise error_of_message(error) if error else PerdureError(f"{message['id']} is dead, and nothing says why")
