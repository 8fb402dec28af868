"""Metrics of the recent events: what Redis has received, and whether it answers."""

from logpipeline.events.sink import Sink
from logpipeline.metrics import Instruments
from logpipeline.recent.backlog import News
from logpipeline.recent.minutes import OTHER


class RecentMetrics:
    """Its counters and gauges, among the `instruments` of a program."""

    def __init__(self, instruments: Instruments | None = None) -> None:
        make = instruments or Instruments("log_consumer")
        self._sink = Sink(make, "redis")
        self._uncounted = make.counter(
            "uncounted_events", "Events in Redis' lists, not in its counts: too old, or ahead"
        )
        self.failures = make.failures("redis")
        self.up = make.up("redis", "1 while Redis takes the newest events")

    def stored(self, news: News, rebuilt: bool) -> None:
        """Count what was written to Redis. Its lists hold the newest events alone: the delay is
        that of the oldest of these, and is not measured if the lists were `rebuilt`."""
        self._sink.got(news.counts)
        self._uncounted.inc(sum(n for (minute, _), n in news.counts.items() if minute == OTHER))
        if news.times and not rebuilt:
            self._sink.waited(news.times[0])
