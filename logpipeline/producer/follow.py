"""Follow: new lines of logs, from the position where the last run stopped.

At least once: the position is saved after Kafka has acknowledged the lines, so a kill between the
two repeats some.
"""

import glob
import hashlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from logpipeline.events.lines import Lines, default_service, summary
from logpipeline.kafka.outbox import Outbox
from logpipeline.outage import Outage
from logpipeline.producer.settings import ProducerSettings
from logpipeline.producer.source import Event, Source
from logpipeline.producer.tail import Tail, TailError
from logpipeline.rotation import is_rotated
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between checks when nothing is written
DISCOVER = 1.0  # seconds between searches for matching files
NAME = 200  # bytes of a log's name in its position file's name, which may have 255
SAVE = 1.0  # seconds between saves of positions


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
    ) -> None:
        self._patterns = patterns
        self._service = service
        self._topic = settings.kafka_topic
        self._folder = settings.state_dir
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._stop = stop
        self._tails: dict[Path, Tail] = {}
        self._outages: dict[Path, Outage] = {}
        for pattern in patterns:
            if Path(pattern).exists() and not Path(pattern).is_file():
                raise TailError(f"{pattern}: must be a file; use --input to read a pipe")
            if not any(Path(name).exists() for name in _named(pattern)):
                log.info("waiting for %s to appear", pattern)
        for path in self._matching():
            self._tails[path] = self._tail(path)

    def events(self, outbox: Outbox) -> Iterator[Event]:
        discovered = saved = time.monotonic()
        while not self._stop:
            idle = True
            for path, tail in self._tails.items():
                for event in self._read(path, tail):
                    idle = False
                    yield event
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
        return summary([tail.lines for tail in self._tails.values()])

    def close(self) -> None:
        self._save()
        for tail in self._tails.values():
            tail.close()

    def _read(self, path: Path, tail: Tail) -> Iterator[Event]:
        """Some of a log's new events; an acknowledgement by Kafka advances its position."""
        key = os.fsencode(path)
        try:
            for value, file in tail.read():
                yield key, value, partial(file.acknowledge, file.offset)
            self._outages.pop(path, None)
        except OSError as error:
            self._report(path, f"cannot be read: {error}")

    def _save(self) -> None:
        for path, tail in self._tails.items():
            try:
                tail.save()
            except OSError as error:
                self._report(path, f"its position cannot be saved: {error}")

    def _matching(self) -> list[Path]:
        """The files to follow, without the rotated files of one of them."""
        names = {name for pattern in self._patterns for name in _named(pattern)}
        found = [Path(name).absolute() for name in names]
        paths = [path for path in sorted(found) if path.is_file() or not path.exists()]
        return [path for path in paths if not any(is_rotated(path, other) for other in paths)]

    def _discover(self) -> None:
        """Follow new files."""
        for path in self._matching():
            if path in self._tails:
                continue
            try:
                state = path.stat()
                if any(tail.has(state) for tail in self._tails.values()):
                    continue
                self._tails[path] = self._tail(path)
                log.info("following %s", path)
            except (OSError, TailError) as error:
                self._report(path, str(error))

    def _tail(self, path: Path) -> Tail:
        """Raises TailError, OSError."""
        of = hashlib.sha256(f"{self._topic}\n{path}".encode("utf-8", "surrogateescape"))
        name = os.fsencode(path.name[:100])[:NAME]
        state = self._folder / f"{os.fsdecode(name)}-{of.hexdigest()[:16]}.json"
        service = default_service(path.name) if self._service is None else self._service
        return Tail(path, state, Lines(service))

    def _report(self, path: Path, problem: str) -> None:
        outage = self._outages.setdefault(path, Outage(log))
        outage.report(f"{path}: {problem}", logging.ERROR)


def _named(pattern: str) -> list[str]:
    """The files that match a pattern; an existing file's name matches only itself."""
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return [pattern]
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
