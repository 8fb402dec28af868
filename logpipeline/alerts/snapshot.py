"""Snapshot: the state of the pipeline in Redis at one moment, and the history of such snapshots."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec
import redis

from logpipeline.events.event import LEVELS, REASONS, InvalidRecord, parse
from logpipeline.recent import fields
from logpipeline.recent.newest import head
from logpipeline.recent.redis_client import check_layout, known, numbers
from logpipeline.terminal import short

PAGE = 200  # events read from a list at once
MOST_ERRORS = 1_000  # events read from a list in all
SCANNED = 8 * 2**20  # bytes of a page at which Redis stops reading
MOST_BYTES = 16 * 2**20  # read from a list in all
NAME = 100  # characters kept of a service's name

Services = Counter[str]  # service ("" when the event names none) → events


@dataclass(frozen=True)
class PipelineSnapshot:
    """What Redis holds at `at`. All times are Unix seconds.

    `counts` is minute (Unix time / 60) → level → events; `errors` are the newest ERROR and
    CRITICAL events as (timestamp, service), "" when the event names none; `offsets` is partition
    → next offset; `lag` is partition → records behind, None when no consumer reports it;
    `dead_letters` is reason → records in total.
    """

    at: float
    counts: dict[int, dict[str, int]] = field(default_factory=dict)
    errors: list[tuple[float, str]] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    lag: dict[str, int] | None = None
    dead_letters: dict[str, int] = field(default_factory=dict)

    def events(self, seconds: float, levels: Sequence[str] = LEVELS) -> float:
        """About how many events have a timestamp in the last `seconds`.

        The minute in which they begin counts by the share of it that is in the window.
        """
        begin = self.at - seconds
        first = int(begin // 60)
        total = 0.0
        for minute, counts in self.counts.items():
            if first <= minute <= self.at // 60:
                weight = 1 - begin % 60 / 60 if minute == first else 1
                total += weight * sum(counts.get(level, 0) for level in levels)
        return total

    def services(self, seconds: float) -> Services:
        """ERROR and CRITICAL events of the last `seconds`, among the newest, by service."""
        return Counter(service for at, service in self.errors if at > self.at - seconds)


class History:
    """The snapshots of the last `seconds`, oldest first. The newest one is complete, the others
    keep only what is compared: offsets, lag and dead letters."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._snapshots: deque[PipelineSnapshot] = deque()
        self._began: float | None = None
        self._arrived: float | None = None

    @property
    def now(self) -> PipelineSnapshot:
        """The newest snapshot. Raises IndexError when none was added."""
        return self._snapshots[-1]

    @property
    def quiet(self) -> tuple[float, bool]:
        """Seconds since the last arrival, and whether that time is certain: it is not when the
        last arrival was before watching began."""
        since = self._began if self._arrived is None else self._arrived
        return self.now.at - (since or self.now.at), self._arrived is not None

    def resume(self, at: float) -> None:
        """Begin to watch at `at`, or resume after a time in which Redis could not be read."""
        self._began, self._arrived = at, None

    def add(self, snapshot: PipelineSnapshot) -> None:
        if self._snapshots:
            if self.now.offsets != snapshot.offsets and snapshot.at != self._began:
                self._arrived = snapshot.at
            lag = self.now.lag and {"": sum(self.now.lag.values())}
            self._snapshots[-1] = replace(self.now, counts={}, errors=[], offsets={}, lag=lag)
        self._snapshots.append(snapshot)
        while self._snapshots[0].at < snapshot.at - self._seconds - 60:
            self._snapshots.popleft()

    def since(self, seconds: float) -> list[PipelineSnapshot]:
        """The snapshots of the last `seconds`; empty when they begin later than that."""
        begin = self.now.at - seconds
        if self._snapshots[0].at > begin:
            return []
        return [snapshot for snapshot in self._snapshots if snapshot.at >= begin]


def take(
    client: redis.Redis, key: str, now: float, seconds: float, errors_seconds: float
) -> PipelineSnapshot:
    """What Redis holds under the prefix `key` about the last `seconds` before `now`, with the
    errors of the last `errors_seconds`.

    Raises redis.RedisError, OSError.
    """
    check_layout(client, key)
    minutes = range(int((now - seconds) // 60), int(now // 60) + 1)
    with client.pipeline(transaction=False) as asked:
        for minute in minutes:
            asked.hmget(f"{key}:counts:{minute}", LEVELS)
        asked.hmget(f"{key}:dead-letters", REASONS)
        for name in ("lag", "offsets"):
            fields.ask(asked, f"{key}:{name}")
        *counts, letters, lag, offsets = asked.execute()
    return PipelineSnapshot(
        at=now,
        counts={
            minute: levels
            for minute, answer in zip(minutes, counts, strict=True)
            if (levels := known(LEVELS, answer))
        },
        errors=[
            error
            for level in ("ERROR", "CRITICAL")
            for error in newest(partial(_read, client, f"{key}:{level}"), now - errors_seconds)
        ],
        offsets=numbers(fields.pairs(offsets)),
        lag=numbers(fields.pairs(lag)) if lag else None,
        dead_letters=known(REASONS, letters),
    )


class _Service(msgspec.Struct):
    service: str = ""


_service = msgspec.json.Decoder(_Service).decode


def _event(line: bytes) -> tuple[float, str] | None:
    """Its timestamp and service; None for what somebody else has put there."""
    try:
        timestamp = parse(line).timestamp
    except InvalidRecord:
        return None
    try:
        return timestamp, short(_service(line).service, NAME)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # e.g. not a string
        return timestamp, ""


def _read(client: redis.Redis, key: str, first: int, last: int) -> list[bytes]:
    """The lines that fit into a bounded answer."""
    return [line.text for line in head(client, key, first, last, SCANNED)]


def newest(read: Callable[[int, int], list[bytes]], begin: float) -> list[tuple[float, str]]:
    """The (timestamp, service) of a list's newest events back to about `begin`, at most
    MOST_ERRORS. `read` is Redis' LRANGE: first and last index."""
    found: list[tuple[float, str]] = []
    size = 0
    for start in range(0, MOST_ERRORS, PAGE):
        lines = read(start, start + PAGE - 1)
        page = [event for event in map(_event, lines) if event]
        found += page
        size += sum(map(len, lines))
        if len(lines) < PAGE or size > MOST_BYTES or all(at < begin for at, _ in page):
            break
    return found
