"""Qwen: at DashScope (Alibaba Cloud Model Studio) or on a server of one's own; its switches, its traps.

What is truly Qwen's and no row of facts can say:

- at DashScope a key belongs to one region *and* one billing plan; the wrong one is a plain 401, so the hint
  names the region of the address;
- some models think always, some never, most as they are told, and each server is told in another way:
  `enable_thinking` and `thinking_budget` are understood here for all of them;
- most thinking models at DashScope refuse to answer otherwise than as a stream: so upstream is always asked
  to stream there, with usage, and assembled here;
- what does not go together (`qwen_rules.py`) is refused by name before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from perdure.errors.base import AuthenticationFailed, ConfigError, ProviderError
from perdure.providers.catalog import QWEN_REGIONS, region_of
from perdure.providers.errors import Whence
from perdure.providers.fitting import check_shape, refused
from perdure.providers.generic import GenericProvider
from perdure.providers.qwen_models import Mind, mind_of
from perdure.providers.qwen_rules import DASHSCOPE, EVERYWHERE, Clash
from perdure.providers.rule import Rule

__all__ = ["QwenProvider", "Region"]

_RULES: dict[str, tuple[Clash, ...]] = {"dashscope": DASHSCOPE}
"""By dialect, where there are more than those that hold everywhere."""
Region = Literal["cn", "intl", "us", "hk"]

_WORKSPACE_REGIONS = {"cn": "cn-beijing", "intl": "ap-southeast-1", "us": "us-east-1", "hk": "cn-hongkong"}


class QwenProvider(GenericProvider):
    """Answers chats by Qwen, at DashScope or on a server of one's own; both doors.

    Args:
        name (str): As in the settings.
        api_key (str | None): Of the same region and plan as the endpoint.
        region (Region): `cn` Beijing, `intl` Singapore, `us` Virginia, `hk` Hong Kong.
        workspace (str | None): The id of a workspace: its own domain is used.
        base_url (str | None): Instead of region and workspace.
        dialect (str): `vllm`, `sglang`, `ollama`, `llamacpp` or `lmstudio` for a server of one's own.
        timeout_s (float): For a whole answer, or for each piece of a stream.
        models (Sequence[str]): What it can answer with, where the settings say so.
        enable_thinking (bool | None): For requests that do not say; None leaves it to the model.
        thinking_budget (int | None): At most so many tokens of thought, for requests that do not say.
        headers (Mapping[str, str] | None): Sent with every request.
        native_tools (bool): False: tool calls are asked for as constrained JSON.
        rules (Sequence[Rule]): The user's own error rules.
        context_tokens (int | None): How much fits into its models; None: asked of servers that would cut without a word.
    """

    def __init__(
        self,
        name: str = "qwen",
        *,
        api_key: str | None = None,
        region: Region = "intl",
        workspace: str | None = None,
        base_url: str | None = None,
        dialect: str = "dashscope",
        timeout_s: float = 600.0,
        models: Sequence[str] = (),
        enable_thinking: bool | None = None,
        thinking_budget: int | None = None,
        headers: Mapping[str, str] | None = None,
        native_tools: bool = True,
        rules: Sequence[Rule] = (),
        context_tokens: int | None = None,
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
            dialect=dialect,
            rules=rules,
            context_tokens=context_tokens,
        )
        self._clashes = _RULES.get(self.dialect or "", EVERYWHERE)
        self._thinking, self._budget = enable_thinking, thinking_budget

    def _short(self, model: str) -> dict[str, Any]:
        return {**super()._short(model), **({"enable_thinking": False} if mind_of(model) is Mind.AS_TOLD else {})}

    def _prepared(self, body: dict[str, Any]) -> dict[str, Any]:
        check_shape(body, self.name)
        wished = self._with_wishes(body)
        for clash in self._clashes:
            if clash.found(wished):
                raise refused(self.name, clash.what, hint=clash.hint)
        return super()._prepared(self._to_its_mind(wished))

    def _with_wishes(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The settings' own wishes give way to whatever they do not go together with."""
        found, mind = dict(asked), mind_of(asked.get("model"))
        if mind is Mind.NEVER or found.get("reasoning_effort") is not None:
            return found
        wish = True if mind is Mind.ALWAYS else self._thinking
        if wish is not None:
            found.setdefault("enable_thinking", wish)
        if self._budget is not None and found.get("enable_thinking"):
            found.setdefault("thinking_budget", self._budget)
        if "enable_thinking" not in asked and mind is not Mind.ALWAYS and _wants_no_thought(found):
            return {**{name: value for name, value in found.items() if name != "thinking_budget"}, "enable_thinking": False}
        return found

    def _to_its_mind(self, body: dict[str, Any]) -> dict[str, Any]:
        """A switch that a model does not know is an error there, even where it asks for what the model does anyway."""
        wish, mind, model = body.get("enable_thinking"), mind_of(body.get("model")), body.get("model")
        if mind is Mind.ALWAYS and wish is False:
            raise refused(self.name, f"{model!r} without thinking", hint="It always thinks: choose another model.")
        if mind is Mind.NEVER and (wish or body.get("thinking_budget") is not None):
            raise refused(self.name, f"{model!r} with thinking", hint="It never thinks: choose another model.")
        if mind is Mind.AS_TOLD or wish is None:
            return body
        return {name: value for name, value in body.items() if name != "enable_thinking"}

    def _begins_in_thought(self, model: str | None) -> bool:
        return self.dialect != "dashscope" and mind_of(model) is Mind.ALWAYS

    def _judged(self, raw: bytes, whence: Whence) -> ProviderError:
        error = super()._judged(raw, whence)
        region = region_of(self.base_url)
        if isinstance(error, AuthenticationFailed) and self.dialect == "dashscope":
            here = f" This address is that of region {region!r}." if region else ""
            error.hint = f"Wrong region or plan?{here} A key works at the endpoint of its own region and plan only."
        return error


def _wants_no_thought(body: Mapping[str, Any]) -> bool:
    """JSON and forced calls go without thinking; one that nobody asked for gives way to them."""
    choice, kind = body.get("tool_choice"), (body.get("response_format") or {}).get("type")
    return kind == "json_object" or choice == "required" or isinstance(choice, Mapping)


def endpoint(region: Region, workspace: str | None = None) -> str:
    """Say where a region answers.

    Args:
        region (Region): Which.
        workspace (str | None): The id of a workspace with a domain of its own.

    Returns:
        str: The base address.

    Raises:
        ConfigError: There is no such region, or the id is none.
    """
    if region not in QWEN_REGIONS:
        raise ConfigError(f"no region {region!r}", hint=f"One of {', '.join(QWEN_REGIONS)}.")
    if workspace is None:
        return QWEN_REGIONS[region]
    if not workspace.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{workspace!r} is no workspace id", hint="As the console shows it; for an address use `base_url`.")
    url = f"https://{workspace}.{_WORKSPACE_REGIONS[region]}.maas.aliyuncs.com/compatible-mode/v1"
    assert urlsplit(url).hostname
    return url
