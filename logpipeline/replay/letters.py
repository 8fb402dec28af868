"""Letters: the dead letters of a period."""

from collections.abc import Iterator

from logpipeline.kafka.letter_source import LetterSource
from logpipeline.kafka.topic_reader import TopicRecord, read, topic_ids
from logpipeline.replay.original import Origin, Original
from logpipeline.replay.settings import ReplaySettings
from logpipeline.replay.window import Window


class ReplayedLetters:
    """The dead letters written in `window`, of KAFKA_TOPIC and of no known topic.

    `elsewhere` counts those of other topics, in the last iteration.
    """

    def __init__(self, settings: ReplaySettings, window: Window) -> None:
        self._settings = settings
        self._window = window
        self.elsewhere = 0

    def __iter__(self) -> Iterator[Original]:
        """Raises KafkaError, OSError."""
        self.elsewhere = 0
        mine = self._settings.kafka_topic.encode()
        name = self._settings.kafka_dead_letter_topic
        topic_id = topic_ids(self._settings, name).get(name)
        if topic_id is None:
            return
        for record in read(self._settings, name, self._window.since):
            if record.time not in self._window:
                continue
            if dict(record.headers).get("source.topic") not in {None, b"", mine}:
                self.elsewhere += 1
                continue
            yield _original(record, topic_id)

    def __str__(self) -> str:
        """What to add to the line of totals."""
        return f", {self.elsewhere:,} are of other topics" if self.elsewhere else ""


def _original(record: TopicRecord, topic_id: str) -> Original:
    """A record may have two letters, so it is identified by its own partition and offset; if the
    letter does not name them, by the letter's."""
    source = LetterSource.of(record.headers)
    if source:
        # Where Kafka reuses the offsets of records that it lost, the new ones have another epoch.
        history = f"{source.topic_id}/{source.epoch}" if source.epoch >= 0 else source.topic_id
        origin = Origin(f"{source.topic}[{source.partition}]", history)
        number = source.offset
    else:
        origin = Origin(f"{record.topic}[{record.partition}]", topic_id)
        number = record.offset
    kept = [(name, value or b"") for name, value in record.headers if name.startswith("source.")]
    return Original(str(record), origin, number, record.key, record.value, kept)
