"""Hunt: throws inputs at one target, and keeps the smallest that breaks each promise."""

import re
import signal
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz import watch
from tests.fuzz.saved import Failure
from tests.fuzz.target import Aim, Broken, Target

ROOT = Path(__file__).resolve().parent.parent.parent
NUMBER = re.compile(r"\d[\d.,]*")
SHRINKING = 15.0  # seconds at most to make an input smaller
LONGEST = 60.0  # seconds of a turn: hypothesis seeks slower inputs without a limit of its own
ENDED = 2.0  # times that, a turn is ended also where hypothesis calls nothing of ours
PHASES = (Phase.generate, Phase.target, Phase.shrink)


class Ended(BaseException):
    """A turn took too long. hypothesis takes an Exception for a fault of the input."""


@dataclass
class Hunt:
    """One target under fire. `failures` is where it broke → the smallest input that does it."""

    target: Target
    aim: Aim
    shrinking: float = SHRINKING
    longest: float = LONGEST
    examples: int = 0
    spent: float = 0.0  # seconds
    slowest: float = 0.0  # seconds of CPU time
    largest: int = 0  # bytes
    failures: dict[str, Failure] = field(default_factory=dict)
    _found: dict[str, Failure] = field(default_factory=dict)
    _found_at: float = 0.0

    def corpus(self) -> None:
        """Throw what was harmful once."""
        for given_ in self.target.corpus:
            began = time.monotonic()
            with suppress(Exception):
                self._throw(given_)
            self._keep(began)

    def turn(self, seed: int, examples: int) -> None:
        """Throw so many inputs, or somewhat more to make a smaller one of one that breaks it."""
        began = time.monotonic()

        @hypothesis.seed(seed)
        @settings(
            max_examples=examples,
            phases=PHASES,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(self.target.inputs)
        def throw(given_: Any) -> None:
            now = time.monotonic()
            if self._found and now - self._found_at > self.shrinking:
                return  # it is small enough
            if now - began > self.longest and not self._found:
                return
            hypothesis.target(self._throw(given_).seconds, label="seconds")

        most = ENDED * (self.longest + self.shrinking)
        # What broke is in self._found, also when it does so at times.
        with (
            suppress(Exception, Ended),
            watch.raising_after(most, signal.ITIMER_REAL, Ended()),
        ):
            throw()
        self._keep(began)

    def _keep(self, began: float) -> None:
        for failure in self._found.values():
            failure.save()
        self.failures |= self._found
        self._found = {}
        self.spent += time.monotonic() - began

    def _throw(self, given_: Any) -> watch.Cost:
        """Raises what the target raises, unless that is known already."""
        self.examples += 1
        try:
            spent = watch.judged(self.target, self.aim, given_)
        except Exception as error:
            self._note(given_, error)
            if where(error) in self.failures:
                return watch.Cost(0.0, 0, 0)
            raise
        self.slowest = max(self.slowest, spent.seconds)
        self.largest = max(self.largest, spent.bytes)
        return spent

    def _note(self, given_: Any, error: Exception) -> None:
        place = where(error)
        if place in self.failures:
            return
        if not self._found:
            self._found_at = time.monotonic()
        failure = Failure(self.target.name, place, words(error), given_)
        known = self._found.get(place)
        if known is None or failure.size < known.size:
            self._found[place] = failure


def where(error: BaseException) -> str:
    """What tells one fault from another: its kind, and the last line of ours that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(str(ROOT)) and ".venv" not in f.filename]
    ours = [f for f in ours if "/tests/fuzz/" not in f.filename] or ours[:-1]  # the last is `hold`
    place = f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}" if ours else "?"
    kind = NUMBER.sub("#", str(error)) if isinstance(error, Broken) else type(error).__name__
    return f"{kind} at {place}"


def words(error: BaseException) -> str:
    """The error as people read it, with its way through our code."""
    return "".join(traceback.format_exception(error, limit=-6, chain=False))
