"""Supervision: unexpected errors in loops that must not end because of one.

Such an error is logged once with its traceback and counted, and the step that raised it is retried
with backoff. The process is not ready until the step succeeds.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote

from logpipeline.settings import PASSWORD_IN_URL, RoomSettings, urls

FIRST, MOST = 0.2, 5.0  # seconds until the next retry; doubled each time
CALM = 10.0  # seconds without an error after which a step counts as recovered
AGAIN = 60.0  # seconds without an error until its traceback is logged again
KEPT = 100  # errors that are remembered
SHORTEST = 3  # characters of a secret that is hidden: shorter ones occur in any text
Foreseen = tuple[type[BaseException], ...]


class Unexpected(Exception):  # noqa: N818 - the name is the kind of failure
    """A step has raised an unexpected error, which is logged; retry in `wait` seconds."""

    def __init__(self, step: str, wait: float) -> None:
        super().__init__(step)
        self.wait = wait


@dataclass
class Failure:
    """A failing step: its failures so far, the time of the last one (time.monotonic), a summary of
    it, and whether it was logged."""

    tries: int = 0
    at: float = 0.0
    words: str = ""
    logged: bool = False


class Supervision:
    """For all threads of one process. `count` is called with the step of each error; the log shows
    none of the secrets of `settings`."""

    def __init__(
        self,
        log: logging.Logger,
        settings: RoomSettings | None = None,
        count: Callable[[str], object] = str,
    ) -> None:
        self._log = log
        self._secrets = _secrets(settings) if settings else []
        self._count = count
        self._failures: dict[str, Failure] = {}
        self._seen: dict[str, float] = {}  # location of an error → last time (time.monotonic)
        self._lock = threading.Lock()

    def note(self, step: str, error: BaseException) -> float:
        """Report an error of this step. Returns the seconds to wait until the next retry."""
        self._count(step)
        location = _location(step, error)
        with self._lock:
            failure = self._failures.setdefault(step, Failure())
            failure.tries += 1
            failure.at = time.monotonic()
            failure.words = f"{type(error).__name__} in {step}"
            if self._is_new(location):
                text = self.hide("".join(traceback.format_exception(error)))
                self._log.error("unexpected %s, retrying\n%s", failure.words, text.rstrip())
                failure.logged = True
            return float(min(MOST, FIRST * 2 ** (min(failure.tries, 10) - 1)))

    @contextmanager
    def step(self, name: str, foreseen: Foreseen = ()) -> Iterator[None]:
        """Report an error raised here that is not `foreseen`, and raise Unexpected instead."""
        try:
            yield
        except foreseen:
            raise
        except Exception as error:
            raise Unexpected(name, self.note(name, error)) from error

    @contextmanager
    def optional(
        self,
        name: str,
        sure: bool = True,
        foreseen: Foreseen = (),
        otherwise: Callable[[], object] = bool,
    ) -> Iterator[None]:
        """The same for an optional step: it calls `otherwise` instead of raising.

        If nothing is raised the step is resolved; only after a while when that is not `sure`.
        """
        try:
            with self.step(name, foreseen):
                yield
        except Unexpected:
            otherwise()
        else:
            self.resolve(name, sure=sure)

    def resolve(self, *steps: str, sure: bool = True) -> None:
        """Mark the steps as working; only after a while when that is not `sure`."""
        for step in steps:
            if step in self._failures:  # without the lock: this is called often
                self._resolve(step, sure)

    def tries(self, step: str) -> int:
        """How often the step has failed since it last worked."""
        failure = self._failures.get(step)
        return failure.tries if failure else 0

    def missing(self) -> str:
        """The steps that fail now, "" when none does."""
        with self._lock:
            return "; ".join(f"unexpected {each.words}" for each in self._failures.values())

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _resolve(self, step: str, sure: bool) -> None:
        with self._lock:
            failure = self._failures.get(step)
            if failure and (sure or time.monotonic() - failure.at > CALM):
                del self._failures[step]
                if failure.logged:
                    errors = "error" if failure.tries == 1 else "errors"
                    self._log.info(
                        "%s works again after %d unexpected %s", step, failure.tries, errors
                    )

    def _is_new(self, location: str) -> bool:
        """Whether to log this traceback: the first time, and when it recurs after a while."""
        now = time.monotonic()
        last = self._seen.get(location, -AGAIN)
        if len(self._seen) >= KEPT:
            self._seen.clear()
        self._seen[location] = now
        return now - last >= AGAIN


def _location(step: str, error: BaseException) -> str:
    """What identifies an error: its type and location, not its message, which may vary."""
    frames = traceback.extract_tb(error.__traceback__, limit=-8)
    return " ".join([step, type(error).__name__, *(f"{f.filename}:{f.lineno}" for f in frames)])


def _secrets(settings: RoomSettings) -> list[str]:
    """Every form in which a secret may occur in a text, the longest first."""
    found: set[str] = set()
    for name in settings.secrets():
        value, several = getattr(settings, name), name.endswith("_urls")
        for each in urls(value) if several else [value]:
            for part in _parts(each, whole=several):
                found |= {part, unquote(part), quote(part, safe=""), repr(part)[1:-1]}
    return sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)


def _parts(value: str, whole: bool) -> list[str]:
    """The secret parts of a setting's value: of a URL those before its "@", or the `whole`."""
    if "://" not in value:
        return [value]
    inside = [match[0] for match in PASSWORD_IN_URL.finditer(value)]
    parts = inside + [each.rpartition(":")[2] for each in inside]
    return [*parts, value.partition("://")[2]] if whole else parts
