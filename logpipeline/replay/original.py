"""Original: a record or a line that is to be sent again, and where it came from."""

from dataclasses import dataclass, field
from typing import NamedTuple

from logpipeline.events.event import Value


class Origin(NamedTuple):
    """A partition or a file, whose records or lines have numbers. The `id` tells it from others
    of that name: a topic's id, or a digest of all that the file holds."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Original:
    """`mark` says for people where it was: "logs.dead-letter[0]@17", "logs.txt:17". It is sent
    once for its `origin` and `number`, however often it is there."""

    mark: str
    origin: Origin
    number: int
    key: bytes | None
    value: Value
    headers: list[tuple[str, bytes]] = field(default_factory=list)
