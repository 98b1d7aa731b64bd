"""All settings, as one typed tree. Only `app.py` hands parts of it on.

Sources, weakest first: the defaults here, `perdure.toml`, `perdure.<env>.toml`, environment variables
(`PERDURE_WORKER__SLOTS=20`; `PERDURE_DATABASE_URL` and `PERDURE_DATA` are the aliases), the command line. Unknown
names are errors with a suggestion (`manager.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, SecretStr, field_validator, model_validator

from perdure.config.database import DatabaseUrl
from perdure.config.errors import ErrorSettings
from perdure.config.kinds import checked_kind
from perdure.config.part import Part

__all__ = [
    "AgentSettings",
    "AppSettings",
    "BudgetSettings",
    "DeploymentSettings",
    "ErrorSettings",
    "HealthSettings",
    "LaneSettings",
    "ModelAlias",
    "PriceSettings",
    "ProviderSettings",
    "QueueSettings",
    "RetentionSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "WorkerSettings",
]


_DAY_S = 24 * 3600.0


Ability: TypeAlias = Literal["skip_locked", "multi_cte", "advisory", "listen", "xids", "activity", "sessions"]
"""Of a database that speaks PostgreSQL's language: `stores/postgres/flags.py` says what each is."""


class AppSettings(Part):
    """Where the user's agents are."""

    module: str | None = Field(default=None, description="`my_module:app`, the same as `--app`.")


class StoreSettings(Part):
    """Where things are kept."""

    url: DatabaseUrl | None = Field(
        default=None,
        description="`postgresql://…`, `sqlite:///path` or a reference such as `env:NAME`; None is `perdure.db` in the data folder."
        " `PERDURE_DATABASE_URL`.",
    )
    synchronous: Literal["full", "normal"] = Field(
        default="full", description="`full` survives a power cut; `normal` may lose the last moments."
    )
    wait_s: float = Field(
        default=5.0, gt=0, le=60, description="How long a call waits for a database that is locked, restarting or out of reach."
    )
    schema_name: str = Field(
        default="perdure", pattern=r"^[a-z_][a-z0-9_]{0,39}$", description="PostgreSQL: the schema that holds the tables."
    )
    pool: int = Field(default=12, ge=2, le=200, description="PostgreSQL: at most so many connections of one process.")
    without: list[Ability] = Field(
        default=[], description="PostgreSQL: what the database, or a pooler before it, cannot do; `sessions` behind a transaction pooler."
    )


class ServerSettings(Part):
    """The doors."""

    host: str = Field(default="127.0.0.1", description="Where to listen. TLS is for a proxy in front.")
    port: int = Field(default=8321, ge=0, le=65535, description="0 takes any free one.")
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="Larger requests get 413.")
    max_file_bytes: int = Field(default=200 * 1024 * 1024, ge=1024, description="Larger files get 413 at `/v1/files`.")
    max_depth: int = Field(default=64, ge=4, le=500, description="Deeper JSON gets 400.")
    max_batch: int = Field(default=1000, ge=1, le=10_000, description="Messages in one put.")
    allow_unregistered: bool = Field(default=False, description="Accept messages for agents no worker has registered.")


class WorkerSettings(Part):
    """Who does the work."""

    processes: int = Field(default=1, ge=0, le=64, description="Worker processes of `perdure up`.")
    slots: int = Field(default=20, ge=1, le=1000, description="Messages one process works on at once.")
    threads: int = Field(default=8, ge=1, le=200, description="Sync agents one process runs at once.")
    grace_s: float = Field(default=10.0, ge=0, description="What running messages get at an orderly stop.")
    park_after_s: float = Field(default=5.0, ge=0, description="Longer waits hold no worker.")
    dead_after_s: float = Field(default=10.0, ge=3, description="Silence after which a worker counts as dead.")
    queues: list[str] | None = Field(default=None, description="Serve these queues only.")
    circuit_failures: int = Field(default=5, ge=1, le=10_000, description="So many calls in a row without an answer close their lane.")
    circuit_rest_s: float = Field(default=5.0, gt=0, le=3600, description="For how long at first; then one call goes through to see.")
    circuit_longest_rest_s: float = Field(default=60.0, gt=0, le=86_400, description="For how long at most, while such calls fail too.")


class QueueSettings(Part):
    """What a message gets when it does not say."""

    attempts: int = Field(default=5, ge=1, le=100, description="How often a message is tried, unless it or its agent says.")
    timeout_s: float | None = Field(default=None, gt=0, description="How long one attempt may take.")
    max_wait_s: float = Field(default=7 * 24 * 3600.0, gt=0, description="How long a message may wait without a stated end.")
    backoff_base_s: float = Field(
        default=1.0, gt=0, description="The wait before the second attempt is at most this; it doubles each time."
    )
    backoff_cap_s: float = Field(default=300.0, gt=0, description="And no longer than this.")


Kept: TypeAlias = Literal["forever"] | Annotated[float, Field(gt=0)]


AtOnce: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000)]


class LimitSettings(Part):
    """How many may be ready or running at once; set in the store at each start, where `perdure limits` shows and changes them."""

    queue: dict[str, AtOnce] = Field(default={}, description="Name to number, such as `mail = 20`.")
    agent: dict[str, AtOnce] = Field(default={}, description="The same for agents.")
    tenant: dict[str, AtOnce] = Field(default={}, description="The same for tenants.")
    key: dict[str, AtOnce] = Field(default={}, description="Queue to number: so many of each distinct `key` in it.")


class RetentionSettings(Part):
    """How long what has ended is kept, in seconds, or `forever`."""

    done_s: Kept = Field(default=30 * _DAY_S, description="Done messages with their results.")
    cancelled_s: Kept = Field(default=30 * _DAY_S, description="Cancelled messages.")
    dead_s: Kept = Field(default="forever", description="Dead letters, unless somebody discards them before.")
    journals_s: Kept = Field(default=7 * _DAY_S, description="The steps of done and cancelled messages.")
    audit_s: Kept = Field(default=365 * _DAY_S, description="Rows of the audit log.")
    changes_s: Literal["forever"] | Annotated[float, Field(ge=60)] = Field(
        default=3600.0, description="What happened to messages, for whoever follows it and was away for a while; at least a minute."
    )
    workers_s: Kept = Field(default=_DAY_S, description="Workers that have ended.")
    calls_s: Kept = Field(default=_DAY_S, description="Answers of `/v1` to calls with an `Idempotency-Key`; a later repeat is a new call.")
    responses_s: Kept = Field(default=30 * _DAY_S, description="Responses of `/v1/responses`, from which a conversation can go on.")
    batches_s: Kept = Field(default=30 * _DAY_S, description="Batches of `/v1/batches` that have ended; not their files.")


class HealthSettings(Part):
    """Looks at providers on a schedule: one for all workers together."""

    every_s: Literal["off"] | Annotated[float, Field(ge=10, le=86_400)] = Field(
        default=300.0, description="How far looks at a provider lie apart; `off` for none."
    )
    timeout_s: float = Field(default=20.0, ge=1, le=300, description="How long one may take.")
    paid: bool = Field(
        default=False,
        description="Whether one token may be asked for where a list of models does not prove the key. Else looks cost nothing.",
    )


class LaneSettings(Part):
    """What a model of a provider may take, for all processes and machines together; none is no limit."""

    rpm: float | None = Field(default=None, gt=0, description="Requests a minute.")
    tpm: float | None = Field(default=None, gt=0, description="Tokens a minute, of prompts and answers.")
    rps: float | None = Field(default=None, gt=0, description="Requests a second; else `rpm` is spread evenly.")
    at_once: int | None = Field(default=None, ge=1, description="Calls under way at the same time.")
    usd_per_day: float | None = Field(default=None, gt=0, description="Money from midnight to midnight, UTC.")
    usd_per_month: float | None = Field(default=None, gt=0, description="Money from the first of a month to the next, UTC.")
    unsaid_tokens: int = Field(default=1000, ge=1, description="Reserved for an answer whose request has no `max_tokens`.")
    gentle_s: float = Field(default=10.0, ge=0, le=3600, description="Until full speed after a pause, a refusal or an outage; 0: at once.")
    minute_s: float = Field(default=60.0, ge=2, le=86_400, description="What `rpm` and `tpm` are counted over.")


class ProviderSettings(Part):
    """One endpoint that answers prompts."""

    kind: str = Field(
        default="generic",
        description="`generic`: whatever speaks OpenAI's chat completions; `qwen`; `local`: the embedded model; `anthropic`, `bedrock`,"
        " `vertex`: their own wires (the extra `others`); a kind that an installed package brings (`perdure providers kinds`); or"
        " `module:Name` of your own.",
    )
    base_url: str | None = Field(
        default=None,
        description="Where it answers, such as `http://127.0.0.1:8000/v1`; not needed where `dialect` or the provider's name says it.",
    )
    dialect: str | None = Field(
        default=None,
        description="In whose ways it answers: `vllm`, `sglang`, `ollama`, `llamacpp`, `lmstudio`, `litellm` or a hosted one by name;"
        " none: by the address.",
    )
    api_key: SecretStr | None = Field(default=None, description="A reference such as `env:DASHSCOPE_API_KEY` or `file:/run/secrets/key`.")
    accounts: dict[str, SecretStr] = Field(
        default={}, description="More keys: the name of an account to a reference. Each is a provider of its own, `NAME@ACCOUNT`."
    )
    region: Literal["cn", "intl", "us", "hk"] | None = Field(default=None, description="For `qwen`: which endpoint.")
    workspace: str | None = Field(default=None, description="For `qwen`: a workspace's own domain.")
    models: list[str] = Field(default=[], description="Which of its models can be asked.")
    timeout_s: float = Field(default=600.0, gt=0, description="How long one call may take.")
    native_tools: bool = Field(default=True, description="False: tool calls are asked for as constrained JSON.")
    headers: dict[str, str] = Field(default={}, description="Sent with each request.")
    limits: LaneSettings | None = Field(default=None, description="What each of its models may take.")
    model_limits: dict[str, LaneSettings] = Field(default={}, description="A model's own limits, in place of `limits`.")
    background: bool = Field(
        default=False,
        description="For `generic`: calls go on at the provider (`/responses`); after a crash their answers are fetched, not paid again.",
    )
    enable_thinking: bool | None = Field(default=None, description="For `qwen`: whether models think, for requests that do not say.")
    thinking_budget: int | None = Field(default=None, ge=1, description="For `qwen`: at most so many tokens of thought.")
    context_tokens: int | None = Field(
        default=None, ge=1, description="How much fits into its models; longer conversations are refused before they are sent."
    )
    options: dict[str, Any] = Field(default={}, description="For kinds of other packages and of the extra `others`: given to them.")

    _kind_exists = field_validator("kind")(checked_kind)


class DeploymentSettings(Part):
    """One of those who can answer for a model."""

    provider: str = Field(description="`NAME`, `NAME@ACCOUNT`, or `NAME@*` for all accounts of a provider.")
    model: str = Field(description="As that provider spells it.")
    weight: float = Field(
        default=1.0, gt=0, description='Its share of the calls among those of the same priority, for `order = "weights"`.'
    )
    priority: int = Field(default=0, ge=0, description="Those with the lowest number are asked first, the others where those cannot.")


class ModelAlias(Part):
    """A name for a model: of one provider (`provider` and `model`), or with several deployments."""

    provider: str | None = Field(default=None, description="The provider, for a model with one deployment.")
    model: str | None = Field(default=None, description="The model as that provider spells it.")
    deployments: list[DeploymentSettings] = Field(default=[], description="Who can answer, in place of `provider` and `model`.")
    order: Literal["priority", "weights", "latency"] = Field(
        default="priority",
        description="Among deployments of the same priority: as listed, by chance with their weights, or the fastest first.",
    )
    on_context_length: str | None = Field(default=None, description="The model that is asked when the request is too long for this one.")
    on_refusal: str | None = Field(default=None, description="The model that is asked when a filter or this model itself declines.")
    hedge_percent: float = Field(
        default=0.0, ge=0, le=100, description="Of the calls so many may be sent to a second deployment while a slow one is under way."
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        single = self.provider is not None and self.model is not None
        if single == bool(self.deployments) or (self.provider is None) != (self.model is None):
            raise ValueError("it needs `provider` and `model`, or `deployments`")
        return self


class AgentSettings(Part):
    """An agent without code: a model with instructions, and tools if it has any."""

    instructions: str = Field(min_length=1, description="What it is told before each message.")
    description: str = Field(default="", description="What it is for; shown to people.")
    model: str | None = Field(default=None, description="`provider/model`, a provider or an alias; none is the default model.")
    tools: list[str] = Field(default=[], description="What it may call: `module:name` of a function made with `@tool`.")
    output: dict[str, Any] | None = Field(default=None, description="JSON Schema of its result; without one the result is a text.")
    input: dict[str, Any] | None = Field(default=None, description="JSON Schema of its messages; without one a text or `{prompt = …}`.")
    memory: bool = Field(default=False, description="Whether it remembers what was said in a session.")
    memory_messages: int = Field(default=40, ge=2, le=1000, description="At most so many messages of a session.")
    params: dict[str, Any] = Field(default={}, description="More of the chat request, such as `temperature` or `max_tokens`.")
    queue: str = Field(default="default", description="Where its messages wait.")
    attempts: int | None = Field(default=None, ge=1, le=100, description="How often they are tried.")
    timeout_s: float | None = Field(default=None, gt=0, description="How long one attempt may take.")
    max_turns: int = Field(default=25, ge=1, le=1000, description="Answers with tool calls of one run.")
    max_steps: int | None = Field(default=None, ge=1, description="Steps of one run.")
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens of one run.")
    max_time_s: float | None = Field(default=None, gt=0, description="Working time of one run.")
    max_cost_usd: float | None = Field(default=None, gt=0, le=1_000_000, description="What the calls of models of one run may cost.")


Daily: TypeAlias = Literal["none"] | Annotated[float, Field(ge=0, le=1_000_000_000, allow_inf_nan=False)]


class BudgetSettings(Part):
    """How much may be spent in a day (UTC), in US dollars, or `none`.

    What is given here is set in the store at each start, the defaults at the first; `perdure budgets` shows and changes them.
    """

    daily_usd: Daily = Field(default=100.0, description="By the whole installation.")
    tenant_daily_usd: Daily = Field(default=50.0, description="By each tenant without one of its own.")
    key_daily_usd: Daily = Field(default=50.0, description="On account of each key without one of its own.")
    tenant: dict[str, Daily] = Field(default={}, description="Name to sum, such as `acme = 20.0`.")
    key: dict[str, Daily] = Field(default={}, description="Id of a key (`key_…`) to sum.")


PerMillion: TypeAlias = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class PriceSettings(Part):
    """What a model costs, in US dollars for a million tokens; goes before what is known of it."""

    input_usd: PerMillion = Field(description='Of input. The section is `[prices."provider/model"]`, or `provider/*` for all others of it.')
    output_usd: PerMillion = Field(description="Of output.")
    cached_usd: PerMillion | None = Field(default=None, description="Of input that was cached; None is as other input.")
    reasoning_usd: PerMillion | None = Field(default=None, description="Of output that was thought; None is as other output.")


class Settings(Part):
    """Everything."""

    config_version: int = Field(default=1, description="The shape of the file.")
    data: Path = Field(default=Path(".perdure"), description="Database, key, run files. `PERDURE_DATA`.")
    default_model: str = Field(default="local/smollm2", description="`provider/model`, or an alias, for who names none.")
    log: Literal["auto", "json", "text"] = Field(default="auto", description="`auto`: text on a terminal, else JSON.")
    app: AppSettings = AppSettings()
    store: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    queue: QueueSettings = QueueSettings()
    limits: LimitSettings = LimitSettings()
    budgets: BudgetSettings = BudgetSettings()
    agents: dict[str, AgentSettings] = Field(default={})
    retention: RetentionSettings = RetentionSettings()
    errors: ErrorSettings = ErrorSettings()
    health: HealthSettings = HealthSettings()
    providers: dict[str, ProviderSettings] = Field(default={})
    models: dict[str, ModelAlias] = Field(default={})
    prices: dict[str, PriceSettings] = Field(default={})
