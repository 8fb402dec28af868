"""Records: what a test puts into a slice or a topic instead of reading it from Kafka."""

import json
from dataclasses import dataclass
from typing import Any

from logpipeline.events.slices import Slice, read


@dataclass
class Record:
    """The three fields of a kafka-python record that the pipeline uses."""

    offset: int
    value: bytes | None
    key: bytes | None = None


def event(number: int = 0, **fields: Any) -> bytes:
    """An event that is told from others by its number."""
    default = {"level": "INFO", "message": f"event {number}", "timestamp": 1_711_234_567 + number}
    return json.dumps(default | fields).encode()


def large_event(number: int, message: bytes, **fields: Any) -> bytes:
    """An event with a long message, of characters that JSON has as they are."""
    return event(number, message="long", **fields).replace(b"long", message)


def events(partition: int, start: int, end: int, **fields: Any) -> Slice:
    """A slice that has an event at each offset."""
    records = [
        Record(offset, event(offset, partition=partition, **fields)) for offset in range(start, end)
    ]
    return read(partition, start, records)
