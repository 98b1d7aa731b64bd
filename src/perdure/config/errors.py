"""The settings of errors: rules of one's own, and who is told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from perdure.config.expressions import SafeExpression
from perdure.config.part import Part

__all__ = ["Becomes", "ErrorRuleSettings", "ErrorSettings", "SentrySettings", "WebhookSettings"]

Becomes = Literal[
    "auth",
    "permission",
    "billing",
    "rate-limit",
    "overloaded",
    "server",
    "timeout",
    "network",
    "empty-answer",
    "context-length",
    "content-filter",
    "refusal",
    "invalid-output",
    "invalid-request",
    "model-not-found",
]
"""What an answer of a provider can be judged to be: a category of `errors/base.py`."""


class ErrorRuleSettings(Part):
    """A rule of one's own for what a provider answers; tried before all others, in the order of the file."""

    becomes: Becomes = Field(description="What such an answer is; that decides what happens to the message.")
    provider: str | None = Field(default=None, description="Only at this provider of the settings.")
    dialect: str | None = Field(default=None, description="Only where this dialect is spoken, such as `vllm`.")
    status: list[int] = Field(default=[], description="With one of these statuses.")
    code: str | None = Field(default=None, description="Whose `code` or `type` fits this expression as a whole, in upper or lower case.")
    message: str | None = Field(default=None, description="In whose text this expression is found, in upper or lower case.")
    retry_after_s: float | None = Field(default=None, ge=0, description="When to ask again, if the provider does not say.")
    until: Literal["month"] | None = Field(default=None, description="`month`: not before the first of the next month, if it does not say.")
    scope: Literal["request", "model", "key", "account", "endpoint"] | None = Field(default=None, description="What has to pause.")
    billed: Literal["no", "maybe", "partial", "yes"] | None = Field(default=None, description="Whether the call may have cost something.")
    retryable: bool | None = Field(default=None, description="Whether another attempt may help.")
    hint: str | None = Field(default=None, description="What to tell whoever reads of it.")

    @field_validator("code", "message")
    @classmethod
    def _expression(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            SafeExpression(pattern)
        return pattern

    @field_validator("status")
    @classmethod
    def _statuses(cls, status: list[int]) -> list[int]:
        if not all(100 <= one <= 599 for one in status):
            raise ValueError("a status is a number from 100 to 599")
        return status

    @model_validator(mode="after")
    def _says_something(self) -> ErrorRuleSettings:
        if not self.status and self.code is None and self.message is None:
            raise ValueError("a rule needs a `status`, a `code` or a `message`")
        return self


class WebhookSettings(Part):
    """Who is told of each error, by a signed request (Standard Webhooks)."""

    url: str = Field(description="`https://…`, or a reference such as `env:NAME`; inside one's own network only with `inside`.")
    secret: SecretStr = Field(description="A reference such as `env:NAME`; `whsec_…`, or any text of 16 characters or more.")
    inside: bool = Field(default=False, description="Allow an address of one's own network, and one without TLS.")


class SentrySettings(Part):
    """Sentry, or whoever takes its DSN; needs the extra `sentry`."""

    dsn: SecretStr = Field(description="A reference such as `env:SENTRY_DSN`.")
    environment: str | None = Field(default=None, description="What it calls this installation.")


class ErrorSettings(Part):
    """What errors mean, and who is told of them."""

    rules: dict[str, ErrorRuleSettings] = Field(
        default={}, description="Rules of your own: `[errors.rules.NAME]`. `perdure errors explain` tries them out."
    )
    webhook: WebhookSettings | None = Field(default=None, description="Tell an address of each error: `[errors.webhook]`.")
    sentry: SentrySettings | None = Field(default=None, description="Tell Sentry: `[errors.sentry]`.")
    otel: bool = Field(default=False, description="Tell OpenTelemetry: a counter, and an event on the span; needs the extra `otel`.")
