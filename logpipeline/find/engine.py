"""Engine: a search for the page, in a process of its own, so that it delays nobody.

    python -m logpipeline.find.engine --log-file logs.txt < request

reads a Request as MessagePack, which has infinity, and writes a line of JSON for each event, newest
first, {"file", "position", "record"}, one for the histogram, {"counts": [[bin, level, events], …],
"bin": seconds}, with about sixty bins for a short time, and at the end {"done": true, "left_out"}:
a sentence, "" when nothing was; or {"done": true, "error"}. With `around`, the lines are that event
and its neighbours, oldest first.
"""

import os
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec

from logpipeline import command_line
from logpipeline.archive.index import BIN
from logpipeline.archive.store_error import StoreError
from logpipeline.find.context import LinePlace, Neighbours
from logpipeline.find.query import Matcher, Query
from logpipeline.find.request import MORE
from logpipeline.find.request import Request as Request
from logpipeline.find.search import Search
from logpipeline.find.settings import FindSettings
from logpipeline.find.sources import NoArchive, SearchedFiles, store_of
from logpipeline.find.word import BadQuery
from logpipeline.shutdown import Shutdown

NICENESS = 10
BINS = (1, 2, 5, 10, 15, 30, 60, 180, 300, BIN)  # seconds; each is a part of BIN
MOST_BINS = 64
MEMORY = 2 * 2**30  # bytes of a process's addresses


class Deadline:
    """True once the time is up, or `stop` is set."""

    def __init__(self, seconds: float, stop: Shutdown) -> None:
        self._end = time.monotonic() + seconds
        self._stop = stop

    def __bool__(self) -> bool:
        return bool(self._stop) or time.monotonic() > self._end


def main(argv: Sequence[str] | None = None) -> int:
    settings, _ = command_line.load(FindSettings, argv, __doc__ or "")
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Request)
        answer(settings, request, Shutdown().on_signals())
    except (BadQuery, NoArchive, StoreError, OSError, msgspec.MsgspecError) as error:
        write({"done": True, "error": " ".join(str(error).split())})
        return 2
    return 0


def answer(settings: FindSettings, request: Request, stop: Shutdown) -> None:
    """Raises BadQuery, NoArchive, StoreError, OSError, BrokenPipeError."""
    matcher = Matcher(request.query)
    deadline = Deadline(request.seconds, stop)
    with closing(SearchedFiles(settings.log_file, store_of(settings))) as sources:
        if request.around:
            neighbours(sources, matcher, *request.around, request.most)
            write({"done": True, "left_out": ""})
            return
        left_out = events(sources, matcher, request.most, deadline)
        left_out = histogram(sources, request.query, deadline) or left_out
    write({"done": True, "left_out": left_out})


def events(sources: SearchedFiles, matcher: Matcher, most: int, deadline: Deadline) -> str:
    """Write the newest, newest first. Returns what was left out."""
    left_out: dict[str, None] = {}
    with Search(sources, matcher, newest=most, processes=1) as search:
        for found in search.results(deadline):
            name = search.sources[found.source].name
            if found.problem:
                left_out[f"a part of {name}: {found.problem}"] = None
            for position, line in reversed(found.lines[-most:]):
                write({"file": name, "position": position, "record": line.decode()})
            most -= len(found.lines[-most:])
            if most <= 0:
                left_out[MORE] = None
                break
        else:
            if deadline:
                left_out["older events: the time was up"] = None
    return "; ".join(left_out)


def neighbours(
    sources: SearchedFiles, matcher: Matcher, file: str, position: int, record: str, most: int
) -> None:
    """Write up to `most` events of the same service or host before it, itself, and as many after
    it."""
    with Search(sources, matcher, processes=1) as search:
        for number, source in enumerate(search.sources):
            if source.name == file:
                with closing(Neighbours(search, most, every=False)) as near:
                    list(near.add(LinePlace(number, position), record.encode()))
                    lines = [line for group in near.rest() for line in group]
                for line in lines:
                    write({"file": file, "position": -1, "record": line.decode()})


def histogram(sources: SearchedFiles, query: Query, deadline: Deadline) -> str:
    """Write the events by time and level. Returns what was left out."""
    seconds = bin_for(query, time.time())
    matcher = Matcher(query, seconds)
    counts: dict[tuple[int, str], int] = {}
    with Search(sources, matcher, counts=True, processes=1) as search:
        for found in search.results(deadline):
            search.totals += found.counts
        for (bin_, level, _), number in search.totals.items():
            counts[bin_, level] = counts.get((bin_, level), 0) + number
    write({"bin": seconds, "counts": [[*key, number] for key, number in sorted(counts.items())]})
    return "events of the histogram: the time was up" if deadline else ""


def bin_for(query: Query, now: float) -> int:
    """The seconds of a bin, so that the query's time has up to MOST_BINS of them."""
    span = min(query.to, now) - query.since
    return next((seconds for seconds in BINS if span <= MOST_BINS * seconds), BIN)


def write(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
