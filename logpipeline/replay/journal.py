"""Journal: the topic `<KAFKA_TOPIC>.replayed`, which records what each run has sent again.

Kafka stores an entry together with the records that it describes, or neither, so it is never
wrong. It is kept for ever; each entry is small and readable.
"""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing, suppress

import msgspec
from kafka.errors import TopicAlreadyExistsError

from logpipeline.events.event import Value, is_deep
from logpipeline.kafka import clients
from logpipeline.kafka.topic_reader import read, topic_ids
from logpipeline.replay.original import Origin, Original
from logpipeline.replay.ranges import Ranges
from logpipeline.replay.settings import ReplaySettings

MOST_NUMBER = 2**63 - 1


class JournalEntry(msgspec.Struct, omit_defaults=True):
    """The numbers of one origin that a run has sent to the topic of that id; an entry without any
    marks the beginning of the run. `again` is the word of --again."""

    run: str
    topic_id: str
    again: str = ""
    name: str = ""
    id: str = ""
    sent: list[tuple[int, int]] = []


class JournalError(Exception):
    """The journal cannot be used; str() is one line with the reason."""


class Overtaken(Exception):  # noqa: N818 - it is a verdict, not a failure
    """Another replay into the topic has begun, and replaces this one."""


class Journal:
    """What was sent under the word `again`, by `run` and by others, when the journal was read.

    `sent` counts what this run has sent. Raises JournalError, KafkaError, OSError.
    """

    def __init__(self, settings: ReplaySettings, run: str, again: str) -> None:
        self._run = run
        self._again = again
        self.name = name(settings)
        self._runs: list[str] = []  # in the order of their beginnings
        self.sent = 0
        self._others: defaultdict[Origin, Ranges] = defaultdict(Ranges)
        self._mine: defaultdict[Origin, Ranges] = defaultdict(Ranges)
        ids = topic_ids(settings, settings.kafka_topic, self.name)
        self._topic_id = ids.get(settings.kafka_topic, "")
        if self.name in ids:
            # A reader may see the end of a transaction later than its sender has heard of it.
            for record in read(settings, self.name, settled=True):
                try:
                    self._add(_decoded(record.value))
                except ValueError as error:
                    raise JournalError(f"{record} is not an entry of a replay: {error}") from None

    def begun(self) -> bool:
        """Whether this run has begun. Raises Overtaken when another one has since."""
        if self._run in self._runs and self._runs[-1] != self._run:
            raise Overtaken("stopped: another replay has begun, and replaces this one")
        return self._run in self._runs

    def by_others(self, original: Original) -> bool:
        """Whether an earlier run has sent it."""
        return original.number in self._others[original.origin]

    def take(self, original: Original) -> bool:
        """Note that this run sends it. False if it has sent it already."""
        mine = self._mine[original.origin]
        if original.number in mine:
            return False
        mine.add(original.number, original.number + 1)
        return True

    def beginning(self) -> bytes:
        """The entry that marks the beginning of this run."""
        return self._encoded(Origin("", ""), Ranges())

    def entries(self, block: Iterable[Original]) -> list[bytes]:
        """The entries of a block that is sent."""
        sent: defaultdict[Origin, Ranges] = defaultdict(Ranges)
        for original in block:
            sent[original.origin].add(original.number, original.number + 1)
        return [self._encoded(origin, numbers) for origin, numbers in sent.items()]

    def _encoded(self, origin: Origin, sent: Ranges) -> bytes:
        entry = JournalEntry(self._run, self._topic_id, self._again, *origin, sent.pairs())
        return msgspec.json.encode(entry)

    def _add(self, entry: JournalEntry) -> None:
        if not entry.sent:
            self._runs.append(entry.run)
        if (entry.topic_id, entry.again) != (self._topic_id, self._again):
            return  # of a topic that was deleted since, or of another word
        mine = entry.run == self._run
        for start, end in entry.sent:
            (self._mine if mine else self._others)[Origin(entry.name, entry.id)].add(start, end)
            self.sent += mine * (end - start)


def _decoded(value: Value) -> JournalEntry:
    """Raises ValueError."""
    if not isinstance(value, bytes) or is_deep(value):
        raise ValueError("not JSON of a replay")
    entry = msgspec.json.decode(value, type=JournalEntry)
    if not all(0 <= start < end <= MOST_NUMBER for start, end in entry.sent):
        raise ValueError("its ranges of numbers are invalid")
    return entry


def name(settings: ReplaySettings) -> str:
    """The journal's topic."""
    return f"{settings.kafka_topic}.replayed"


def ensure(settings: ReplaySettings) -> None:
    """Create the journal's topic if it is missing. Raises KafkaError, OSError."""
    options = {
        "num_partitions": 1,
        "replication_factor": settings.kafka_replication_factor,
        "configs": {"retention.ms": "-1", "retention.bytes": "-1"},
    }
    with closing(clients.admin(settings)) as admin:
        if name(settings) in admin.list_topics():
            return
        with suppress(TopicAlreadyExistsError):  # another program was quicker
            admin.create_topics({name(settings): options}, wait_for_metadata=True)
