"""Original: a record or a line to be sent again, and its origin."""

from dataclasses import dataclass, field
from typing import NamedTuple

from logpipeline.events.event import Value


class Origin(NamedTuple):
    """A partition or a file, whose records or lines have numbers. The `id` distinguishes it from
    others of that name: a topic's id, or a digest of the file's contents."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Original:
    """`mark` is its position for people: "logs.dead-letter[0]@17", "logs.txt:17". It is sent once
    for its `origin` and `number`, no matter how often it is found."""

    mark: str
    origin: Origin
    number: int
    key: bytes | None
    value: Value
    headers: list[tuple[str, bytes]] = field(default_factory=list)
