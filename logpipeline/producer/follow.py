"""Follow: new lines of logs, from the position where the last run stopped.

At least once: the position is saved after Kafka has acknowledged the lines, so a kill between the
two repeats some.
"""

import glob
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path

from logpipeline.events.lines import Lines, default_service, summary
from logpipeline.events.redaction import Redaction
from logpipeline.kafka.outbox import Outbox
from logpipeline.outage import Outage
from logpipeline.producer.claims import Claims
from logpipeline.producer.descriptors import Descriptors
from logpipeline.producer.registry import Registry
from logpipeline.producer.settings import ProducerSettings
from logpipeline.producer.source import EventBatch, Source, nuls
from logpipeline.producer.tail import Tail, TailError
from logpipeline.rotation import logs_of
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between checks when nothing is written
DISCOVER = 1.0  # seconds between searches for matching files
SAVE = 1.0  # seconds between saves of positions
SAVING = 0.5  # seconds that a save may take; the other positions are saved by the next one


class Follow(Source):
    """The events of the files that match `patterns`, including files created later.

    A log's absolute path is the key of its events, across rotation; `service` is their service
    (None: the file's name). Raises TailError, OSError when STATE_DIR or a file cannot be used.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        service: str | None,
        settings: ProducerSettings,
        stop: Shutdown,
        redaction: Redaction | None = None,
    ) -> None:
        self._redaction = redaction
        self._patterns = patterns
        self._service = service
        self._settings = settings
        settings.state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._stop = stop
        self._tails: dict[Path, Tail] = {}
        self._unsaved: list[Path] = []
        self._assigned: dict[Path, tuple[int, int, int]] = {}  # of other names than a log's own
        self._outages: dict[Path, Outage] = {}
        self._claims = Claims(settings.state_dir)
        self._descriptors = Descriptors.as_many_as_possible()
        self._registry = Registry(settings.state_dir, settings.kafka_topic)
        for pattern in patterns:
            if Path(pattern).exists() and not Path(pattern).is_file():
                raise TailError(f"{pattern}: must be a file; use --input to read a pipe")
            if not any(Path(name).exists() for name in _named(pattern)):
                log.info("waiting for %s to appear", pattern)
        paths = self._matching()
        self._registry.name({path.parent for path in paths})
        logs = dict.fromkeys(self._log_of(path) for path in paths)
        self._registry.paths.update(logs)
        for path in logs:
            try:
                self._tails[path] = self._tail(path)
            except TailError as error:
                if path in paths:
                    raise
                self._report(path, str(error))  # under another name, it is another producer's

    def bursts(self, outbox: Outbox) -> Iterator[EventBatch]:
        discovered = saved = time.monotonic()
        while not self._stop:
            idle = True
            for path, tail in self._tails.items():
                for burst in self._read(path, tail):
                    idle = False
                    yield burst
            outbox.settle()
            now = time.monotonic()
            if now - saved > SAVE:
                self._save()
                saved = now
            if now - discovered > DISCOVER:
                self._discover()
                discovered = now
            if idle:
                self._stop.wait(POLL)

    def summary(self) -> str:
        dropped = sum(tail.nuls for tail in self._tails.values())
        return summary([tail.lines for tail in self._tails.values()]) + nuls(dropped)

    def close(self) -> None:
        self._save(at_most=None)
        for tail in self._tails.values():
            tail.close()
        self._claims.close()

    def _read(self, path: Path, tail: Tail) -> Iterator[EventBatch]:
        """Some of a log's new events; an acknowledgement by Kafka advances its position."""
        key = os.fsencode(path)
        try:
            for values, file in tail.read():
                yield EventBatch(list(zip(repeat(key), values)), file.conversion.acknowledge)
            self._outages.pop(path, None)
            self.complete = self.complete and tail.complete
        except OSError as error:
            self._report(path, f"cannot be read: {error}")

    def _save(self, at_most: float | None = SAVING) -> None:
        """Save positions, those first that the last save had no time for."""
        deadline = None if at_most is None else time.monotonic() + at_most
        paths = [path for path in self._unsaved if path in self._tails] or [*self._tails]
        for number, path in enumerate(paths):
            if deadline is not None and time.monotonic() > deadline:
                self._unsaved = paths[number:]
                return
            try:
                self._tails[path].save()
            except OSError as error:
                self._report(path, f"its position cannot be saved: {error}")
        self._unsaved = []

    def _matching(self) -> list[Path]:
        """The files to follow, without the rotated files of one of them."""
        names = {name for pattern in self._patterns for name in _named(pattern)}
        found = [Path(name).absolute() for name in names]
        paths = {path for path in found if path.is_file() or not path.exists()}
        return [path for path in sorted(paths) if not _rotated_of(path, paths)]

    def _log_of(self, path: Path) -> Path:
        """The log whose file is at `path`: one that read it under another name, one whose rotated
        file it is by its name, or the path itself."""
        try:
            state = path.stat()
        except OSError:
            return path
        with suppress(OSError):
            owner = self._registry.owner(path, state)
            if owner:
                return owner
        if not self._registry.has(path):
            for name in logs_of(path.name):
                if self._registry.has(path.with_name(name)):
                    return path.with_name(name)
        return path

    def _discover(self) -> None:
        """Follow new files."""
        for path in self._matching():
            if path not in self._tails:
                try:
                    self._assign(path)
                except (OSError, TailError) as error:
                    self._report(path, str(error))

    def _assign(self, path: Path) -> None:
        """Have the file at `path` read by the log that it belongs to. Raises TailError, OSError."""
        state = path.stat()
        seen = state.st_dev, state.st_ino, state.st_size
        if self._assigned.get(path) == seen:
            return
        owner = self._log_of(path)
        if owner in self._tails:
            self._tails[owner].look_again()
        else:
            self._tails[owner] = self._tail(owner)
            log.info("following %s", owner)
        self._assigned[path] = seen

    def _tail(self, path: Path) -> Tail:
        """Raises TailError, OSError."""
        service = default_service(path.name) if self._service is None else self._service
        return Tail(
            path,
            self._registry.file_of(path),
            Lines(service, self._redaction),
            self._registry,
            claims=self._claims,
            descriptors=self._descriptors,
            multiline=self._settings.multiline,
            unfinished=self._settings.follow_unfinished_seconds or None,
        )

    def _report(self, path: Path, problem: str) -> None:
        outage = self._outages.setdefault(path, Outage(log))
        outage.report(f"{path}: {problem}", logging.ERROR)


def _rotated_of(path: Path, logs: set[Path]) -> bool:
    """Whether a number or a time after one of `logs` makes its name that of a rotated file."""
    others = (path.with_name(name) for name in logs_of(path.name))
    return any(other in logs and path.name.startswith(other.name) for other in others)


def _named(pattern: str) -> list[str]:
    """The files that match a pattern; an existing file's name matches only itself."""
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return [pattern]
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
