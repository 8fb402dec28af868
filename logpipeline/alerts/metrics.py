"""Metrics: what Prometheus sees of alerts.py."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from logpipeline.alerts.targets import Targets
from logpipeline.alerts.watch import Watch


class AlertsMetrics(Collector):
    """What a watch sees, and what its targets have taken."""

    def __init__(self, watch: Watch, targets: Targets) -> None:
        self._watch = watch
        self._targets = targets
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        watch = self._watch
        yield GaugeMetricFamily("log_alerts_redis_up", "1 while Redis answers", watch.redis_up)
        yield GaugeMetricFamily(
            "log_alerts_leading", "1 if this one tells, 0 if it stands by", bool(watch.leading)
        )
        yield CounterMetricFamily("log_alerts_outages", "Times that Redis went away", watch.outages)
        open_ = GaugeMetricFamily("log_alerts_open", "Open alerts", labels=["rule"])
        for rule in watch.rules:
            number = sum(alert.rule == rule for alert in list(watch.alerts.values()))
            open_.add_metric([rule], number)
        yield open_
        notices = CounterMetricFamily(
            "log_alerts_notices",
            "Notices that a target has taken, or not",
            labels=["target", "outcome"],
        )
        waiting = GaugeMetricFamily(
            "log_alerts_waiting_notices", "Notices still to be sent", labels=["target"]
        )
        for target in self._targets.each:
            notices.add_metric([target.name, "sent"], target.sent)
            notices.add_metric([target.name, "lost"], target.lost)
            waiting.add_metric([target.name], target.waiting)
        yield notices
        yield waiting
        failures = CounterMetricFamily(
            "log_alerts_failures", "Exceptions that nobody foresaw", labels=["work"]
        )
        failures.add_metric(["watch"], watch.trouble.count)
        for target in self._targets.each:
            failures.add_metric([target.name], target.trouble.count)
        yield failures

    def missing(self) -> str:
        """What keeps alerts.py from its work, "" when nothing does."""
        troubles = [self._watch.trouble, *(target.trouble for target in self._targets.each)]
        away = "" if self._watch.redis_up else "Redis does not answer"
        return "; ".join(filter(None, [*map(str, troubles), away]))
