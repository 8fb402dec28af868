"""Exchange: a request as the dialects read it, what they find in it, and their answer."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import msgspec

MOST_EVENTS = 20_000  # of a request: each costs memory beside its bytes
MOST_PARTS = 500_000  # commas of a JSON body, for the same reason
ID = 16  # bytes of a digest

Pair = tuple[bytes, bytes]  # a record's key and value


class Invalid(Exception):  # noqa: N818 - it describes data, not a failure
    """A request from which nothing was taken; `status` is HTTP's, str() the sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Writer:
    """Who sends a request: the service it may write as ("": any), its token's name in digests, and
    where it is."""

    service: str = ""
    name: bytes = b""
    address: str = ""

    def refusal(self, service: str) -> str:
        """Why it may not write events of `service`; "" when it may."""
        if not self.service or service in {"", self.service}:
            return ""
        return f"this token may write as the service {self.service} only"


@dataclass(slots=True)
class Call:
    """A request with its whole body, expanded."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    writer: Writer

    @property
    def kind(self) -> str:
        """Its Content-Type, without parameters."""
        return self.headers.get(b"content-type", b"").split(b";")[0].decode("latin-1").strip()

    def digest(self, *parts: bytes) -> bytes:
        """The digest of an id; those of two tokens differ."""
        made = blake2b(digest_size=ID)
        for part in (self.writer.name, *parts):
            made.update(len(part).to_bytes(4) + part)
        return made.digest()


@dataclass(slots=True)
class Batch:
    """The events of a request: their records, and the indexes of the others with the reasons.

    `ids` are the digests of the events' own ids, parallel to `pairs`, b"" for an event without
    one; empty when none has. `at` are the indexes of the pairs' events.
    """

    pairs: list[Pair] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request."""

    status: int
    body: bytes = b""
    kind: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Dialect(Protocol):
    """How the clients of one protocol are understood and answered."""

    def read(self, call: Call) -> Batch:
        """Raises Invalid."""

    def stored(self, call: Call, batch: Batch) -> Reply:
        """The answer when Kafka has all of `batch.pairs`."""

    def failed(self, call: Call, status: int, sentence: str) -> Reply:
        """The answer when it has none of them for certain."""


def as_json(value: object) -> bytes:
    return msgspec.json.encode(value)


def check_parts(body: bytes) -> None:
    """Raises Invalid for JSON of so many parts that its objects would fill the memory."""
    if body.count(b",") > MOST_PARTS:
        raise Invalid(413, f"the body has more than {MOST_PARTS:,} values: split it")


def check_count(count: int) -> None:
    """Raises Invalid for too many events."""
    if count > MOST_EVENTS:
        raise Invalid(413, f"the body has more than {MOST_EVENTS:,} events: split it")
