"""Tally: a consumer's dead letters and lag, which alerts.py and the page read in Redis."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import redis

LAG_KEPT = 30  # seconds after which the lag of a consumer that no longer reports expires


@dataclass
class Tallied:
    """News since the last report: dead letters by reason; the lag, if it was measured."""

    letters: Counter[str] = field(default_factory=Counter)
    lag: dict[int, int] = field(default_factory=dict)


class Tally:
    """Dead letters by reason, and records behind by partition, for all threads of a process.

    It outlives the connections to Redis: each dead letter is reported once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._letters: Counter[str] = Counter()
        self._lag: dict[int, int] = {}
        self._new = Tallied()

    @property
    def letters(self) -> Counter[str]:
        """Reason → dead letters so far."""
        with self._lock:
            return Counter(self._letters)

    @property
    def lag(self) -> dict[int, int]:
        """Partition → records behind, when it was last measured."""
        with self._lock:
            return dict(self._lag)

    def add_letter(self, reason: str) -> None:
        with self._lock:
            self._letters[reason] += 1
            self._new.letters[reason] += 1

    def set_lag(self, lag: Mapping[int, int]) -> None:
        """Set the unread records of each partition of this consumer."""
        with self._lock:
            self._lag = dict(lag)
            self._new.lag = dict(lag)

    def report(self, client: redis.Redis, key: str) -> None:
        """Write the lag to Redis, and add new dead letters, below the prefix `key`.

        Raises redis.RedisError, OSError.
        """
        tallied = self._take()
        try:
            with client.pipeline() as both:
                if tallied.lag:
                    both.hset(f"{key}:lag", mapping={str(p): n for p, n in tallied.lag.items()})
                    both.expire(f"{key}:lag", LAG_KEPT)
                for reason, number in tallied.letters.items():
                    both.hincrby(f"{key}:dead-letters", reason, number)
                both.execute()
        except BaseException:
            self._give_back(tallied)
            raise

    def _take(self) -> Tallied:
        """What to report now: a lag that is not measured again is not reported again."""
        with self._lock:
            new, self._new = self._new, Tallied()
            return new

    def _give_back(self, tallied: Tallied) -> None:
        """Keep what could not be reported."""
        with self._lock:
            self._new.letters.update(tallied.letters)
            self._new.lag = self._new.lag or tallied.lag
