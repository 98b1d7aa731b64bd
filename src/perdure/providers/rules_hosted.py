"""What the errors of hosted providers mean: OpenAI, DashScope, Anthropic and those who write as they do.

Order within a table matters: exact before general. `rules.py` says how the tables work together.
"""

from __future__ import annotations

from perdure.errors.base import (
    AuthenticationFailed,
    Billed,
    BillingRefused,
    ContentFiltered,
    ContextTooLong,
    InvalidOutput,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    ProviderTimeout,
    RateLimited,
    Scope,
    ServerFailed,
)
from perdure.providers.rule import Rule, Table

__all__ = ["FIT", "HOSTED", "KEY", "PAY", "PULL"]

KEY = "Check the key of this provider."
PAY = "Top up or raise the limit at the provider; waiting messages go on by themselves."
FIT = "Shorten the prompt, or use a model with a larger context."
PULL = "Ask the server for its models (`perdure models`), or load this one."

_OPENAI = (
    # The type stays `insufficient_quota` whatever the code says.
    Rule("openai-key", AuthenticationFailed, ("openai",), status=(401,), code="invalid_api_key", hint=KEY),
    Rule("openai-project-money", BillingRefused, ("openai",), code="project_(spend|usage)_limit_exceeded", scope=Scope.KEY, hint=PAY),
    Rule(
        "openai-money",
        BillingRefused,
        ("openai",),
        code="credit_balance_exhausted|organization_(spend|usage)_limit_exceeded|billing_hard_limit_reached|billing_not_active",
        hint=PAY,
    ),
    Rule("openai-growth", RateLimited, ("openai",), status=(429, 503), code="slow_down", wait_s=30.0, slowly=True),
    Rule("openai-rate", RateLimited, ("openai",), status=(429,), code="rate_limit_exceeded", wait_s=20.0),
    Rule("openai-context", ContextTooLong, ("openai",), status=(400, 413), code="context_length_exceeded", hint=FIT),
    Rule("openai-overloaded", Overloaded, ("openai",), code="server_is_overloaded|service_unavailable_error|engine_overloaded"),
    Rule("openai-policy", ContentFiltered, ("openai",), code="content_policy_violation|invalid_prompt|content_filter"),
    Rule("openai-model", ModelNotFound, ("openai",), code="model_not_found", hint=PULL),
)

_DASHSCOPE = (
    # Two spellings of each, CamelCase from the native API and snake_case from the compatible one.
    Rule(
        "dashscope-key",
        AuthenticationFailed,
        ("dashscope",),
        code="InvalidApiKey|invalid_api_key",
        status=(401,),
        hint="Wrong region or plan? A key works at the endpoint of its own region and plan only.",
    ),
    Rule(
        "dashscope-free-tier",
        BillingRefused,
        ("dashscope",),
        code=r"AllocationQuota\.FreeTierOnly|free_tier_only",
        scope=Scope.MODEL,
        hint=PAY,
    ),
    Rule(
        "dashscope-free-quota",
        BillingRefused,
        ("dashscope",),
        message="free (allocated )?quota (has been )?(exceeded|exhausted)|free tier.{0,80}exhausted",
        scope=Scope.MODEL,
        hint=PAY,
    ),
    Rule("dashscope-arrears", BillingRefused, ("dashscope",), code="Arrearage", hint=PAY),
    Rule(
        "dashscope-bill",
        BillingRefused,
        ("dashscope",),
        code="(Prepaid|Postpaid)BillOverdue|(prepaid|postpaid)_bill_overdue|CommodityNotPurchased|commodity_not_purchased",
        hint=PAY,
    ),
    Rule(
        "dashscope-model-access",
        PermissionRefused,
        ("dashscope",),
        status=(403,),
        code=r"model_access_denied|Model\.AccessDenied",
        scope=Scope.MODEL,
        hint="Let this workspace use the model, in the console.",
    ),
    Rule(
        "dashscope-access",
        PermissionRefused,
        ("dashscope",),
        status=(403,),
        code=r"access_denied|AccessDenied(\.\w+)?",
        hint="Activate the service in the console of this workspace.",
    ),
    Rule(
        "dashscope-burst",
        RateLimited,
        ("dashscope",),
        code=r"Throttling\.BurstRate|LimitBurstRate|limit_burst_rate",
        wait_s=60.0,
        slowly=True,
    ),
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
        sure=True,
        hint="The count of resources (voices, hot words) is used up: delete some.",
    ),
    Rule("dashscope-quota", RateLimited, ("dashscope",), only=True, status=(429,), code="insufficient_quota", wait_s=60.0),
    Rule(
        "dashscope-quota-seen",
        RateLimited,
        ("dashscope",),
        status=(429,),
        code="insufficient_quota",
        message="aliyun|alibabacloud|dashscope",
        wait_s=60.0,
    ),
    Rule("dashscope-content", ContentFiltered, ("dashscope",), code="DataInspectionFailed|data_inspection_failed"),
    Rule("dashscope-context", ContextTooLong, ("dashscope",), message="Range of input length|input length.{0,80}exceed", hint=FIT),
    Rule(
        "dashscope-model",
        ModelNotFound,
        ("dashscope",),
        code=r"ModelNotFound|model_not_found|model_not_supported|ModelNotSupported",
        hint=PULL,
    ),
    Rule(
        "dashscope-thinking",
        InvalidRequest,
        ("dashscope",),
        message=r"enable_?thinking|only support stream|does not support http call|thinking_budget",
        hint="Set or leave out `enable_thinking`/`thinking_budget` for this model.",
    ),
    Rule(
        "dashscope-thinking-code",
        InvalidRequest,
        ("dashscope",),
        code=r"InvalidParameter\.NotSupportEnableThinking",
        hint="This model knows no `enable_thinking`: leave it out.",
    ),
    Rule(
        "dashscope-tool-json",
        ServerFailed,
        ("dashscope",),
        code=r"(InternalError\.Algo|internal_error)(\..*)?",
        message=r"Expecting .{1,40} delimiter",
        billed=Billed.MAYBE,
    ),
    Rule("dashscope-algo-input", InvalidRequest, ("dashscope",), code=r"InternalError\.Algo\.(InvalidParameter|InvalidInput)"),
    Rule("dashscope-timeout", ProviderTimeout, ("dashscope",), code="RequestTimeOut|request_time_?out|ResponseTimeout|response_timeout"),
    Rule("dashscope-capacity", Overloaded, ("dashscope",), code="ModelServingError|ModelUnavailable|model_unavailable|model_serving_error"),
    Rule(
        "dashscope-server",
        ServerFailed,
        ("dashscope",),
        status=(500,),
        code=r"InternalError(\.\w+)*|SystemError|ModelServiceFailed|internal_error(\.\w+)*|system_error|model_service_failed|internal_server_error",
    ),
)

_ANTHROPIC = (
    # A cap that begins anew with the month has no Retry-After: that is how one knows it.
    Rule("anthropic-month", BillingRefused, ("anthropic",), code="enforced_spend_limit_reached", until="month", hint=PAY),
    Rule(
        "anthropic-long-context",
        BillingRefused,
        ("anthropic",),
        message="(extra usage is|usage credits are) required for long context",
        scope=Scope.REQUEST,
        hint="Shorten the prompt, or let the account pay for long ones.",
    ),
    Rule("anthropic-key", AuthenticationFailed, ("anthropic",), status=(401,), code="authentication_error", hint=KEY),
    Rule("anthropic-billing", BillingRefused, ("anthropic",), code="billing_error", hint=PAY),
    Rule(
        "anthropic-credit",
        BillingRefused,
        ("anthropic",),
        status=(400,),
        message="credit balance is too low|usage limits?.{0,80}regain access|spend limit.{0,80}(reached|exceeded)",
        hint=PAY,
    ),
    Rule("anthropic-permission", PermissionRefused, ("anthropic",), status=(403,), code="permission_error"),
    Rule("anthropic-rate", RateLimited, ("anthropic",), status=(429,), code="rate_limit_error", wait_s=30.0),
    Rule("anthropic-overloaded", Overloaded, ("anthropic",), code="overloaded_error"),
    Rule("anthropic-timeout", ProviderTimeout, ("anthropic",), code="timeout_error"),
    Rule("anthropic-large", InvalidRequest, ("anthropic",), code="request_too_large", hint="A request has at most 32 MB: send less."),
    Rule("anthropic-conflict", ServerFailed, ("anthropic",), status=(409,), code="conflict_error", scope=Scope.REQUEST),
    Rule("anthropic-context", ContextTooLong, ("anthropic",), message="prompt is too long|exceeds? (the )?context limit", hint=FIT),
    Rule("anthropic-server", ServerFailed, ("anthropic",), only=True, status=(500,), code="api_error"),
)

_DEEPSEEK = (Rule("deepseek-balance", BillingRefused, ("deepseek",), message="insufficient balance", hint=PAY),)

_GROQ = (
    Rule(
        "groq-tool-use",
        InvalidOutput,
        ("groq",),
        code="tool_use_failed|json_validate_failed",
        retryable=True,
        hint="The model wrote what the server could not read.",
    ),
    Rule("groq-request-tokens", ContextTooLong, ("groq",), status=(413,), sure=True, code="rate_limit_exceeded|tokens", hint=FIT),
)

_OPENROUTER = (
    Rule("openrouter-moderation", ContentFiltered, ("openrouter",), status=(403,), message="moderation|flagged"),
    Rule("openrouter-credits", BillingRefused, ("openrouter",), message="insufficient credits|requires more credits", hint=PAY),
    Rule("openrouter-none", Overloaded, ("openrouter",), status=(502, 503), message="no (available|allowed) provider"),
)

_GEMINI = (
    Rule("gemini-key", AuthenticationFailed, ("gemini",), status=(400, 401), message="API key not valid|API key expired", hint=KEY),
    Rule("gemini-free", BillingRefused, ("gemini",), only=True, code="FAILED_PRECONDITION", message="billing", hint=PAY),
    Rule(
        "gemini-day",
        RateLimited,
        ("gemini",),
        status=(429,),
        code="RESOURCE_EXHAUSTED",
        message="per.?day",
        wait_s=3600.0,
        hint="The day's quota is used up; it begins anew at midnight, Pacific time.",
    ),
    Rule("gemini-rate", RateLimited, ("gemini",), status=(429,), code="RESOURCE_EXHAUSTED", wait_s=30.0),
    Rule("gemini-context", ContextTooLong, ("gemini",), message="token count.{0,80}exceeds the maximum", hint=FIT),
    Rule("gemini-busy", Overloaded, ("gemini",), only=True, code="UNAVAILABLE"),
    Rule("gemini-late", ProviderTimeout, ("gemini",), only=True, code="DEADLINE_EXCEEDED"),
    Rule("gemini-permission", PermissionRefused, ("gemini",), only=True, status=(403,), code="PERMISSION_DENIED"),
    Rule("gemini-model", ModelNotFound, ("gemini",), only=True, status=(404,), code="NOT_FOUND", hint=PULL),
)

HOSTED: tuple[Table, ...] = (
    Table("openai", 2, _OPENAI),
    Table("dashscope", 2, _DASHSCOPE),
    Table("anthropic", 2, _ANTHROPIC),
    Table("deepseek", 1, _DEEPSEEK),
    Table("groq", 1, _GROQ),
    Table("openrouter", 1, _OPENROUTER),
    Table("gemini", 1, _GEMINI),
)
