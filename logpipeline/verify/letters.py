"""Letters: which records have a dead letter, by the headers of the dead-letter topic."""

from collections.abc import Mapping
from contextlib import closing

from kafka import TopicPartition

from logpipeline.archive.checkpoint import Partition
from logpipeline.events.columns import Headers
from logpipeline.kafka.letter_source import LetterSource
from logpipeline.kafka.records import Records
from logpipeline.verify.settings import VerifySettings
from logpipeline.verify.snapshot import KafkaView


class DeadLetterIndex:
    """The whole dead-letter topic, as one bit for each offset that may have a letter: those of the
    `known` partitions, as the checkpoint has them.

    `ids` are those of the topics of these offsets: letters with another id are ignored.

    `doubled` counts letters beyond the first of a record; `incomplete` is true if Kafka has
    deleted some. Raises KafkaError.
    """

    def __init__(
        self,
        settings: VerifySettings,
        kafka: KafkaView,
        known: Mapping[TopicPartition, Partition],
        ids: dict[str, str],
    ) -> None:
        self._known = known
        spans = {at: (partition.first, partition.next) for at, partition in known.items()}
        self._spans = spans
        self._ids = ids
        self._marks = {at: bytearray((end - start) // 8 + 1) for at, (start, end) in spans.items()}
        self.doubled = 0
        ats = [at for at in kafka.end if at.topic == settings.kafka_dead_letter_topic]
        self.incomplete = any(kafka.first[at] for at in ats)
        with closing(
            Records(
                settings,
                {at: (kafka.first[at], kafka.end[at]) for at in ats},
                details=True,
            )
        ) as records:
            while records.unread:
                for letters in records.poll(ats).values():
                    for _, headers in letters.details:
                        self._mark(headers)

    def before(self, at: TopicPartition, offset: int) -> int:
        """The number of records before that offset that have one."""
        index, bits = divmod(offset - self._spans[at][0], 8)
        marks = self._marks[at]
        whole = int.from_bytes(marks[:index], "little")
        return whole.bit_count() + (marks[index] & (1 << bits) - 1).bit_count()

    def has(self, at: TopicPartition, offset: int) -> bool:
        index, bit = divmod(offset - self._spans[at][0], 8)
        return bool(self._marks[at][index] >> bit & 1)

    def _mark(self, headers: Headers) -> None:
        source = LetterSource.of(headers)
        if source is None:
            return  # another program wrote it
        if source.topic_id and source.topic_id != self._ids.get(source.topic):
            return
        at, offset = TopicPartition(source.topic, source.partition), source.offset
        if at in self._known and self._known[at].kept(source.place) <= offset:
            return  # of a record that Kafka has lost
        start, end = self._spans.get(at, (0, 0))
        if start <= offset < end:
            if self.has(at, offset):
                self.doubled += 1
            index, bit = divmod(offset - start, 8)
            self._marks[at][index] |= 1 << bit
