"""What an operator does to dead letters, one by one or many at once, and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from perdure.client.answers import BiteJson, DeedsPage, EditedJson, MessageJson
from perdure.client.new import as_json
from perdure.client.transport import Transport, segment

__all__ = ["Letters"]


class Letters:
    """The part of `AsyncClient` for what has gone wrong."""

    _wire: Transport

    async def edit_dead_letter(self, id: str, changes: Mapping[str, Any]) -> MessageJson:
        """Change a dead letter; what it was before is kept.

        Args:
            id (str): `msg_…`.
            changes (Mapping[str, Any]): Any of `body`, `priority`, `attempts`, `timeout_s`, `deadline`, `max_wait_s`,
                `version`, `metadata`.

        Returns:
            MessageJson: As it is now, still dead.
        """
        path = f"/api/v1/dead-letters/{segment(id)}"
        message: MessageJson = await self._wire.ask("PATCH", path, body=as_json(dict(changes), "the changes"))
        return message

    async def edits(self, id: str) -> list[EditedJson]:
        """List how a message was edited.

        Args:
            id (str): `msg_…`.

        Returns:
            list[EditedJson]: Oldest first.
        """
        edits: list[EditedJson] = (await self._wire.get(f"/api/v1/dead-letters/{segment(id)}/edits"))["data"]
        return edits

    async def revive(self, id: str, changes: Mapping[str, Any] | None = None) -> MessageJson:
        """Give a dead letter another life, its journal kept.

        Args:
            id (str): `msg_…`.
            changes (Mapping[str, Any] | None): What is to be different about it first, as for `edit_dead_letter`.

        Returns:
            MessageJson: As it is now.
        """
        body = None if changes is None else as_json(dict(changes), "the changes")
        message: MessageJson = await self._wire.ask("POST", f"/api/v1/dead-letters/{segment(id)}/revive", body=body)
        return message

    async def discard(self, id: str) -> None:
        """Forget a dead letter with its journal.

        Args:
            id (str): `msg_…`.
        """
        await self._wire.ask("DELETE", f"/api/v1/dead-letters/{segment(id)}")

    async def revive_many(
        self,
        filter: Mapping[str, Any],
        *,
        per_s: float | None = None,
        dry_run: bool = False,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> BiteJson:
        """Give the dead letters that fit another life; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): Any of `tenant`, `queue`, `agent`, `code`, `died_after`, `died_before`, `text`, `pattern`.
            per_s (float | None): So many become due in a second; None is all at once.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        said = {"filter": _plain(filter), "per_s": per_s, "dry_run": dry_run, "limit": limit, "cursor": cursor}
        bite: BiteJson = await self._wire.ask("POST", "/api/v1/dead-letters/revive", body=_said(said), repeatable=dry_run)
        return bite

    async def discard_many(
        self,
        filter: Mapping[str, Any],
        *,
        per_s: float | None = None,
        dry_run: bool = False,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> BiteJson:
        """Forget the dead letters that fit; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): As for `revive_many`.
            per_s (float | None): So many in a second, over all calls of one cursor; None is as fast as it goes.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        said = {"filter": _plain(filter), "per_s": per_s, "dry_run": dry_run, "limit": limit, "cursor": cursor}
        bite: BiteJson = await self._wire.ask("POST", "/api/v1/dead-letters/discard", body=_said(said), repeatable=dry_run)
        return bite

    async def edit_many(
        self,
        filter: Mapping[str, Any],
        changes: Mapping[str, Any],
        *,
        per_s: float | None = None,
        dry_run: bool = False,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> BiteJson:
        """Change the dead letters that fit; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): As for `revive_many`.
            changes (Mapping[str, Any]): As for `edit_dead_letter`, with `body_patch` (merged into each body) for `body`.
            per_s (float | None): As for `discard_many`.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        said = {"filter": _plain(filter), "per_s": per_s, "dry_run": dry_run, "limit": limit, "cursor": cursor}
        body = as_json({name: value for name, value in said.items() if value is not None} | dict(changes), "the changes")
        bite: BiteJson = await self._wire.ask("POST", "/api/v1/dead-letters/edit", body=body, repeatable=dry_run)
        return bite

    async def cancel_many(
        self, filter: Mapping[str, Any], *, dry_run: bool = False, limit: int = 1000, cursor: str | None = None
    ) -> BiteJson:
        """Call off the messages that fit and do not run; go on with `next_cursor` until it is None.

        Args:
            filter (Mapping[str, Any]): `state` (ready, later, held or waiting), and perhaps `queue` and `agent`.
            dry_run (bool): Only count them.
            limit (int): At most so many now.
            cursor (str | None): `next_cursor` of the answer before.

        Returns:
            BiteJson: What was done.
        """
        said = {"filter": _plain(filter), "dry_run": dry_run, "limit": limit, "cursor": cursor}
        bite: BiteJson = await self._wire.ask("POST", "/api/v1/messages/cancel", body=_said(said), repeatable=dry_run)
        return bite

    async def audit(
        self,
        *,
        who: str | None = None,
        action: str | None = None,
        target: str | None = None,
        after: datetime | str | None = None,
        before: datetime | str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeedsPage:
        """List who did what, newest first.

        Args:
            who (str | None): A key's id.
            action (str | None): Such as `dead-letter.revive`.
            target (str | None): A message's id, the name of a queue or schedule, the id of a key.
            after (datetime | str | None): Not before this moment.
            before (datetime | str | None): Only before this moment.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            DeedsPage: Some of it.
        """
        moments = _plain({"after": after, "before": before})
        page: DeedsPage = await self._wire.get(
            "/api/v1/audit", {"who": who, "action": action, "target": target, "limit": limit, "cursor": cursor, **moments}
        )
        return page


def _plain(said: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}
    return {name: value for name, value in plain.items() if value is not None}


def _said(said: Mapping[str, Any]) -> bytes:
    return as_json({name: value for name, value in said.items() if value is not None}, "the filter")
