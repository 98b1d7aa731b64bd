"""What the errors of servers mean that people run themselves: llama.cpp, vLLM, SGLang, Ollama, LM Studio."""

from __future__ import annotations

from perdure.errors.base import (
    AuthenticationFailed,
    Billed,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    Scope,
    ServerFailed,
)
from perdure.providers.rule import Rule, Table
from perdure.providers.rules_hosted import FIT, KEY, PULL

__all__ = ["LOCAL"]

_LLAMACPP = (
    Rule("llamacpp-context", ContextTooLong, ("llamacpp",), code="exceed_context_size_error", hint=FIT),
    Rule(
        "llamacpp-context-text",
        ContextTooLong,
        ("llamacpp",),
        message="context size has been exceeded|exceeds? the available context size",
        hint=FIT,
    ),
    Rule("llamacpp-loading", Overloaded, ("llamacpp",), status=(503,), message="loading model", scope=Scope.ENDPOINT, wait_s=1.0),
    Rule("llamacpp-busy", Overloaded, ("llamacpp",), code="unavailable_error"),
    Rule("llamacpp-key", AuthenticationFailed, ("llamacpp",), only=True, status=(401,), code="authentication_error", hint=KEY),
    Rule("llamacpp-cannot", InvalidRequest, ("llamacpp",), code="not_supported_error"),
)

_VLLM = (
    Rule(
        "vllm-context",
        ContextTooLong,
        ("vllm",),
        status=(400, 413, 422, 500),
        message=r"maximum context length|max_model_len|longer than the maximum model length|context length is only",
        hint=FIT,
    ),
    Rule("vllm-model", ModelNotFound, ("vllm",), status=(404,), message=r"the model .{0,200} does not exist", hint=PULL),
    Rule("vllm-queue", Overloaded, ("vllm",), status=(429, 503), message=r"queue.{0,40}full|too many (pending|waiting|queued)", wait_s=2.0),
)

_SGLANG = (
    Rule(
        "sglang-context",
        ContextTooLong,
        ("sglang",),
        message=r"longer than the model's context length|exceeds the (model's )?maximum (allowed|context) length",
        hint=FIT,
    ),
    Rule("sglang-queue", Overloaded, ("sglang",), status=(429, 503), message=r"queue is full|request queue", wait_s=2.0),
    Rule("sglang-server", ServerFailed, ("sglang",), status=(500,), code="InternalServerError"),
)

_OLLAMA = (
    Rule("ollama-busy", Overloaded, ("ollama",), message=r"server busy|maximum pending requests", wait_s=2.0),
    Rule(
        "ollama-model",
        ModelNotFound,
        ("ollama",),
        message="try pulling it first",
        hint="`ollama pull` the model on that server.",
    ),
    Rule("ollama-cancelled", ServerFailed, ("ollama",), status=(499,), billed=Billed.MAYBE),
    Rule("ollama-server", ServerFailed, ("ollama",), status=(500,), code="api_error"),
)

_LMSTUDIO = (
    Rule("lmstudio-context", ContextTooLong, ("lmstudio",), message="greater than the context length|context overflow", hint=FIT),
    Rule(
        "lmstudio-model",
        ModelNotFound,
        ("lmstudio",),
        message="no models? (is )?loaded",
        hint="Load the model in LM Studio, or switch loading on demand on.",
    ),
)

LOCAL: tuple[Table, ...] = (
    Table("llamacpp", 2, _LLAMACPP),
    Table("vllm", 2, _VLLM),
    Table("sglang", 2, _SGLANG),
    Table("ollama", 2, _OLLAMA),
    Table("lmstudio", 1, _LMSTUDIO),
)
