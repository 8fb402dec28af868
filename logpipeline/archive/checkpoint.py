"""Checkpoint: which offsets logs.txt accounts for, up to which length."""

import uuid
from pathlib import Path
from typing import Annotated, Self

import msgspec

from logpipeline.files import read_file, replace_file

VERSION = 2  # 1 had neither `begun` nor `inode`
Natural = Annotated[int, msgspec.Meta(ge=0)]
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError)


class CheckpointError(Exception):
    """The checkpoint can't be used; str() is one line that says why and what to do."""


class Partition(msgspec.Struct):
    """Of one partition: what is in logs.txt are the offsets from `first` to `next`, less `gaps`.

    A gap (from, to) are offsets that this archive will never hold: Kafka had deleted them,
    or another host's archive took them.
    """

    first: Natural
    next: Natural
    gaps: list[tuple[Natural, Natural]] = []

    def advance(self, offset: int) -> None:
        """Let `offset` be the next, with a gap before it if it is further on."""
        if offset > self.next:
            self.gaps.append((self.next, offset))
        self.next = offset


class Topic(msgspec.Struct):
    """Of one topic: its id (it changes when a topic is deleted and made again), the length
    that logs.txt had before its first line, and its partitions."""

    id: str
    since: Natural
    partitions: dict[Natural, Partition] = {}


class Checkpoint(msgspec.Struct, kw_only=True):
    """The file beside logs.txt. `archive` is this archive's own id, `length` is in bytes, `begun`
    the Unix time of logs.txt's first line (0: it has none), `inode` that of logs.txt."""

    version: int = VERSION
    archive: str
    length: Natural
    begun: float = 0.0
    inode: Natural = 0
    topics: dict[str, Topic] = {}

    @classmethod
    def new(cls, length: int) -> Self:
        return cls(archive=uuid.uuid4().hex, length=length)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The checkpoint at `path`, None when there is none. Raises CheckpointError, OSError."""
        try:
            data = read_file(path)
        except FileNotFoundError:
            return None
        try:
            if msgspec.json.decode(data)["version"] > VERSION:
                raise CheckpointError(f"{path} was written by a newer version: update this one")
            return msgspec.json.decode(data, type=cls)
        except UNREADABLE as error:
            raise CheckpointError(
                f"{path} is not a checkpoint ({error}): restore it from a backup, or delete it "
                "to go on from Kafka's commit, which may repeat the last batch in logs.txt"
            ) from None

    def topic(self, name: str, topic_id: str) -> Topic:
        """What it says of this incarnation of the topic, which is begun if it is new."""
        known = self.topics.get(name)
        if known is None or known.id != topic_id:
            known = self.topics[name] = Topic(id=topic_id, since=self.length)
        return known

    def begin_file(self) -> None:
        """Note that logs.txt is empty: what it will hold begins with each partition's next."""
        self.length, self.begun = 0, 0.0
        for topic in self.topics.values():
            topic.since = 0
            for known in topic.partitions.values():
                known.first, known.gaps = known.next, []

    def save(self, path: Path, mode: int | None = None) -> bytes:
        """Put it at `path` in one step, on disk before it replaces the old one.

        `mode` is that of a new file. Returns what was written. Raises OSError.
        """
        self.version = VERSION
        data = msgspec.json.encode(self)
        replace_file(path, data, mode)
        return data
