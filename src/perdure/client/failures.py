"""What an operator asks about errors: patterns among them, and why a message died."""

from __future__ import annotations

from perdure.client.answers import MessagesPage, PatternJson, ReportJson
from perdure.client.transport import Transport, segment

__all__ = ["Failures"]


class Failures:
    """The part of `AsyncClient` for errors."""

    _wire: Transport

    async def errors(
        self,
        *,
        code: str | None = None,
        agent: str | None = None,
        provider: str | None = None,
        trend: str | None = None,
        spikes: bool = False,
        unmapped: bool = False,
        limit: int = 50,
    ) -> list[PatternJson]:
        """List patterns among errors, those that came last first.

        Args:
            code (str | None): Only with this code.
            agent (str | None): Only from runs of this agent.
            provider (str | None): Only from this provider.
            trend (str | None): Only those that are `new`, `rising`, `steady`, `falling` or `quiet`.
            spikes (bool): Only those with a spike.
            unmapped (bool): Only answers of providers that no rule knew.
            limit (int): At most this many, 1 to 1000.

        Returns:
            list[PatternJson]: Each with counts, trend and what it comes together with.
        """
        query: dict[str, str | int | None] = {"code": code, "agent": agent, "provider": provider, "trend": trend, "limit": limit}
        query |= {name: "true" for name, asked in (("spikes", spikes), ("unmapped", unmapped)) if asked}
        patterns: list[PatternJson] = (await self._wire.get("/api/v1/errors", query))["data"]
        return patterns

    async def error_pattern(self, pattern: str) -> PatternJson:
        """Look at one pattern.

        Args:
            pattern (str): `pat_…`.

        Returns:
            PatternJson: As it is now.
        """
        found: PatternJson = await self._wire.get(f"/api/v1/errors/{segment(pattern)}")
        return found

    async def pattern_dead_letters(self, pattern: str, *, limit: int = 50, cursor: str | None = None) -> MessagesPage:
        """List the dead letters that died of a pattern, those put last first.

        Args:
            pattern (str): `pat_…`.
            limit (int): At most this many, 1 to 1000.
            cursor (str | None): `next_cursor` of the page before.

        Returns:
            MessagesPage: Some of them; it may be short where many died of something else.
        """
        page: MessagesPage = await self._wire.get(f"/api/v1/errors/{segment(pattern)}/dead-letters", {"limit": limit, "cursor": cursor})
        return page

    async def error_report(self, id: str) -> ReportJson:
        """Say all about why a message died.

        Args:
            id (str): `msg_…`, a dead letter.

        Returns:
            ReportJson: Causes, every attempt, its steps, its pattern, and what such an error leads to.
        """
        report: ReportJson = await self._wire.get(f"/api/v1/dead-letters/{segment(id)}/report")
        return report
