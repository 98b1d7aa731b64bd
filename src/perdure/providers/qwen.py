"""Qwen at DashScope (Alibaba Cloud Model Studio): its regions, its switches, its traps.

What is truly Qwen's and no row of facts can say:

- a key belongs to one region *and* one billing plan; the wrong one is a plain 401, so the hint asks;
- thinking is `enable_thinking` and `thinking_budget` in the body, and most thinking models refuse to
  answer otherwise than as a stream: so upstream is always asked to stream, with usage, and assembled here;
- `reasoning_effort` must not travel with the other two; with thinking on, no JSON mode and no forced tool.

A self-hosted Qwen is a `GenericProvider` with `dialect="vllm"` or `"sglang"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from perdure.errors.base import ConfigError, InvalidRequest, ModelNotFound, NotYetBuilt
from perdure.providers.catalog import QWEN_REGIONS
from perdure.providers.generic import GenericProvider
from perdure.providers.rule import Rule

__all__ = ["QwenProvider", "Region"]

Region = Literal["cn", "intl", "us", "hk"]

_WORKSPACE_REGIONS = {"cn": "cn-beijing", "intl": "ap-southeast-1", "us": "us-east-1"}


class QwenProvider(GenericProvider):
    """Answers chats by DashScope; both doors.

    Args:
        name (str): As in the settings.
        api_key (str | None): Of the same region and plan as the endpoint.
        region (Region): `cn` Beijing, `intl` Singapore, `us` Virginia, `hk` Hong Kong.
        workspace (str | None): The id of a workspace: its own domain is used.
        base_url (str | None): Instead of region and workspace.
        timeout_s (float): For a whole answer, or for each piece of a stream.
        models (Sequence[str]): What it can answer with, where the settings say so.
        enable_thinking (bool | None): For requests that do not say; None leaves it to the model.
        thinking_budget (int | None): At most so many tokens of thought, for requests that do not say.
        headers (Mapping[str, str] | None): Sent with every request.
        native_tools (bool): False: tool calls are asked for as constrained JSON.
        rules (Sequence[Rule]): The user's own error rules.
    """

    _streams_upstream = True

    def __init__(
        self,
        name: str = "qwen",
        *,
        api_key: str | None = None,
        region: Region = "intl",
        workspace: str | None = None,
        base_url: str | None = None,
        timeout_s: float = 600.0,
        models: Sequence[str] = (),
        enable_thinking: bool | None = None,
        thinking_budget: int | None = None,
        headers: Mapping[str, str] | None = None,
        native_tools: bool = True,
        rules: Sequence[Rule] = (),
    ) -> None:
        if thinking_budget is not None and thinking_budget < 1:
            raise ConfigError(f"`thinking_budget` of {name!r} is {thinking_budget!r}", hint="At least 1; leave it out for no limit.")
        super().__init__(
            name,
            base_url=base_url or endpoint(region, workspace),
            api_key=api_key,
            timeout_s=timeout_s,
            native_tools=native_tools,
            headers=headers,
            models=models,
            dialect="dashscope",
            rules=rules,
        )
        self._thinking, self._budget = enable_thinking, thinking_budget

    async def check(self) -> None:
        """Find out whether it can be reached and takes our key.

        Not every region lists its models; where none are listed, one declared model is asked for one token.

        Raises:
            ProviderError: It cannot be used; a refused key names the region of the address.
        """
        try:
            await super().check()
        except InvalidRequest as error:
            if isinstance(error, ModelNotFound) or not self.declared or error.evidence.status not in {404, 405}:
                raise
            await self.chat(
                {"model": self.declared[0], "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1, "enable_thinking": False},
                timeout_s=20.0,
            )

    def _prepared(self, body: dict[str, Any]) -> dict[str, Any]:
        found = dict(body)
        if found.get("reasoning_effort") is not None:
            return {name: value for name, value in found.items() if name not in {"enable_thinking", "thinking_budget"}}
        if self._thinking is not None:
            found.setdefault("enable_thinking", self._thinking)
        if self._budget is not None and found.get("enable_thinking"):
            found.setdefault("thinking_budget", self._budget)
        if found.get("enable_thinking"):
            self._refuse_clashes(body, found)
        return found

    def _refuse_clashes(self, asked: Mapping[str, Any], found: dict[str, Any]) -> None:
        """Thinking that the caller did not ask for gives way; one that was asked for is an error with a name."""
        wants_json = (found.get("response_format") or {}).get("type") == "json_object"
        choice = found.get("tool_choice")
        forces = choice == "required" or isinstance(choice, Mapping)
        if not (wants_json or forces):
            return
        if "enable_thinking" not in asked:
            found["enable_thinking"] = False
            found.pop("thinking_budget", None)
            return
        what = "`response_format: json_object`" if wants_json else "a forced `tool_choice`"
        raise InvalidRequest(f"Qwen takes no {what} while thinking", hint="Send `enable_thinking: false`.")


def endpoint(region: Region, workspace: str | None = None) -> str:
    """Say where a region answers.

    Args:
        region (Region): Which.
        workspace (str | None): The id of a workspace with a domain of its own.

    Returns:
        str: The base address.

    Raises:
        ConfigError: There is no such region, or the id is none.
        NotYetBuilt: The form of that region's workspace domain is not known.
    """
    if region not in QWEN_REGIONS:
        raise ConfigError(f"no region {region!r}", hint=f"One of {', '.join(QWEN_REGIONS)}.")
    if workspace is None:
        return QWEN_REGIONS[region]
    if region not in _WORKSPACE_REGIONS:
        raise NotYetBuilt(f"workspace domains in region {region!r} are not known yet", hint="Give `base_url`.")
    if not workspace.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{workspace!r} is no workspace id", hint="As the console shows it; for an address use `base_url`.")
    url = f"https://{workspace}.{_WORKSPACE_REGIONS[region]}.maas.aliyuncs.com/compatible-mode/v1"
    assert urlsplit(url).hostname
    return url
