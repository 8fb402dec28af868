"""Checkpoint: which offsets logs.txt accounts for, up to which length.

That of logs.txt is written in place, in two slots; a rotated file's is a plain file of JSON, as all
were before version 3.
"""

import uuid
from pathlib import Path
from typing import Self

import msgspec

from logpipeline.archive import slots
from logpipeline.archive.cut_lines import CutLines, Natural, Span
from logpipeline.archive.offset_gap import Contradiction, OffsetGap
from logpipeline.events.slices import Place, Slice
from logpipeline.files import replace_file, sync

VERSION = 3  # 1 had neither `begun` nor `inode`; 2 was a plain file
EPOCHS = 10  # of a partition that are kept: each is a change of its leader
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError)


class CheckpointError(Exception):
    """The checkpoint cannot be used; str() is one line with the reason and the remedy."""


class Partition(msgspec.Struct, omit_defaults=True):
    """One partition: logs.txt holds the offsets from `first` up to, not including, `next`, without
    `gaps`.

    A gap (from, to) covers offsets that this archive will never hold: Kafka had deleted them,
    or another host's archive took them. `lost` (from, to) are offsets that logs.txt holds twice:
    Kafka has lost their first records. `parted` (offset, epoch) are the places at which it did:
    records from that offset on, of that leader epoch or an earlier one, are those that it lost.
    `epochs` are the newest (leader epoch, first offset); without any, that of the last record is
    unknown.
    """

    first: Natural
    next: Natural
    gaps: list[tuple[Natural, Natural]] = []
    lost: list[tuple[Natural, Natural]] = []
    parted: list[tuple[Natural, Natural]] = []
    epochs: list[tuple[Natural, Natural]] = []

    @property
    def place(self) -> Place:
        return Place(self.next, self.epochs[-1][0] if self.epochs else -1)

    def contradicts(self, start: int, end: int, epoch: int) -> bool:
        """Whether records of that leader epoch at these offsets are of another history of Kafka's
        than those before `next`: epochs never fall from one record to the next."""
        mine = self.place.epoch
        if min(mine, epoch) < 0:
            return False
        return start < self.next if epoch > mine else end > self.next and epoch < mine

    def take(self, start: int, end: int, epoch: int) -> None:
        """Account for records from `start`, the next offset, up to, not including, `end`."""
        self.next = end
        if epoch < 0:
            self.epochs = []
        elif epoch != self.place.epoch:
            self.epochs = [*self.epochs[1 - EPOCHS :], (epoch, start)]

    def advance(self, offset: int, epoch: int = -1) -> None:
        """Set the next offset. If it is beyond the present one, there is a gap before it, and
        `epoch` is that of the record before it; if not, Kafka has lost what follows it."""
        if offset < self.next:
            self._lose(offset)
        elif offset > self.next:
            self.gaps = [*self.gaps, (self.next, offset)]
            self.next, self.epochs = offset, [(epoch, offset)] if epoch >= 0 else []

    def kept(self, place: Place) -> int:
        """The offset up to which what was read up to `place` is in Kafka still, as far as known."""
        since = [offset for offset, epoch in self.parted if 0 <= place.epoch <= epoch]
        return min([place.offset, *since])

    def _lose(self, offset: int) -> None:
        """Kafka's history parts from logs.txt at `offset`."""
        if self.epochs:
            self.parted = [*self.parted[1 - EPOCHS :], (offset, self.place.epoch)]
        start = max(offset, self.first)
        for a, b in [*self.gaps, (self.next, self.next)]:
            if start < a:
                self.lost = [*self.lost, (start, a)]
            start = max(start, b)
        self.gaps = [(a, min(b, offset)) for a, b in self.gaps if a < offset]
        self.epochs = [(e, since) for e, since in self.epochs if since < offset]
        self.first, self.next = min(self.first, offset), offset


class Topic(msgspec.Struct):
    """One topic: its id (it changes when a topic is deleted and created again), the length that
    logs.txt had before its first line, and its partitions."""

    id: str
    since: Natural
    partitions: dict[Natural, Partition] = {}

    def unseen(self, batch: list[Slice]) -> list[Slice]:
        """`batch` without the offsets that are accounted for. Raises Contradiction."""
        fresh = []
        for part in batch:
            known = self.partitions.get(part.partition)
            if known and known.contradicts(part.start, part.end, part.epoch):
                raise Contradiction(part.partition, known.next, part.start)
            new = part.since(known.next) if known else part
            if new.start < new.end:
                fresh.append(new)
        return fresh

    def take(self, fresh: list[Slice]) -> None:
        """Account for the slices. Raises OffsetGap."""
        for part in fresh:
            start = Partition(first=part.start, next=part.start)
            known = self.partitions.setdefault(part.partition, start)
            if part.start > known.next:
                raise OffsetGap(part.partition, known.next, part.start)
            known.take(part.start, part.end, part.epoch)


class Checkpoint(msgspec.Struct, kw_only=True):
    """The file beside logs.txt. `sequence` counts its saves, `archive` is the archive's id,
    `length` is in bytes, `begun` is the Unix time of logs.txt's first line (0: it has none),
    `inode` is that of logs.txt, `cut` are lines that were in it, beyond a checkpoint, and
    `put_back` are the bytes (from, to) of those that it got again as Kafka has lost them."""

    sequence: Natural = 0  # the first, for slots.py
    version: int = VERSION
    archive: str
    length: Natural
    begun: float = 0.0
    inode: Natural = 0
    cut: CutLines | None = None
    put_back: list[Span] = []
    topics: dict[str, Topic] = {}

    @classmethod
    def new(cls, length: int, inode: int = 0) -> Self:
        return cls(archive=uuid.uuid4().hex, length=length, inode=inode)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The checkpoint at `path`, None if it is missing. Needs no lock.

        Raises CheckpointError, OSError.
        """
        try:
            data = slots.read(path)
        except FileNotFoundError:
            return None
        try:
            if msgspec.json.decode(data)["version"] > VERSION:
                raise CheckpointError(f"{path} was written by a newer version: upgrade this one")
            return msgspec.json.decode(data, type=cls)
        except UNREADABLE as error:
            raise CheckpointError(
                f"{path} is not a checkpoint ({error}): restore it from a backup, or delete it "
                "to resume at Kafka's commit, which may repeat the last batch in logs.txt"
            ) from None

    def topic(self, name: str, topic_id: str) -> Topic:
        """The entry of this incarnation of the topic, created if it is new."""
        known = self.topics.get(name)
        if known is None or known.id != topic_id:
            known = self.topics[name] = Topic(id=topic_id, since=self.length)
        return known

    def begin_file(self, inode: int) -> None:
        """Note that logs.txt is a new, empty file: it begins at each partition's next offset."""
        self.length, self.begun, self.inode, self.put_back = 0, 0.0, inode, []
        for topic in self.topics.values():
            topic.since = 0
            for known in topic.partitions.values():
                known.first, known.gaps, known.lost = known.next, [], []

    def save(self, path: Path, mode: int | None = None, in_place: bool = True) -> bytes:
        """Put it on disk. `mode` is that of a new file. Returns its JSON.

        Raises OSError; then the one before is loaded, but after a power cut this one may be.
        """
        self.version = VERSION
        self.sequence += 1
        data = msgspec.json.encode(self)
        slots.write(path, self.sequence, data, mode, in_place)
        return data

    def save_copy(self, path: Path, mode: int | None) -> None:
        """Put it on disk as a plain file, which will not change. Raises OSError."""
        replace_file(path, msgspec.json.encode(self), mode)
        sync(path.parent)
