"""Metrics: what alerts.py shows to Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from logpipeline.alerts.targets import Targets
from logpipeline.alerts.watch import STEP, Watch


def failure_counter() -> Counter:
    """Unexpected errors by work: STEP, or a target's name. For all threads."""
    return Counter("log_alerts_failures", "Unexpected errors", ["work"], registry=None)


class AlertsMetrics(Collector):
    """The state of a watch and of its targets, and their `failures`."""

    def __init__(self, watch: Watch, targets: Targets, failures: Counter) -> None:
        self._watch = watch
        self._targets = targets
        for work in (STEP, *(target.name for target in targets.each)):
            failures.labels(work)
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.registry.register(failures)

    def collect(self) -> Iterator[Metric]:
        watch = self._watch
        yield GaugeMetricFamily("log_alerts_redis_up", "1 while Redis answers", watch.redis_up)
        yield GaugeMetricFamily(
            "log_alerts_leading",
            "1 while this alerts.py sends the notices, 0 while it stands by",
            bool(watch.leading),
        )
        yield CounterMetricFamily("log_alerts_outages", "Outages of Redis", watch.outages)
        open_ = GaugeMetricFamily("log_alerts_open", "Open alerts", labels=["rule"])
        for rule in watch.rules:
            number = sum(alert.rule == rule for alert in list(watch.alerts.values()))
            open_.add_metric([rule], number)
        yield open_
        muted = sum(id_ in watch.muted for id_ in list(watch.alerts))
        yield GaugeMetricFamily("log_alerts_muted", "Open alerts that are muted", muted)
        notices = CounterMetricFamily(
            "log_alerts_notices", "Notices sent to a target, or lost", labels=["target", "outcome"]
        )
        waiting = GaugeMetricFamily(
            "log_alerts_waiting_notices", "Notices queued for a target", labels=["target"]
        )
        for target in self._targets.each:
            notices.add_metric([target.name, "sent"], target.sent)
            notices.add_metric([target.name, "lost"], target.lost)
            waiting.add_metric([target.name], target.waiting)
        yield notices
        yield waiting
