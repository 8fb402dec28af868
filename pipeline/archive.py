"""Archive: logs.txt, which gets each event once, whatever dies.

How, in this order, under the lock of `logs.txt.lock`:

1. read the checkpoint, and cut what logs.txt has beyond it (a torn tail);
2. drop the records whose offsets the checkpoint already has (fencing);
3. append the lines, and wait until they are on disk;
4. replace the checkpoint, itself on disk before it takes the old one's place.

A kill before 4 leaves a torn tail, which 1 cuts, and records that Kafka still has. A kill
after 4 leaves records that are read again, which 2 drops.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec

from pipeline.batch import Slice
from pipeline.checkpoint import Checkpoint, Partition, Topic
from pipeline.complaint import Complaint
from pipeline.disk import sync_folder, write_all
from pipeline.lock import locked, same_file
from pipeline.metrics import Metrics

log = logging.getLogger(__name__)


class Gap(Exception):  # noqa: N818 - a verdict about offsets, not a failure
    """The records begin after what the archive holds: those from `expected` on come first."""

    def __init__(self, partition: int, expected: int, start: int) -> None:
        super().__init__(f"partition {partition} came from {start}, {expected} is next")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the archive is: its own id, which tells its commits from those of another host's
    archive, and the next offset of each partition it has seen."""

    id: str
    next: dict[int, int]


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of logs.txt, oldest first, and the next offsets after them."""

    lines: list[bytes]
    next: dict[int, int]


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
        self._last: bytes | None = None
        self._metrics = metrics or Metrics()
        self._metrics.watch_checkpoint(self._checkpoint_path)
        self._complaint = Complaint(log)

    def open(self, topic_id: str) -> None:
        """Make the files if missing, and note which incarnation of the topic is read.

        Raises CheckpointError, OSError.
        """
        self.topic_id = topic_id
        with self._locked() as checkpoint:
            known = checkpoint.topics.get(self.topic)
            if known and known.id != topic_id:
                log.warning(
                    "topic %s was deleted and made again (%s is now %s): "
                    "its offsets start over, %s goes on with its events from the first",
                    *(self.topic, known.id, topic_id, self.path),
                )
            checkpoint.topic(self.topic, topic_id)
            self._save(checkpoint)
            sync_folder(self.path.parent)

    def standing(self) -> Standing:
        """How far it is now. Needs no lock. Raises CheckpointError, OSError."""
        checkpoint = self._read()
        partitions = checkpoint.topic(self.topic, self.topic_id).partitions
        return Standing(checkpoint.archive, {p: known.next for p, known in partitions.items()})

    def unseen(self, batch: list[Slice]) -> list[Slice]:
        """`batch` without what the archive holds. Raises CheckpointError, OSError."""
        return _fresh(self._read().topic(self.topic, self.topic_id), batch)

    def begin(self, partition: int, offset: int) -> None:
        """Let `partition` go on at `offset`: its first, or past a gap, or back after a loss.

        Raises CheckpointError, OSError.
        """
        with self._locked() as checkpoint:
            partitions = checkpoint.topic(self.topic, self.topic_id).partitions
            partitions.setdefault(partition, Partition(offset, offset)).go_on(offset)
            self._save(checkpoint)

    def append(self, batch: list[Slice]) -> None:
        """Put the events of `batch` into logs.txt, on disk, unless they are there.

        Raises OSError (nothing is in the file then, or it is cut next time), CheckpointError,
        and Gap when records before `batch` are missing.
        """
        with self._locked() as checkpoint:
            topic = checkpoint.topic(self.topic, self.topic_id)
            fresh = _fresh(topic, batch)
            if fresh:
                _advance(topic, fresh)
                size = self._write(checkpoint, chain.from_iterable(part.lines for part in fresh))
        if fresh:
            self._note(fresh, size)

    def complain(self, problem: Exception) -> None:
        """Say a problem that keeps the archive from going on: once, not at each try."""
        self._metrics.archive_up.set(False)
        self._metrics.archive_failures.inc()
        self._complaint.say(f"{self.path} can't go on, waiting: {problem}", logging.ERROR)

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
        partitions = checkpoint.topic(self.topic, self.topic_id).partitions
        return Tail(lines[:-1], {p: known.next for p, known in partitions.items()})

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, checkpoint: Checkpoint, lines: Iterable[bytes]) -> int:
        """Steps 3 and 4 of the module's docstring. Returns the bytes appended. Raises OSError."""
        data = b"\n".join(lines)
        data += b"\n" if data else b""  # no event is empty
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
        return len(data)

    def _note(self, fresh: list[Slice], size: int) -> None:
        self._complaint.over(f"{self.path} goes on")
        self._metrics.archive_up.set(True)
        self._metrics.archived(fresh, size)

    def _read(self) -> Checkpoint:
        """The checkpoint on disk; what was last seen of it if somebody has deleted it."""
        checkpoint = Checkpoint.load(self._checkpoint_path)
        return checkpoint or self._remembered() or Checkpoint.new(0)

    def _remembered(self) -> Checkpoint | None:
        return msgspec.json.decode(self._last, type=Checkpoint) if self._last else None

    def _save(self, checkpoint: Checkpoint) -> None:
        self._last = checkpoint.save(self._checkpoint_path)

    @contextmanager
    def _locked(self) -> Iterator[Checkpoint]:
        """Hold the lock; logs.txt is open and ends where the checkpoint says."""
        with locked(self._lock_path):
            self._open_file()
            checkpoint = Checkpoint.load(self._checkpoint_path) or self._begin_checkpoint()
            self._mend(checkpoint)
            yield checkpoint

    def _begin_checkpoint(self) -> Checkpoint:
        if remembered := self._remembered():
            log.warning("%s was deleted: it is written anew", self._checkpoint_path)
            return remembered
        size = os.fstat(self._fd).st_size
        if size:
            log.warning(
                "%s has %d bytes but no checkpoint: it goes on at its end, with Kafka's commit; "
                "the batch after that may be in it twice",
                *(self.path, size),
            )
        return Checkpoint.new(_end_of_last_line(self._fd, size))

    def _open_file(self) -> None:
        if self._fd >= 0 and same_file(self._fd, self.path):
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


def _fresh(topic: Topic, batch: list[Slice]) -> list[Slice]:
    """`batch` without the offsets that the checkpoint has."""
    fresh = []
    for part in batch:
        known = topic.partitions.get(part.partition)
        new = part.since(known.next) if known else part
        if new.start < new.end:
            fresh.append(new)
    return fresh


def _advance(topic: Topic, fresh: list[Slice]) -> None:
    """Account for the slices. Raises Gap."""
    for part in fresh:
        start = Partition(first=part.start, next=part.start)
        known = topic.partitions.setdefault(part.partition, start)
        if part.start > known.next:
            raise Gap(part.partition, known.next, part.start)
        known.next = part.end


def _end_of_last_line(fd: int, length: int) -> int:
    """The position after the last newline before `length`."""
    while length:
        begin = max(0, length - 65_536)
        newline = os.pread(fd, length - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        length = begin
    return 0
