"""Tally: a consumer's dead letters and its lag, which alerts.py and the page read in Redis."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Tallied:
    """What is new since the last report: dead letters by reason; the lag, if it was measured."""

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
        """Note how many records are not read yet of each partition of this consumer."""
        with self._lock:
            self._lag = dict(lag)
            self._new.lag = dict(lag)

    def take(self) -> Tallied:
        """What is to be reported now: a lag that is not measured again is not reported again."""
        with self._lock:
            new, self._new = self._new, Tallied()
            return new

    def give_back(self, tallied: Tallied) -> None:
        """Take back what could not be reported."""
        with self._lock:
            self._new.letters.update(tallied.letters)
            self._new.lag = self._new.lag or tallied.lag
