"""What providers' errors mean, as data: the first rule that fits decides.

A rule fits by status, by code (the error's `code` or `type`) and by message. Rules of a dialect are tried
first where that dialect is spoken; elsewhere they are tried too, since a gateway passes codes through -
but not those marked `only`, whose code means something else at others (`insufficient_quota` is an empty
purse at OpenAI and a busy minute at DashScope). Order within a dialect matters: exact before general.
"""

from __future__ import annotations

from perdure.errors.base import (
    AuthenticationFailed,
    Billed,
    BillingRefused,
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    Scope,
    ServerFailed,
)
from perdure.providers.rule import Rule

__all__ = ["BY_STATUS", "RULES", "VERSION"]

VERSION = 1
"""Goes up when a rule changes what becomes of a message."""


_KEY = "Check the key of this provider."
_PAY = "Top up or raise the limit at the provider; waiting messages go on by themselves."
_FIT = "Shorten the prompt, or use a model with a larger context."
_PULL = "Ask the server for its models (`perdure models`), or load this one."

RULES: tuple[Rule, ...] = (
    # OpenAI: the type stays `insufficient_quota` whatever the code says.
    Rule("openai-key", AuthenticationFailed, ("openai",), status=(401,), code="invalid_api_key", hint=_KEY),
    Rule(
        "openai-money",
        BillingRefused,
        ("openai",),
        status=(402, 403, 429),
        code="credit_balance_exhausted|(organization|project)_(spend|usage)_limit_exceeded|billing_hard_limit_reached|billing_not_active",
        hint=_PAY,
    ),
    Rule("openai-growth", RateLimited, ("openai",), status=(429, 503), code="slow_down", wait_s=30.0, slowly=True),
    Rule("openai-rate", RateLimited, ("openai",), status=(429,), code="rate_limit_exceeded", wait_s=20.0),
    Rule("openai-context", ContextTooLong, ("openai",), status=(400, 413), code="context_length_exceeded", hint=_FIT),
    Rule("openai-overloaded", Overloaded, ("openai",), code="server_is_overloaded|service_unavailable_error|engine_overloaded"),
    Rule("openai-policy", ContentFiltered, ("openai",), code="content_policy_violation|invalid_prompt|content_filter"),
    Rule("openai-model", ModelNotFound, ("openai",), code="model_not_found", hint=_PULL),
    # DashScope: two spellings of each, CamelCase from the native API and snake_case from the compatible one.
    Rule(
        "dashscope-key",
        AuthenticationFailed,
        ("dashscope",),
        code="InvalidApiKey|invalid_api_key",
        status=(401,),
        hint="Wrong region or plan? A key works at the endpoint of its own region and plan only.",
    ),
    Rule("dashscope-free-tier", BillingRefused, ("dashscope",), code=r"AllocationQuota\.FreeTierOnly|free_tier_only", hint=_PAY),
    Rule(
        "dashscope-free-quota",
        BillingRefused,
        ("dashscope",),
        message="free (allocated )?quota (exceeded|exhausted)|free tier.*exhausted",
        hint=_PAY,
    ),
    Rule("dashscope-arrears", BillingRefused, ("dashscope",), code="Arrearage", hint=_PAY),
    Rule("dashscope-bill", BillingRefused, ("dashscope",), code="(Prepaid|Postpaid)BillOverdue|CommodityNotPurchased", hint=_PAY),
    Rule(
        "dashscope-access",
        PermissionRefused,
        ("dashscope",),
        status=(403,),
        code=r"access_denied|(Model\.)?AccessDenied(\.\w+)?",
        hint="Activate the model in the console of this workspace.",
    ),
    Rule("dashscope-burst", RateLimited, ("dashscope",), code=r"Throttling\.BurstRate|limit_burst_rate", wait_s=60.0, slowly=True),
    Rule("dashscope-requests", RateLimited, ("dashscope",), code=r"Throttling(\.RateQuota)?|LimitRequests|limit_requests", wait_s=60.0),
    Rule(
        "dashscope-tokens",
        RateLimited,
        ("dashscope",),
        status=(429,),
        code=r"Throttling\.AllocationQuota|LimitTokens|limit_tokens",
        wait_s=60.0,
    ),
    Rule(
        "dashscope-resources",
        BillingRefused,
        ("dashscope",),
        status=(400,),
        code=r"Throttling\.AllocationQuota",
        hint="The count of resources (voices, hot words) is used up: delete some.",
    ),
    Rule("dashscope-quota", RateLimited, ("dashscope",), only=True, status=(429,), code="insufficient_quota", wait_s=60.0),
    Rule(
        "dashscope-quota-seen",
        RateLimited,
        (),
        status=(429,),
        code="insufficient_quota",
        message="aliyun|alibabacloud|dashscope",
        wait_s=60.0,
    ),
    Rule("dashscope-content", ContentFiltered, ("dashscope",), code="DataInspectionFailed|data_inspection_failed"),
    Rule("dashscope-context", ContextTooLong, ("dashscope",), message=r"Range of input length should be|input length.*exceed", hint=_FIT),
    Rule(
        "dashscope-model",
        ModelNotFound,
        ("dashscope",),
        code=r"ModelNotFound|model_not_found|model_not_supported|ModelNotSupported",
        hint=_PULL,
    ),
    Rule(
        "dashscope-thinking",
        InvalidRequest,
        ("dashscope",),
        message=r"enable_thinking|only support stream|does not support http call|thinking_budget",
        hint="Set or leave out `enable_thinking`/`thinking_budget` for this model.",
    ),
    Rule(
        "dashscope-tool-json",
        ServerFailed,
        ("dashscope",),
        code=r"(InternalError\.Algo|internal_error)(\..*)?",
        message=r"Expecting .* delimiter",
    ),
    Rule("dashscope-algo-input", InvalidRequest, ("dashscope",), code=r"InternalError\.Algo(\.InvalidParameter)", retryable=False),
    Rule("dashscope-timeout", ProviderTimeout, ("dashscope",), code="RequestTimeOut|request_timeout|ResponseTimeout"),
    Rule("dashscope-capacity", Overloaded, ("dashscope",), code="ModelServingError|ModelUnavailable|model_unavailable|model_serving_error"),
    Rule(
        "dashscope-server",
        ServerFailed,
        ("dashscope",),
        status=(500,),
        code=r"InternalError(\.\w+)*|SystemError|ModelServiceFailed|internal_error|system_error|internal_server_error",
    ),
    # Anthropic, as met behind gateways.
    Rule("anthropic-month", BillingRefused, ("anthropic",), code="enforced_spend_limit_reached", hint=_PAY),
    Rule("anthropic-key", AuthenticationFailed, ("anthropic",), status=(401,), code="authentication_error", hint=_KEY),
    Rule("anthropic-billing", BillingRefused, ("anthropic",), code="billing_error", hint=_PAY),
    Rule(
        "anthropic-credit",
        BillingRefused,
        ("anthropic",),
        status=(400,),
        message="credit balance is too low|usage limits?.*regain access",
        hint=_PAY,
    ),
    Rule("anthropic-permission", PermissionRefused, ("anthropic",), status=(403,), code="permission_error"),
    Rule("anthropic-rate", RateLimited, ("anthropic",), status=(429,), code="rate_limit_error", wait_s=30.0),
    Rule("anthropic-overloaded", Overloaded, ("anthropic",), code="overloaded_error"),
    Rule("anthropic-timeout", ProviderTimeout, ("anthropic",), code="timeout_error"),
    Rule("anthropic-large", InvalidRequest, ("anthropic",), code="request_too_large"),
    Rule("anthropic-conflict", ServerFailed, ("anthropic",), only=True, status=(409,), code="conflict_error"),
    Rule("anthropic-context", ContextTooLong, ("anthropic",), message="prompt is too long|exceeds? (the )?context limit", hint=_FIT),
    # Servers of one's own.
    Rule("llamacpp-context", ContextTooLong, ("llamacpp",), code="exceed_context_size_error", hint=_FIT),
    Rule(
        "llamacpp-context-text",
        ContextTooLong,
        ("llamacpp",),
        message="context size has been exceeded|exceeds the available context size",
        hint=_FIT,
    ),
    Rule("llamacpp-loading", Overloaded, ("llamacpp",), status=(503,), message="loading model", scope=Scope.ENDPOINT, wait_s=1.0),
    Rule("llamacpp-busy", Overloaded, ("llamacpp",), code="unavailable_error"),
    Rule("llamacpp-key", AuthenticationFailed, ("llamacpp",), only=True, status=(401,), code="authentication_error", hint=_KEY),
    Rule("llamacpp-cannot", InvalidRequest, ("llamacpp",), code="not_supported_error"),
    Rule(
        "vllm-context",
        ContextTooLong,
        ("vllm",),
        status=(400, 413, 422, 500),
        message=r"maximum context length|max_model_len|longer than the maximum model length|decoder prompt.*(is )?longer than",
        hint=_FIT,
    ),
    Rule("vllm-model", ModelNotFound, ("vllm",), status=(404,), message=r"the model .* does not exist", hint=_PULL),
    Rule("vllm-queue", Overloaded, ("vllm",), status=(429, 503), message=r"queue.*full|too many (pending|waiting)", wait_s=2.0),
    Rule(
        "sglang-context",
        ContextTooLong,
        ("sglang",),
        message=r"longer than the model's context length|exceeds the maximum allowed length",
        hint=_FIT,
    ),
    Rule("sglang-queue", Overloaded, ("sglang",), status=(429, 503), message=r"queue is full|request queue", wait_s=2.0),
    Rule("sglang-server", ServerFailed, ("sglang",), status=(500,), code="InternalServerError"),
    Rule("ollama-busy", Overloaded, ("ollama",), status=(503,), message=r"server busy|maximum pending requests", wait_s=2.0),
    Rule(
        "ollama-model",
        ModelNotFound,
        ("ollama",),
        status=(404,),
        message="try pulling it first",
        hint="`ollama pull` the model on that server.",
    ),
    Rule("ollama-cancelled", ServerFailed, ("ollama",), status=(499,), billed=Billed.MAYBE),
    Rule("ollama-server", ServerFailed, ("ollama",), status=(500,), code="api_error"),
    # What a good many say in the same words.
    Rule("quota", BillingRefused, (), status=(402, 403, 429), code="insufficient_quota|insufficient_balance|quota_exceeded", hint=_PAY),
    Rule("content", ContentFiltered, (), status=(400, 403), code=r"content_filter|ResponsibleAIPolicyViolation|moderation.*"),
    Rule("refusal", Refused, (), code="refusal"),
    Rule(
        "context",
        ContextTooLong,
        (),
        status=(400, 413),
        message=r"context (length|window|size).*(exceed|too|larger|longer|maximum)|maximum context|prompt is too long",
        hint=_FIT,
    ),
    Rule(
        "model",
        ModelNotFound,
        (),
        status=(400, 404),
        message=r"\bmodel\b.*(not found|does not exist|not exist|unknown)|(unknown|no such) model",
        hint=_PULL,
    ),
    Rule("server", ServerFailed, (), status=(500,), code="server_error|internal_error|internal_server_error"),
    Rule(
        "request",
        InvalidRequest,
        (),
        status=(400, 422),
        code="invalid_request_error|invalid_parameter_error|InvalidParameter(\\..*)?|bad_request|BadRequestError",
    ),
)

BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: BillingRefused,
    403: PermissionRefused,
    408: ProviderTimeout,
    409: ServerFailed,
    425: ServerFailed,
    429: RateLimited,
    499: ServerFailed,
    501: InvalidRequest,
    503: Overloaded,
    504: ProviderTimeout,
    529: Overloaded,
}
"""For what no rule fits; other 4xx are the request's fault, other 5xx the server's."""
