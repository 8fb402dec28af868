"""Follow: what is written to logs, from where the last run left off.

At least once: how far a log has been read is put on disk after Kafka has acknowledged its lines,
so a kill between the two repeats some.
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

POLL = 0.2  # seconds between looks when nothing is written
DISCOVER = 1.0  # seconds between looks for files that match
NAME = 200  # bytes of a log's name in that of its position; a file's name may have 255
SAVE = 1.0  # seconds between positions put on disk


class Follow(Source):
    """The events of the files that match `patterns`, also of those that come later.

    A log's absolute path is the key of its events, across rotation, `service` their service
    (None: the file's name). Raises TailError, OSError when STATE_DIR or a file can't be used.
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
                raise TailError(f"{pattern}: allowed are files; --input reads a pipe")
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
        """Some of a log's new events; what Kafka has answered for moves its position."""
        key = os.fsencode(path)
        try:
            for value, piece in tail.read():
                yield key, value, partial(piece.acknowledge, piece.offset)
            self._outages.pop(path, None)
        except OSError as error:
            self._complain(path, f"can't be read: {error}")

    def _save(self) -> None:
        for path, tail in self._tails.items():
            try:
                tail.save()
            except OSError as error:
                self._complain(path, f"its position can't be saved: {error}")

    def _matching(self) -> list[Path]:
        """The files to follow: what rotation made of one of them is a part of it."""
        names = {name for pattern in self._patterns for name in _named(pattern)}
        found = [Path(name).absolute() for name in names]
        paths = [path for path in sorted(found) if path.is_file() or not path.exists()]
        return [path for path in paths if not any(is_rotated(path, other) for other in paths)]

    def _discover(self) -> None:
        """Follow files that have come."""
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
                self._complain(path, str(error))

    def _tail(self, path: Path) -> Tail:
        """Raises TailError, OSError."""
        of = hashlib.sha256(f"{self._topic}\n{path}".encode("utf-8", "surrogateescape"))
        name = os.fsencode(path.name[:100])[:NAME]
        state = self._folder / f"{os.fsdecode(name)}-{of.hexdigest()[:16]}.json"
        service = default_service(path.name) if self._service is None else self._service
        return Tail(path, state, Lines(service))

    def _complain(self, path: Path, problem: str) -> None:
        outage = self._outages.setdefault(path, Outage(log))
        outage.report(f"{path}: {problem}", logging.ERROR)


def _named(pattern: str) -> list[str]:
    """The files that a pattern stands for; a file's own name stands for itself."""
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return [pattern]
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute ones
