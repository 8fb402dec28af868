"""Letters: the dead letters of a time."""

from collections.abc import Iterator
from typing import Any

from logpipeline.kafka.settings import DeadLetterSettings
from logpipeline.kafka.topic_reader import read, topic_ids
from logpipeline.replay.original import Origin, Original
from logpipeline.replay.window import Window


class Letters:
    """The dead letters that were put there in `window`, of KAFKA_TOPIC and of no known topic.

    `elsewhere` counts those of other topics, in the last reading.
    """

    def __init__(self, settings: DeadLetterSettings, window: Window) -> None:
        self._settings = settings
        self._window = window
        self.elsewhere = 0

    def __iter__(self) -> Iterator[Original]:
        """Raises KafkaError, OSError."""
        self.elsewhere = 0
        name = self._settings.kafka_dead_letter_topic
        topic_id = topic_ids(self._settings, name).get(name)
        if topic_id is None:
            return
        for record in read(self._settings, name, self._window.since):
            if record.timestamp / 1_000 not in self._window:
                continue
            original = _original(record, topic_id)
            if dict(original.headers).get("source.topic", b"").decode(errors="replace") not in (
                "",
                self._settings.kafka_topic,
            ):
                self.elsewhere += 1
                continue
            yield original

    def __str__(self) -> str:
        """For the line of totals: what else there is to say."""
        return f", {self.elsewhere:,} are of other topics" if self.elsewhere else ""


def _original(record: Any, topic_id: str) -> Original:
    """One record may have two letters, so it is known by its own place; a letter that does not
    say it, by the letter's."""
    mark = f"{record.topic}[{record.partition}]@{record.offset}"
    headers = [(name, value or b"") for name, value in record.headers]
    source = {name: value.decode(errors="replace") for name, value in headers}
    try:
        place = f"{source['source.topic']}[{int(source['source.partition'])}]"
        origin = Origin(place, source.get("source.topic_id", ""))
        number = int(source["source.offset"])
    except (KeyError, ValueError):
        origin = Origin(f"{record.topic}[{record.partition}]", topic_id)
        number = record.offset
    kept = [(name, value) for name, value in headers if name.startswith("source.")]
    return Original(mark, origin, number, record.key, record.value, kept)
