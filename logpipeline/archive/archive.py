"""Archive: logs.txt, which gets each event once, whatever dies.

The steps, in this order, under the lock of `logs.txt.lock`:

1. read the checkpoint, and cut what logs.txt holds beyond it (a torn tail);
2. drop the records whose offsets the checkpoint already covers (fencing);
3. append the lines, and wait until they are on disk;
4. write the checkpoint into the slot that the one before does not use, and wait again.

A kill or a power cut before the end of step 4 leaves a torn tail, which step 1 cuts, and records
that Kafka still has. One after it leaves records that are read again, which step 2 drops.

Rotation happens under the same lock, with nothing beyond the checkpoint: the checkpoint is copied
beside the new name, logs.txt is renamed, a new one is created, and the checkpoint is that of the
new one. Each step is on disk, the folder included, before the next. A crash before the last leaves
a checkpoint with the inode of a file that has moved, which step 1 notices; logrotate's rename looks
the same.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec

from logpipeline.archive import recovery
from logpipeline.archive.checkpoint import Checkpoint, Partition, Topic
from logpipeline.archive.cut_lines import CutFile, Span
from logpipeline.archive.log_file import LogFile
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.offset_gap import OffsetGap as OffsetGap
from logpipeline.archive.rotated import by_name, last_lines, next_rotated
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.events.slices import Place, Slice, pieces
from logpipeline.files import remove_drafts
from logpipeline.locks import locked
from logpipeline.outage import Outage

log = logging.getLogger(__name__)

SHOWN = 100  # bytes of an event in a log line


ANYWHERE = Place(-1)


@dataclass(frozen=True, slots=True)
class ArchivePosition:
    """The archive's id, which distinguishes its commits from those of another host's archive, and
    each partition that it has seen."""

    id: str
    partitions: dict[int, Partition]

    @property
    def next(self) -> dict[int, int]:
        """Partition → next offset."""
        return {partition: known.next for partition, known in self.partitions.items()}


@dataclass(frozen=True, slots=True)
class ArchiveTail:
    """The last lines of logs.txt, oldest first, and the places after them."""

    lines: list[bytes]
    places: dict[int, Place]


class Archive:
    """logs.txt and its checkpoint, for the events of one topic.

    Any number of archives on one host, in any number of processes, may share one file.
    """

    def __init__(
        self,
        path: Path,
        topic: str,
        metrics: ArchiveMetrics | None = None,
        limits: RotationPolicy = RotationPolicy(),  # noqa: B008 - it is immutable
    ) -> None:
        self.path = path
        self.topic = topic
        self._topic_id = ""
        self._checkpoint_path = path.with_name(path.name + ".checkpoint")
        self._lock_path = path.with_name(path.name + ".lock")
        self._file = LogFile(path)
        self._cut_file = CutFile(path)
        self._limits = limits
        self._last: bytes | None = None
        self._is_doubtful = False  # a save failed: what is read may not be on disk
        self._metrics = metrics or ArchiveMetrics()
        self._metrics.watch_checkpoint(self._checkpoint_path)
        self._outage = Outage(log)

    def open(self, topic_id: str) -> None:
        """Create missing files, and note which incarnation of the topic is read.

        Raises CheckpointError, OSError.
        """
        self._topic_id = topic_id
        with self._locked() as checkpoint:
            remove_drafts(self.path.parent, self._is_checkpoint)
            known = checkpoint.topics.get(self.topic)
            if known and known.id != topic_id:
                log.warning(
                    "topic %s was deleted and created again (its id was %s, and is now %s): "
                    "its offsets start over; %s gets its events from the first",
                    *(self.topic, known.id, topic_id, self.path),
                )
            checkpoint.topic(self.topic, topic_id)
            self._save(checkpoint)
            if not checkpoint.cut:
                self._cut_file.remove()  # which a kill has left

    def position(self) -> ArchivePosition:
        """The next offsets now. Needs no lock. Raises CheckpointError, OSError."""
        return self._position_in(self._read())

    def unseen(self, batch: list[Slice]) -> list[Slice]:
        """`batch` without what is archived. Raises CheckpointError, Contradiction, OSError."""
        return self._read().topic(self.topic, self._topic_id).unseen(batch)

    def begin(
        self, partition: int, offset: int, epoch: int = -1, seen: Place | None = ANYWHERE
    ) -> bool:
        """Set the next offset of `partition`: its first, or past a gap, or back after a loss.

        `epoch` is the leader epoch of the record before it. Does nothing and returns False if the
        partition is no longer where it was `seen` (None: nowhere). Raises CheckpointError, OSError.
        """
        with self._locked() as checkpoint:
            partitions = checkpoint.topic(self.topic, self._topic_id).partitions
            known = partitions.get(partition)
            if seen not in (ANYWHERE, known.place if known else None):
                return False
            known = partitions.setdefault(partition, Partition(offset, offset))
            known.advance(offset, epoch)
            if checkpoint.cut:  # Kafka does not have the records at the next offset any more
                checkpoint.cut.settle(self.topic, partition)
            self._save(checkpoint)
            return True

    def append(self, batch: list[Slice]) -> ArchivePosition:
        """Append the events of `batch` that logs.txt does not hold yet, on disk. Returns the
        position after them.

        Rotates logs.txt first when it is due, so call it without events, too. Raises OSError (then
        nothing was appended, or the next call cuts it), CheckpointError, OffsetGap when records
        before `batch` are missing, and Contradiction when Kafka has lost some that are archived.
        """
        with self._locked() as checkpoint:
            if checkpoint.begun and self._limits.over(checkpoint.begun, time.time()):
                self._rotate(checkpoint)
            topic = checkpoint.topic(self.topic, self._topic_id)
            for piece in self._pieces(topic.unseen(batch), checkpoint):
                self._put(piece, topic, checkpoint)
            return self._position_in(checkpoint)

    def complain(self, problem: Exception) -> None:
        """Log a problem that keeps the archive from writing: once, not at each retry. Records that
        do not follow those in logs.txt are one, too."""
        self._metrics.up.set(False)
        self._metrics.append_failures.inc()
        failed = "reading again" if isinstance(problem, OffsetGap) else "cannot write, retrying"
        self._outage.report(f"{self.path}: {failed}: {problem}", logging.ERROR)

    def tail(self, most: int) -> ArchiveTail:
        """The last whole lines within `most` bytes, including those of rotated files. Needs no
        lock: what a checkpoint accounts for does not change. Raises CheckpointError, OSError."""
        checkpoint, lines = last_lines(self.path, self._read, most)
        partitions = checkpoint.topic(self.topic, self._topic_id).partitions
        return ArchiveTail(lines, {p: known.place for p, known in partitions.items()})

    def close(self) -> None:
        self._file.close()

    def _position_in(self, checkpoint: Checkpoint) -> ArchivePosition:
        partitions = checkpoint.topic(self.topic, self._topic_id).partitions
        return ArchivePosition(checkpoint.archive, partitions)

    def _pieces(self, fresh: list[Slice], checkpoint: Checkpoint) -> Iterator[list[Slice]]:
        """What to append in one write; logs.txt is rotated between two pieces."""
        most = self._limits.bytes
        if not most:
            yield from [fresh] if fresh else []
            return
        for piece in pieces(fresh, max(0, most - checkpoint.length), most):
            size = sum(len(line) + 1 for part in piece for line in part.lines)
            if checkpoint.length and checkpoint.length + size > most:
                self._rotate(checkpoint)
            yield piece

    def _put(self, fresh: list[Slice], topic: Topic, checkpoint: Checkpoint) -> None:
        """Steps 3 and 4 of the module's docstring. Raises OSError, OffsetGap."""
        self._limits.check_room(self.path.parent)
        topic.take(fresh)
        kept = self._cut_file.cross_off(checkpoint.cut, self.topic, fresh) if checkpoint.cut else []
        data = b"\n".join(chain(kept, *(part.lines for part in fresh)))
        data += b"\n" if data else b""  # an event is never empty
        if data:
            self._file.append(data)
            checkpoint.put_back += _span(checkpoint.length, kept)
            checkpoint.length += len(data)
            checkpoint.begun = checkpoint.begun or time.time()
        self._save(checkpoint)  # if it fails, it may be on disk: so nothing is cut yet
        self._note(fresh, len(data))
        if checkpoint.cut and not checkpoint.cut.spans:
            self._forget_cut(checkpoint, kept)

    def _forget_cut(self, checkpoint: Checkpoint, kept: list[bytes]) -> None:
        """Remove logs.txt.cut, all lines of which are in logs.txt now. Raises OSError."""
        if kept:
            log.error(
                "%s: Kafka no longer has %d events that were in it before a crash, beyond its "
                "checkpoint: kept them, from %r to %r",
                *(self.path, len(kept), kept[0][:SHOWN], kept[-1][:SHOWN]),
            )
        checkpoint.cut = None
        self._save(checkpoint)
        self._cut_file.remove()

    def _rotate(self, checkpoint: Checkpoint) -> None:
        """Rename logs.txt, and begin a new one. Raises OSError."""
        finished = next_rotated(self.path, datetime.now(UTC))
        checkpoint.save_copy(finished.sidecar, self._file.mode)
        self._file.rename(finished.plain)
        checkpoint.begin_file(self._file.inode)
        self._save(checkpoint)
        self._metrics.rotations.inc()

    def _note(self, fresh: list[Slice], size: int) -> None:
        self._outage.resolve(f"{self.path}: writing again")
        self._metrics.up.set(True)
        self._metrics.appended(fresh, size)

    def _is_checkpoint(self, name: str) -> bool:
        """Whether a checkpoint of logs.txt, or of a rotated file, has this name."""
        path = self.path.with_name(name)
        rotated = by_name(path.with_suffix(""), self.path)
        return path == self._checkpoint_path or bool(rotated and path == rotated.sidecar)

    def _read(self) -> Checkpoint:
        """The checkpoint on disk; the last one seen if somebody has deleted it."""
        checkpoint = Checkpoint.load(self._checkpoint_path)
        return checkpoint or self._remembered() or Checkpoint.new(0)

    def _remembered(self) -> Checkpoint | None:
        return msgspec.json.decode(self._last, type=Checkpoint) if self._last else None

    def _save(self, checkpoint: Checkpoint) -> None:
        doubtful, self._is_doubtful = self._is_doubtful, True
        self._last = checkpoint.save(self._checkpoint_path, self._file.mode, not doubtful)
        self._is_doubtful = False

    @contextmanager
    def _locked(self) -> Iterator[Checkpoint]:
        """Hold the lock; logs.txt is open, and has the checkpoint's length."""
        with locked(self._lock_path):
            self._file.open()
            checkpoint = Checkpoint.load(self._checkpoint_path) or self._restored()
            recovery.mend(self._file, checkpoint, self._cut_file, partial(self._save, checkpoint))
            if self._is_doubtful:
                self._save(checkpoint)
            yield checkpoint

    def _restored(self) -> Checkpoint:
        """In place of a missing checkpoint: the last one seen, or a new one."""
        if remembered := self._remembered():
            log.warning("%s was deleted: restoring it", self._checkpoint_path)
            return remembered
        return recovery.first_checkpoint(self._file)


def _span(begin: int, lines: list[bytes]) -> list[Span]:
    """The bytes of these lines from `begin` on, if there are any."""
    return [(begin, begin + sum(len(line) + 1 for line in lines))] if lines else []
