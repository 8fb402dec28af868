"""Workload: a real run that uses all that the archive does with files.

Batches of three partitions with rejects and long lines, rotation, packing, indexes, a store,
deletion, a checkpoint that outgrows its slots, and one of an older version to begin with.
"""

import random
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from config import Settings
from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.retention import Retention
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.archive.store import Store
from logpipeline.events.slices import Slice, read
from logpipeline.files import replace_file, sync
from tests.support.records import Record, event

PARTITIONS = (0, 1, 2)
LIMITS = RotationPolicy(bytes=12_000)
TRIES = 12
T = TypeVar("T")
REJECT = b"invalid"
INVALID = 0.1  # share of records
LONGEST = 2_000  # bytes of padding


class Kafka:
    """The records of each partition."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.records: dict[int, list[bytes]] = {partition: [] for partition in PARTITIONS}

    def copy(self) -> "Kafka":
        other = Kafka(self._dice.getrandbits(32))
        other.records = {p: list(records) for p, records in self.records.items()}
        return other

    def send(self, ends: dict[int, int]) -> None:
        """Have records up to, not including, these offsets."""
        for partition, end in ends.items():
            records = self.records[partition]
            while len(records) < end:
                records.append(self._made(partition, len(records)))

    def ends(self, more: int = 0) -> dict[int, int]:
        return {partition: len(records) + more for partition, records in self.records.items()}

    def batch(self, begin: dict[int, int]) -> list[Slice]:
        """All from these offsets on."""
        return [self._slice(p, begin.get(p, 0), records) for p, records in self.records.items()]

    def events(self) -> list[bytes]:
        """The records that logs.txt has to have, by partition."""
        return [each for records in self.records.values() for each in records if each != REJECT]

    def lose(self, ends: dict[int, int]) -> None:
        """From these offsets on. What is sent next is something else."""
        for partition, records in self.records.items():
            del records[ends.get(partition, 0) :]

    def _slice(self, partition: int, begin: int, records: list[bytes]) -> Slice:
        mine = [Record(n, records[n]) for n in range(begin, len(records))]
        return read(partition, begin, mine)

    def _made(self, partition: int, offset: int) -> bytes:
        if self._dice.random() < INVALID:
            return REJECT
        pad = "x" * int(LONGEST * self._dice.random() ** 4)
        made = self._dice.getrandbits(32)  # unlike that of an offset that was lost
        return event(offset, partition=partition, made=made, pad=pad)


@dataclass
class Place:
    """Where the archive and its store are, and which topic it has."""

    folder: Path
    topic: str = "logs"
    topic_id: str = "topic-id"
    metrics: ArchiveMetrics = field(default_factory=ArchiveMetrics)
    log_file: Path = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.log_file = self.folder / "logs.txt"
        url = f"file://{self.folder}/store"
        self.settings = Settings(_env_file=None, log_file=self.log_file, archive_url=url)

    def archive(self) -> Archive:
        """Open. Raises OSError."""
        archive = Archive(self.log_file, self.topic, limits=LIMITS, metrics=self.metrics)
        try:
            archive.open(self.topic_id)
        except BaseException:
            archive.close()
            raise
        return archive

    def begin(self, archive: Archive) -> None:
        """As the consumer does for partitions that the archive has not seen."""
        for partition in PARTITIONS:
            if partition not in archive.position().next:
                archive.begin(partition, 0)

    def keep(self, **settings: int) -> None:
        """Pack, send and delete. Raises OSError."""
        mine = self.settings.model_copy(update=settings)
        with closing(Retention(mine, self.metrics, Store.of(mine))) as keeper:
            keeper.tend()

    @property
    def checkpoint(self) -> Path:
        return self.log_file.with_name("logs.txt.checkpoint")


def run(
    place: Place,
    kafka: Kafka,
    dice: random.Random,
    batches: int,
    acknowledge: Callable[[dict[int, int]], object],
) -> None:
    """Do it, and `acknowledge` each position. What fails is tried again, as the consumer does."""
    ends = dict.fromkeys(PARTITIONS, 0)
    archive = _persistent(place.archive)
    if dice.random() < 0.5:
        _persistent(partial(_downgrade, place))
    _persistent(partial(place.begin, archive))
    keep_at = {batches // 2, batches - 2}
    for number in range(batches):
        ends = {p: end + dice.choice([0, 1, 2, 5]) for p, end in ends.items()}
        kafka.send(ends)
        _persistent(partial(_append, archive, kafka, acknowledge))
        if number == batches // 3:
            _persistent(partial(_grow, place))
        if number in keep_at:
            _persistent(partial(place.keep, log_keep_files=1))
    archive.close()


def _append(
    archive: Archive,
    kafka: Kafka,
    acknowledge: Callable[[dict[int, int]], object],
) -> None:
    acknowledge(archive.append(kafka.batch(archive.position().next)).next)


def _downgrade(place: Place) -> None:
    """Make the checkpoint one of version 2."""
    checkpoint = Checkpoint.load(place.checkpoint)
    assert checkpoint
    known = msgspec.to_builtins(checkpoint, str_keys=True) | {"version": 2}
    for name in ("sequence", "cut", "put_back"):
        known.pop(name, None)
    replace_file(place.checkpoint, msgspec.json.encode(known))
    sync(place.folder)


def _grow(place: Place) -> None:
    """Give the checkpoint more than a slot holds."""
    checkpoint = Checkpoint.load(place.checkpoint)
    assert checkpoint
    gaps = [(n, n + 1) for n in range(0, 1_000, 2)]
    checkpoint.topics[place.topic].partitions[PARTITIONS[0]].gaps = gaps
    checkpoint.save(place.checkpoint)


def _persistent(what: Callable[[], T]) -> T:
    """Raises OSError only if it fails again and again."""
    for _ in range(TRIES):
        with suppress(OSError):
            return what()
    return what()
