"""Request: what is searched, and the bounds of the answer; the page needs no more of this room."""

import math

import msgspec

MORE = "older events: there are more than are shown"  # what an answer left out


class Query(msgspec.Struct, frozen=True):
    """`levels` and `services` are those of which an event must have one; empty: any. Times are
    Unix seconds, `to` is not included."""

    words: tuple[str, ...] = ()
    regex: bool = False
    levels: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    since: float = -math.inf
    to: float = math.inf
    without: tuple[str, ...] = ()  # words that it must not have


class Request(msgspec.Struct, frozen=True):
    """A query, and the bounds of its answer: events, and seconds. `around`: not what is found, but
    the neighbours of the event in this file at this position."""

    query: Query
    most: int = 500
    seconds: float = 20.0
    around: tuple[str, int, str] | None = None  # file, position, record
