"""Supervision: errors that nobody foresaw, in loops that must not end because of one.

Such an error is logged with its traceback once, counted, and what raised it is retried with
backoff. Until that works again the process is not ready.
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

FIRST, MOST = 0.2, 5.0  # seconds until the next try; doubled each time
CALM = 10.0  # seconds without an error after which a step works again, whatever it has done
AGAIN = 60.0  # seconds that an error has to be away for its traceback to be logged again
KEPT = 100  # errors that are remembered
SHORTEST = 3  # characters of a secret that is worth hiding: shorter ones are everywhere
Foreseen = tuple[type[BaseException], ...]


class Unexpected(Exception):  # noqa: N818 - it says what kind of failure it is
    """A step has raised what nobody foresaw. It is logged; retry in `wait` seconds."""

    def __init__(self, step: str, wait: float) -> None:
        super().__init__(step)
        self.wait = wait


@dataclass
class Failure:
    """Of a step that fails: how often so far, when (time.monotonic) at last, the latest error in a
    few words, and whether the log has it."""

    tries: int = 0
    at: float = 0.0
    words: str = ""
    logged: bool = False


class Supervision:
    """For all threads of one process. Each error is reported to `count` by the name of its step;
    what the log gets is without the secrets of `settings`."""

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
        self._met: dict[str, float] = {}  # place of an error → when (time.monotonic) at last
        self._lock = threading.Lock()

    def note(self, step: str, error: BaseException) -> float:
        """Report an error of this step. Returns the seconds to wait until the next try."""
        self._count(step)
        where = _place(step, error)
        with self._lock:
            failure = self._failures.setdefault(step, Failure())
            failure.tries += 1
            failure.at = time.monotonic()
            failure.words = f"{type(error).__name__} in {step}"
            if self._is_news(where):
                text = self.hide("".join(traceback.format_exception(error)))
                self._log.error("unexpected %s, retrying\n%s", failure.words, text.rstrip())
                failure.logged = True
            return float(min(MOST, FIRST * 2 ** (min(failure.tries, 10) - 1)))

    @contextmanager
    def step(self, name: str, foreseen: Foreseen = ()) -> Iterator[None]:
        """Report what is raised here, unless it was foreseen, and raise Unexpected instead."""
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
        """The same, but for what can be left out: instead of raising, it calls `otherwise`.

        The step works when nothing is raised, if that is `sure` to mean something.
        """
        try:
            with self.step(name, foreseen):
                yield
        except Unexpected:
            otherwise()
        else:
            self.resolve(name, sure=sure)

    def resolve(self, *steps: str, sure: bool = True) -> None:
        """Note that the steps work; only after a while when that is not `sure`."""
        for step in steps:
            if step in self._failures:  # without the lock: it is called all the time
                self._resolve(step, sure)

    def tries(self, step: str) -> int:
        """How often the step has failed since it worked."""
        failure = self._failures.get(step)
        return failure.tries if failure else 0

    def missing(self) -> str:
        """What fails at present, "" when nothing does."""
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
                    tries = failure.tries
                    self._log.info("%s works again after %d unexpected errors", step, tries)

    def _is_news(self, where: str) -> bool:
        """Whether this traceback is to be logged: the first time, and when it is back later on."""
        now = time.monotonic()
        last = self._met.get(where, -AGAIN)
        if len(self._met) >= KEPT:
            self._met.clear()
        self._met[where] = now
        return now - last >= AGAIN


def _place(step: str, error: BaseException) -> str:
    """What tells an error from others: its kind and place, not its message, which may vary."""
    frames = traceback.extract_tb(error.__traceback__, limit=-8)
    return " ".join([step, type(error).__name__, *(f"{f.filename}:{f.lineno}" for f in frames)])


def _secrets(settings: RoomSettings) -> list[str]:
    """Every form in which a secret may stand in a text, the longest first."""
    found: set[str] = set()
    for name in settings.secrets():
        value, several = getattr(settings, name), name.endswith("_urls")
        for each in urls(value) if several else [value]:
            for part in _parts(each, whole=several):
                found |= {part, unquote(part), quote(part, safe=""), repr(part)[1:-1]}
    return sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)


def _parts(value: str, whole: bool) -> list[str]:
    """What is secret of a setting's value: of a URL what is before its "@", or the `whole`."""
    if "://" not in value:
        return [value]
    inside = [match[0] for match in PASSWORD_IN_URL.finditer(value)]
    parts = inside + [each.rpartition(":")[2] for each in inside]
    return [*parts, value.partition("://")[2]] if whole else parts
