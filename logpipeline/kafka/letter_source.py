"""Letter source: the original position of a dead letter's record, by the letter's headers.

Anybody may have written them.
"""

import re
from dataclasses import dataclass

from logpipeline.events.columns import Headers
from logpipeline.events.slices import Place
from logpipeline.kafka.settings import TOPIC_NAME

NAME = re.compile(TOPIC_NAME)
ID = re.compile(r"[\w-]{0,40}", re.ASCII)
NUMBER = re.compile(rb"\d{1,19}")
MOST_PARTITION, MOST_EPOCH, MOST_OFFSET = 2**31 - 1, 2**31 - 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class LetterSource:
    """`topic_id` is "" in letters from the first version of this program, and the leader `epoch` is
    -1 where it is unknown."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    epoch: int = -1

    @property
    def place(self) -> Place:
        """The place after the record."""
        return Place(self.offset + 1, self.epoch)

    @classmethod
    def of(cls, headers: Headers) -> "LetterSource | None":
        """The source in `headers`; None when it is missing or invalid."""
        values = dict(headers)
        topic = _text(values.get("source.topic"))
        topic_id = _text(values.get("source.topic_id"))
        partition = _number(values.get("source.partition"), MOST_PARTITION)
        offset = _number(values.get("source.offset"), MOST_OFFSET)
        epoch = _number(values.get("source.leader_epoch"), MOST_EPOCH)
        named = NAME.fullmatch(topic) and ID.fullmatch(topic_id)
        if not named or partition is None or offset is None:
            return None
        return cls(topic, topic_id, partition, offset, -1 if epoch is None else epoch)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _number(value: bytes | None, most: int) -> int | None:
    number = int(value) if value and NUMBER.fullmatch(value) else None
    return number if number is not None and number <= most else None
