"""Archive: logs.txt, which gets each event once, whatever dies.

How, in this order, under the lock of `logs.txt.lock`:

1. read the checkpoint, and cut what logs.txt has beyond it (a torn tail);
2. drop the records whose offsets the checkpoint already has (fencing);
3. append the lines, and wait until they are on disk;
4. replace the checkpoint, itself on disk before it takes the old one's place.

A kill before 4 leaves a torn tail, which 1 cuts, and records that Kafka still has. A kill
after 4 leaves records that are read again, which 2 drops.
"""

import fcntl
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.batch import Slice
from pipeline.checkpoint import Checkpoint, Partition, Topic, write_all
from pipeline.metrics import Metrics

log = logging.getLogger(__name__)

LOCK_PATIENCE = 5.0  # seconds


class Gap(Exception):  # noqa: N818 - a verdict about offsets, not a failure
    """The records begin after what the archive holds: those from `next` on must come first."""

    def __init__(self, partition: int, expected: int, start: int) -> None:
        super().__init__(f"partition {partition} comes from {start}, {expected} is next")
        self.partition = partition


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of logs.txt, oldest first, and the next offset of each partition after them.

    `complete` tells that these are all the lines there are.
    """

    lines: list[bytes]
    next: dict[int, int]
    complete: bool


class Archive:
    """logs.txt and its checkpoint, for the events of one topic.

    Any number of archives on one host, in any number of processes, may share one file.
    """

    def __init__(self, path: Path, topic: str, metrics: Metrics | None = None) -> None:
        self.path = path
        self.topic = topic
        self.topic_id = ""
        self._checkpoint_path = path.with_name(path.name + ".checkpoint")
        self._lock_path = path.with_name(path.name + ".lock")
        self._fd = -1
        self._last: Checkpoint | None = None
        self._metrics = metrics or Metrics()
        self._complaint = ""

    def open(self, topic_id: str) -> None:
        """Make the files if missing, and note which incarnation of the topic is read.

        Raises CheckpointError, OSError.
        """
        self.topic_id = topic_id
        with self._locked() as checkpoint:
            known = checkpoint.topics.get(self.topic)
            if known and known.id == topic_id:
                return
            if known:
                log.warning(
                    "topic %s was deleted and made again (%s is now %s): "
                    "its offsets start over, %s goes on with its events from the first",
                    *(self.topic, known.id, topic_id, self.path),
                )
            checkpoint.topics[self.topic] = Topic(id=topic_id, since=checkpoint.length)
            self._save(checkpoint)

    @property
    def id(self) -> str:
        """The archive's own id, which tells its commits from those of another host's archive."""
        return self._read().archive

    def next(self, partition: int) -> int | None:
        """The offset that the archive needs next, None for a partition it has never seen.

        Raises CheckpointError, OSError.
        """
        known = self._topic(self._read()).partitions.get(partition)
        return known.next if known else None

    def unseen(self, batch: list[Slice]) -> list[Slice]:
        """`batch` without what the archive holds. Raises CheckpointError, OSError."""
        topic = self._topic(self._read())
        return [new for new in (_since(topic, part) for part in batch) if new.start < new.end]

    def begin(self, partition: int, offset: int) -> None:
        """Let `partition` go on at `offset`: its first, or past a gap, or back after a loss.

        Raises CheckpointError, OSError.
        """
        with self._locked() as checkpoint:
            partitions = self._topic(checkpoint).partitions
            known = partitions.setdefault(partition, Partition(first=offset, next=offset))
            if offset > known.next:
                known.gaps.append((known.next, offset))
            known.next = offset
            self._save(checkpoint)

    def append(self, batch: list[Slice]) -> None:
        """Put the events of `batch` into logs.txt, on disk, unless they are there.

        Raises OSError (nothing is in the file then, or it is cut
        next time), CheckpointError, and Gap when records before `batch` are missing.
        """
        with self._locked() as checkpoint:
            topic = self._topic(checkpoint)
            fresh = [new for new in (_since(topic, part) for part in batch) if new.start < new.end]
            if not fresh:
                return
            for part in fresh:
                expected = topic.partitions.setdefault(
                    part.partition, Partition(first=part.start, next=part.start)
                )
                if part.start > expected.next:
                    raise Gap(part.partition, expected.next, part.start)
                expected.next = part.end
            lines = [line for part in fresh for line in part.lines]
            data = b"\n".join(lines) + b"\n" if lines else b""
            old_length = checkpoint.length
            checkpoint.length += len(data)
            try:
                if data:
                    write_all(self._fd, data)
                    os.fdatasync(self._fd)
                self._save(checkpoint)
            except OSError:
                os.ftruncate(self._fd, old_length)
                raise
        self._note(fresh, len(data))

    def complain(self, problem: Exception) -> None:
        """Say a problem that keeps the archive from going on: once, not at each try."""
        self._metrics.archive_up.set(0)
        self._metrics.archive_failures.inc()
        if str(problem) != self._complaint:
            log.error("%s can't go on, waiting: %s", self.path, problem)
            self._complaint = str(problem)

    def _note(self, fresh: list[Slice], size: int) -> None:
        if self._complaint:
            log.info("%s goes on", self.path)
            self._complaint = ""
        self._metrics.archive_up.set(1)
        self._metrics.batches.inc()
        self._metrics.bytes.inc(size)
        for part in fresh:
            for level, events in Counter(part.levels).items():
                self._metrics.events.labels(level).inc(events)

    def tail(self, most: int) -> Tail:
        """The last whole lines within `most` bytes. Needs no lock: what a checkpoint accounts
        for does not change. Raises CheckpointError, OSError."""
        checkpoint = self._read()
        begin = max(0, checkpoint.length - most)
        with self.path.open("rb") as file:
            file.seek(begin)
            lines = file.read(checkpoint.length - begin).split(b"\n")
        if begin:
            del lines[0]
        partitions = self._topic(checkpoint).partitions.items()
        return Tail(lines[:-1], {p: known.next for p, known in partitions}, complete=not begin)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _topic(self, checkpoint: Checkpoint) -> Topic:
        known = checkpoint.topics.get(self.topic)
        if known is None or known.id != self.topic_id:
            known = checkpoint.topics[self.topic] = Topic(id=self.topic_id, since=checkpoint.length)
        return known

    def _read(self) -> Checkpoint:
        """The checkpoint on disk; what was last seen of it if somebody has deleted it."""
        checkpoint = Checkpoint.load(self._checkpoint_path) or self._last
        return checkpoint or Checkpoint.new(0)

    def _save(self, checkpoint: Checkpoint) -> None:
        checkpoint.save(self._checkpoint_path)
        self._last = checkpoint

    @contextmanager
    def _locked(self) -> Iterator[Checkpoint]:
        """Hold the lock; logs.txt is open and ends where the checkpoint says."""
        lock = self._lock()
        try:
            self._open_file()
            checkpoint = Checkpoint.load(self._checkpoint_path) or self._begin_checkpoint()
            self._mend(checkpoint)
            yield checkpoint
        finally:
            os.close(lock)

    def _lock(self) -> int:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            # Somebody may have deleted the file, and others lock its successor.
            if _try_lock(fd) and _same_file(fd, self._lock_path):
                return fd
            os.close(fd)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._lock_path} has been held for {LOCK_PATIENCE} s")
            time.sleep(0.001)

    def _begin_checkpoint(self) -> Checkpoint:
        if self._last is not None:
            log.warning("%s was deleted: it is written anew", self._checkpoint_path)
            return self._last
        size = os.fstat(self._fd).st_size
        if size:
            log.warning(
                "%s has %d bytes but no checkpoint: it goes on at its end, with Kafka's commit; "
                "the batch after that may be in it twice",
                *(self.path, size),
            )
        return Checkpoint.new(_end_of_last_line(self._fd, size))

    def _open_file(self) -> None:
        if self._fd >= 0 and _same_file(self._fd, self.path):
            return
        self.close()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o666)
        sync_folder(self.path.parent)

    def _mend(self, checkpoint: Checkpoint) -> None:
        """Make logs.txt and the checkpoint agree on the length, losing no whole line of ours."""
        size = os.fstat(self._fd).st_size
        if size > checkpoint.length:
            log.warning(
                "%s: cut %d bytes after byte %d that no checkpoint accounts for",
                *(self.path, size - checkpoint.length, checkpoint.length),
            )
            os.ftruncate(self._fd, checkpoint.length)
        elif size < checkpoint.length:
            log.warning(
                "%s was moved, truncated or deleted by someone else: it had %d bytes and has %d; "
                "it goes on at its end with the events that were not yet in it",
                *(self.path, checkpoint.length, size),
            )
            checkpoint.length = _end_of_last_line(self._fd, size)
            os.ftruncate(self._fd, checkpoint.length)
            if not checkpoint.length:
                checkpoint.begin_file()
            self._save(checkpoint)


def sync_folder(folder: Path) -> None:
    """Make a new or renamed file in `folder` survive a power cut. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _since(topic: Topic, part: Slice) -> Slice:
    known = topic.partitions.get(part.partition)
    return part.since(known.next) if known else part


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _end_of_last_line(fd: int, length: int) -> int:
    """The position after the last newline before `length`."""
    while length:
        begin = max(0, length - 65_536)
        newline = os.pread(fd, length - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        length = begin
    return 0
