"""`/metrics`: the installation's kept counters, and what this server did, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from perdure.clock import Moment
from perdure.messages.registry import WorkerStatus
from perdure.messages.spending import EACH, BudgetStatus, Entry
from perdure.messages.store import QueueStatus
from perdure.monitor.measures import BOUNDS, Counted, Measure, Series, folded
from perdure.monitor.metrics import Metrics
from perdure.providers.health import Health
from perdure.server.answer import Answer
from perdure.server.door import Call, Door

__all__ = ["metrics_door"]

_OF_LANE = ("gen_ai_provider_name", "gen_ai_request_model")
_OF_CALL = ("gen_ai_operation_name", *_OF_LANE)
_HISTOGRAMS: Mapping[Measure, tuple[str, str, tuple[str, ...]]] = {
    Measure.DURATION: ("gen_ai_client_operation_duration_seconds", "How long calls of models took", (*_OF_CALL, "error_type")),
    Measure.FIRST_CHUNK: ("gen_ai_client_operation_time_to_first_chunk_seconds", "How long first pieces of streams took", _OF_CALL),
    Measure.TOKENS: ("gen_ai_client_token_usage", "Tokens of calls, as providers counted them", (*_OF_CALL, "gen_ai_token_type")),
    Measure.WAIT: ("perdure_lane_wait_seconds", "How long calls waited for their lane in their process", _OF_LANE),
}


def metrics_door(metrics: Metrics) -> Door:
    """Make the door of `/metrics`.

    Args:
        metrics (Metrics): What this process counts.

    Returns:
        Door: For operators with `metrics:read`.
    """

    async def read(call: Call) -> Answer:
        store = call.core.store
        kept = _Kept(
            queues=await store.messages.queues(),
            counters=await store.messages.counters(),
            workers=[worker for worker in await store.workers.workers() if worker.alive],
            lanes=await store.spending.lanes(),
            budgets=await store.spending.budgets(),
            health=await store.health.all(),
            measures=await store.measures.all(),
            paused=await store.messages.paused(),
            now=call.core.clock.now(),
        )
        registry = CollectorRegistry()
        registry.register(_Shown(kept))
        body = generate_latest(registry) + generate_latest(metrics.registry)
        return Answer(200, body, CONTENT_TYPE_PLAIN_0_0_4)

    return Door(
        "GET", "/metrics", read, "metrics", "Numbers for Prometheus.", "Monitoring", "metrics:read", operator=True, answers={200: str}
    )


def _labels_of(series: Series) -> tuple[str, ...]:
    lane = (series.provider, series.model)
    if series.what is Measure.WAIT:
        return lane
    call = (series.operation, *lane)
    return call if series.what is Measure.FIRST_CHUNK else (*call, series.kind)


class _Kept(NamedTuple):
    """What the store counts, read once."""

    queues: Sequence[QueueStatus]
    counters: Mapping[str, int]
    workers: Sequence[WorkerStatus]
    lanes: Sequence[Entry]
    budgets: Sequence[BudgetStatus]
    health: Sequence[Health]
    measures: Sequence[Counted]
    paused: bool
    now: Moment


class _Shown(Collector):
    """The same, as Prometheus reads it."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def collect(self) -> Iterator[Metric]:
        yield from self._of_queues()
        yield from self._of_workers()
        yield from self._of_lanes()
        yield from self._of_budgets()
        yield from self._of_providers()
        yield from self._of_calls()
        for name, count in sorted(self._kept.counters.items()):
            if name.endswith("_nanousd"):  # said by lane, in dollars
                continue
            yield CounterMetricFamily(
                f"perdure_{name}", f"Of the installation since its store began: {name.replace('_', ' ')}", value=count
            )
        yield GaugeMetricFamily("perdure_paused", "1 while everything is paused", value=float(self._kept.paused))

    def _of_queues(self) -> Iterator[Metric]:
        messages = GaugeMetricFamily("perdure_messages", "Messages of a queue by where they are", labels=("queue", "state"))
        happened = CounterMetricFamily("perdure_messages_moved", "What happened to messages of a queue", labels=("queue", "what"))
        age = GaugeMetricFamily("perdure_oldest_ready_seconds", "Age of the message that could have started longest ago", labels=("queue",))
        paused = GaugeMetricFamily("perdure_queue_paused", "1 while a queue is paused", labels=("queue",))
        for queue in self._kept.queues:
            for state, count in sorted(queue.counts.items()):
                messages.add_metric((queue.name, state), count)
            for what, count in sorted(queue.totals.items()):
                happened.add_metric((queue.name, what), count)
            oldest = queue.oldest_ready_at
            age.add_metric((queue.name,), 0.0 if oldest is None else max(0.0, self._kept.now - oldest))
            paused.add_metric((queue.name,), float(queue.paused))
        yield from (messages, happened, age, paused)

    def _of_lanes(self) -> Iterator[Metric]:
        """Lanes are as many as models that were ever asked: few."""
        calls = CounterMetricFamily("perdure_lane_calls", "Calls of models, booked", labels=("lane",))
        tokens = CounterMetricFamily("perdure_lane_tokens", "Tokens of those, as providers counted them", labels=("lane", "kind"))
        cost = CounterMetricFamily("perdure_lane_cost_usd", "What is known of what they cost, in US dollars", labels=("lane",))
        unpriced = CounterMetricFamily("perdure_lane_unpriced_calls", "Calls whose cost is not known", labels=("lane",))
        saved = 0.0
        for entry in self._kept.lanes:
            lane, used = entry.account.lane, entry.usage
            saved += entry.saved_usd
            if not lane:
                continue
            calls.add_metric((lane,), used.calls)
            cost.add_metric((lane,), used.cost_usd or 0.0)
            unpriced.add_metric((lane,), used.unpriced)
            for kind in ("input", "output", "cached", "reasoning"):
                tokens.add_metric((lane, kind), getattr(used, f"{kind}_tokens") or 0)
        yield from (calls, tokens, cost, unpriced)
        yield CounterMetricFamily("perdure_replay_saved_usd", "What recorded answers that were replayed had cost", value=saved)

    def _of_budgets(self) -> Iterator[Metric]:
        """Only those of the installation and of each: names of tenants and keys are no labels."""
        daily = GaugeMetricFamily("perdure_budget_daily_usd", "So much may be spent in a day", labels=("of",))
        spent = GaugeMetricFamily("perdure_budget_spent_usd", "So much is spent today, by whoever has spent the most", labels=("of",))
        for status in self._kept.budgets:
            if status.budget.name == EACH and status.budget.daily_usd is not None:
                daily.add_metric((status.budget.scope.value,), status.budget.daily_usd)
                spent.add_metric((status.budget.scope.value,), status.spent_usd)
        yield from (daily, spent)

    def _of_providers(self) -> Iterator[Metric]:
        """As looks on a schedule found them; who counts as neither yet has no line."""
        up = GaugeMetricFamily("perdure_provider_up", "1 while a provider counts as one that can be used, else 0", labels=("provider",))
        took = GaugeMetricFamily("perdure_provider_check_seconds", "How long the last look at a provider took", labels=("provider",))
        at = GaugeMetricFamily("perdure_provider_checked_timestamp_seconds", "When a provider was looked at last", labels=("provider",))
        for one in self._kept.health:
            if one.well is not None:
                up.add_metric((one.provider,), float(one.well))
            if one.found is not None and one.looked_at is not None:
                took.add_metric((one.provider,), one.found.latency_s)
                at.add_metric((one.provider,), one.looked_at)
        yield from (up, took, at)

    def _of_calls(self) -> Iterator[Metric]:
        """Of all processes, by OpenTelemetry's names, where it has one."""
        families = {what: HistogramMetricFamily(name, said, labels=labels) for what, (name, said, labels) in _HISTOGRAMS.items()}
        for series, buckets in folded(self._kept.measures).items():
            counts = {one.bucket: one.count for one in buckets}
            ends = [*map(str, BOUNDS[series.what]), "+Inf"]
            below = accumulate(counts.get(n, 0) for n in range(len(ends)))
            total = sum(one.total for one in buckets)
            families[series.what].add_metric(_labels_of(series), list(zip(ends, below, strict=True)), total)
        yield from families.values()

    def _of_workers(self) -> Iterator[Metric]:
        living = self._kept.workers
        yield GaugeMetricFamily("perdure_workers", "Living workers", value=len(living))
        yield GaugeMetricFamily(
            "perdure_worker_slots", "Messages that living workers can work on at once", value=sum(w.card.slots for w in living)
        )
        yield GaugeMetricFamily("perdure_worker_leases", "Messages that living workers work on now", value=sum(w.leases for w in living))
