"""Files: logs.txt after its rotated files, as if it had never been rotated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from logpipeline.archive.checkpoint import Checkpoint, Partition, Topic
from logpipeline.archive.rotated import RotatedFile


@dataclass(frozen=True)
class File:
    """One file of `length` bytes, unpacked, as `open` reads them."""

    name: str
    length: int
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Hole:
    """Offsets of a stream that no file holds, although files hold some before and after them: from
    `first` up to, not including, `next`. `before` names the file that follows."""

    stream: str
    first: int
    next: int
    before: str


@dataclass
class ArchiveFiles:
    """The files in order, with one `checkpoint` for all. `apart` are older ones without one."""

    files: list[File]
    checkpoint: Checkpoint
    holes: list[Hole] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, rotated: Sequence[RotatedFile], newest: File, checkpoint: Checkpoint
    ) -> "ArchiveFiles":
        """`checkpoint` is that of the newest file. Raises OSError."""
        whole = cls([newest], checkpoint)
        open_topics = set(checkpoint.topics)
        for file in reversed(rotated):
            earlier = file.checkpoint()
            following = whole.files[0].name
            if earlier is None or whole.apart:
                whole.apart.append(file.path().name)
                continue
            whole._shift(earlier.length)
            whole.checkpoint.put_back[:0] = earlier.put_back
            whole.files.insert(0, File(file.path().name, earlier.length, file.open))
            for name in list(open_topics):
                if not whole._precede(name, earlier, following):
                    open_topics.remove(name)
        return whole

    def _shift(self, length: int) -> None:
        """Make room for so many bytes before all others."""
        self.checkpoint.length += length
        put_back = self.checkpoint.put_back
        self.checkpoint.put_back = [(begin + length, end + length) for begin, end in put_back]
        for topic in self.checkpoint.topics.values():
            topic.since += length

    def _precede(self, name: str, earlier: Checkpoint, following: str) -> bool:
        """Put the topic's part of `earlier` before the present one. False if it began later."""
        topic, known = self.checkpoint.topics[name], earlier.topics.get(name)
        began = topic.since > earlier.length
        if began or known is None or known.id != topic.id:
            return False
        for partition, at in known.partitions.items():
            self._connect(name, topic, partition, at, following)
        topic.since = known.since
        return True

    def _connect(
        self, name: str, topic: Topic, partition: int, at: Partition, following: str
    ) -> None:
        later = topic.partitions.get(partition, Partition(at.next, at.next))
        if at.next < later.first:
            self.holes.append(Hole(f"{name}[{partition}]", at.next, later.first, following))
        at.advance(later.first)  # back, if Kafka lost records of this file while a later one grew
        at.next, at.parted = later.next, later.parted
        at.gaps, at.lost = [*at.gaps, *later.gaps], [*at.lost, *later.lost]
        topic.partitions[partition] = at
