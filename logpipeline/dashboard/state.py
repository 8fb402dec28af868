"""DashboardState: what the web page shows of Redis at one moment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from logpipeline.alerts.alert import Alert, Notice
from logpipeline.alerts.snapshot import PipelineSnapshot
from logpipeline.dashboard.entry import EventEntry
from logpipeline.dashboard.search import Filters, Found, search
from logpipeline.events.event import LEVELS

MINUTE = 60  # seconds
RECENT = 60  # seconds of the tile and of the panel, as of most rules in alerts.toml
BAD = ("ERROR", "CRITICAL")


@dataclass(frozen=True)
class DashboardState:
    """What Redis held at Unix time `at`. None stands for what nobody reports.

    `lists` is level, or "" for all → entries, newest first, without the `left_out` that are too
    large; `counts` is minute → level → events; `total` is the records that Redis has received,
    `rate` in records per second, `lag` in records; `alerts` and `history` are the open alerts of
    alerts.py, without the `more_alerts` that were not fetched, and its notices, newest first;
    `muted` is an alert's id → the Unix time at which its mute ends.
    """

    at: float
    lists: Mapping[str, Sequence[EventEntry]]
    counts: Mapping[int, Mapping[str, int]]
    left_out: int = 0
    total: int = 0
    rate: float | None = None
    lag: int | None = None
    dead_letters: Mapping[str, int] | None = None
    alerts: Sequence[Alert] | None = None
    more_alerts: int = 0
    history: Sequence[Notice] = ()
    muted: Mapping[str, float] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no event has arrived yet."""
        return not self.total and not self.counts and not any(self.lists.values())

    def matching(self, filters: Filters) -> Found:
        """The entries that match, also from the lists of the levels, which reach further back. It
        takes long: call it in a thread."""
        if not filters:
            newest = self.lists.get("", [])
            return Found(list(newest), len(newest))
        return search(self.entries.values(), filters)

    @cached_property
    def entries(self) -> dict[str, EventEntry]:
        """All entries, by id."""
        return {each.id: each for entries in self.lists.values() for each in entries}

    @cached_property
    def services(self) -> list[str]:
        """The services of all entries, most events first."""
        counted = Counter(each.service for each in self.entries.values())
        return [service for service, _ in counted.most_common() if service]

    def failing(self) -> tuple[list[tuple[str, int]], bool]:
        """Errors by service in the last RECENT seconds, most first, and whether they are exact.
        When Redis does not hold all of them, each level's are scaled to its number."""
        first, exact = self.at - RECENT, True
        errors: Counter[str] = Counter()
        for level in BAD:
            held = self.lists.get(level, [])
            recent = [each for each in held if first <= each.timestamp <= self.at + MINUTE]
            scale = 1.0
            if held and held[-1].timestamp > first and len(held) < self.sums(2)[level]:
                scale = max(1.0, self.events([level]) / max(1, len(recent)))
                exact = exact and scale == 1
            for service, count in Counter(each.service for each in recent).items():
                errors[service or "no service"] += round(count * scale)
        return errors.most_common(), exact

    def events(self, levels: Sequence[str] = LEVELS) -> float:
        """About how many events there were in the last RECENT seconds, as rules count them."""
        now = int(self.at // MINUTE)
        counts = {minute: dict(self.counts.get(minute, {})) for minute in (now - 1, now)}
        return PipelineSnapshot(self.at, counts).events(RECENT, levels)

    def sums(self, minutes: int) -> Counter[str]:
        """Events by level in the last `minutes`, including the present one."""
        now = int(self.at // MINUTE)
        sums: Counter[str] = Counter()
        for minute in range(now - minutes + 1, now + 1):
            sums.update(self.counts.get(minute, {}))
        return sums

    def error_share(self) -> float | None:
        """The share (0 to 1) of ERROR and CRITICAL in the last RECENT seconds; None: no events."""
        total = self.events()
        return self.events(BAD) / total if total else None

    def per_minute(self, minutes: int, step: int) -> list[tuple[float, dict[str, float]]]:
        """Events per minute by level over the last `minutes`, in steps of `step` minutes: (Unix
        time at which the step begins, level → mean). The last step may be incomplete."""
        now = int(self.at // MINUTE)
        first = (now - minutes) // step * step + step
        steps = []
        for begin in range(first, now + 1, step):
            past = range(begin, min(begin + step, now + 1))
            means = {
                level: sum(self.counts.get(minute, {}).get(level, 0) for minute in past) / len(past)
                for level in LEVELS
            }
            steps.append((float(begin * MINUTE), means))
        return steps
