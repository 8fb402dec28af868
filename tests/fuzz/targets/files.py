"""Files: rotated files, checkpoints and positions, as a full disk, a stranger or an editor leaves
them, and names that paths may have."""

import gzip
import itertools
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import zstandard
from hypothesis import strategies as st
from pydantic import ValidationError

from config import Settings
from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import Checkpoint, CheckpointError
from logpipeline.archive.packing import BROKEN, unpacked
from logpipeline.archive.rotated import RotatedFile, rotated
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.events.lines import Lines
from logpipeline.producer.tail import Tail, TailError
from logpipeline.replay.files import Unreadable, lines
from logpipeline.report.sources import files
from logpipeline.report.trends import trends
from tests.fuzz.hostile import Part, Parts, anything, joined, part, texts
from tests.fuzz.target import MIB, Target, hold, in_folder
from tests.support.records import events

MOST = 192 * MIB  # bytes that a bomb unpacks to
BOMB = [(b"0" * 1_024, 128 * 1_024)]
NUMBERS = (0, 1, -1, 5, 2**31, 2**40, 2**63 - 1, 2**63, 2**70, -(2**63), 0.5, None, "1", True)
COUNT = itertools.count()

numbers = st.sampled_from(NUMBERS) | st.integers()
packings = st.lists(
    st.tuples(
        st.sampled_from(["zst", "gz", "raw"]),
        st.lists(part | st.tuples(st.just(b"0" * 1_024), st.sampled_from([1, 10**4, 10**5]))),
        st.integers(0, 3),  # bytes that its end lacks
    ),
    max_size=3,
)
names = st.lists(
    texts | st.sampled_from(["..", "a'b", 'a"b', "a`b", "$(x)", "%s", "~", "-rf", "logs"]),
    min_size=1,
    max_size=3,
).map("".join)


def rotated_file(folder: Path, given: Any) -> RotatedFile:
    """One that holds all this."""
    file = RotatedFile("20240323T225607.000000Z", folder / "logs-20240323T225607.000000Z.txt")
    file.packed(".zst").write_bytes(b"".join(_packed(*each) for each in given))
    return file


def packed(file: RotatedFile) -> None:
    """Read it in each way that there is."""
    path = file.packed(".zst")
    with suppress(OSError):
        file.end(MIB)
    with suppress(Unreadable):
        for _ in lines(path):
            pass
    with suppress(OSError, *BROKEN), unpacked(path) as file_:
        while file_.readline(64 * 1_024):
            pass


def begun(folder: Path, parts: Parts) -> Path:
    """A logs.txt with a checkpoint that somebody else has written."""
    path = folder / str(next(COUNT)) / "logs.txt"
    path.parent.mkdir()
    path.write_bytes(b'{"a":1}\n')
    _beside(path).write_bytes(joined(parts, MIB))
    return path


def checkpoint(path: Path) -> None:
    """Start with it."""
    archive = Archive(path, "logs")
    try:
        with suppress(CheckpointError):
            Checkpoint.load(_beside(path))
        with suppress(CheckpointError, OSError):
            archive.open("id")
            archive.append([events(0, 0, 1)])
            archive.tail(MIB)
    finally:
        archive.close()
        shutil.rmtree(path.parent)


def followed(folder: Path, given: Any) -> tuple[Path, Path]:
    """A log, and a file that says where it was left."""
    extra, fields = given
    log, state = folder / "shop.log", folder / "state"
    log.write_bytes(b"hello\n")
    found = log.stat()
    place = {"device": found.st_dev, "inode": found.st_ino, "head": 0, "offset": 0}
    whole = json.dumps({"places": [place | {"digest": EMPTY} | fields], "seen": []}).encode()
    state.write_bytes(whole[:-1] + joined(extra, MIB) + b"}")
    return log, state


def position(given: tuple[Path, Path]) -> None:
    """Follow it from there."""
    log, state = given
    with suppress(TailError, OSError):
        tail = Tail(log, state, Lines("shop"))
        try:
            for _ in range(3):
                list(tail.read())
            tail.save()
        finally:
            tail.close()


def new_folder(folder: Path, name: str) -> tuple[Path, str]:
    base = folder / str(next(COUNT)) / "in"
    base.mkdir(parents=True)
    return base, name


def named(given: tuple[Path, str]) -> Callable[[], None] | None:
    """Let logs.txt have any name: write it, rotate it, and read all of it."""
    base, name = given
    try:
        path = Settings(_env_file=None, log_file=f"{base}/{name}").log_file
    except (ValidationError, OSError):
        return None
    archive = Archive(path, "logs", limits=RotationPolicy(bytes=1_000))
    try:
        archive.open("id")
        for start in range(0, 40, 10):
            archive.append([events(0, start, start + 10, service="shop")])
        kept = archive.tail(MIB).lines
    except (OSError, UnicodeError):
        return None  # no name for this file system
    finally:
        archive.close()
    there = files(path)
    found = trends(there, 0.0, 1e10)

    def compare() -> None:
        hold(len(rotated(path)) > 1, "it was not rotated")
        hold(len(kept) == 40, f"{len(kept)} of 40 events at the end of its files")
        count = sum(each.events for each in found.counts)
        hold(count == 40, f"{count} of 40 events in the report")
        hold(base.parent in path.resolve().parents, "it is elsewhere")

    return compare


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".checkpoint")


def _packed(kind: str, parts: Parts, lacking: int) -> bytes:
    plain = joined(parts, MOST)
    if kind == "zst":
        data = zstandard.ZstdCompressor().compress(plain)
    else:
        data = gzip.compress(plain, 1) if kind == "gz" else plain
    return data[: len(data) - lacking]


def _fields(**fields: Any) -> Parts:
    whole = {"version": 2, "archive": "a", "length": 8, "begun": 1.0, "inode": 1, "topics": {}}
    return [(json.dumps(whole | fields).encode(), 1)]


def _deep(depth: int) -> list[Part]:
    return [(b',"x":', 1), (b"[", depth), (b"]", depth)]


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
TOPIC = {"id": "id", "since": 0, "partitions": {"0": {"first": 0, "next": 0, "gaps": []}}}
checkpoints = st.one_of(
    anything,
    st.builds(
        lambda name, value: _fields(**{name: value}),
        st.sampled_from(["version", "archive", "length", "begun", "inode", "topics"]),
        numbers,
    ),
    st.builds(
        lambda name, value: _fields(topics={"logs": TOPIC | {name: value}}),
        st.sampled_from(["id", "since", "partitions"]),
        numbers,
    ),
    st.builds(
        lambda first, next_, gap: _fields(
            topics={"logs": TOPIC | {"partitions": {"0": {"first": first, "next": next_,
                                                          "gaps": [gap]}}}}
        ),
        *(numbers, numbers, st.tuples(numbers, numbers)),
    ),
)  # fmt: skip
positions = st.tuples(
    st.just([]) | st.integers(1, 5_000).map(_deep),
    st.dictionaries(st.sampled_from(["device", "inode", "head", "digest", "offset"]), numbers),
)

TARGETS = (
    Target(
        "packed",
        "whatever a rotated file holds, it is read in bounded memory, or said to be broken",
        packings,
        in_folder(rotated_file, packed),
        [
            [("zst", BOMB, 0)],
            [("gz", BOMB, 0)],
            [("zst", [(b"a\n", 1)], 2), ("gz", [(b"b\n", 9)], 0)],
            [("raw", [(b"\x28\xb5\x2f\xfd", 1), (b"\xff", 1_000)], 0)],
        ],
        seconds=4.0,
        bytes=160 * MIB,
    ),
    Target(
        "state",
        "whatever a checkpoint holds, it is used or refused in a line",
        checkpoints,
        in_folder(begun, checkpoint),
        [
            [(b"[", 5_000), (b"]", 5_000)],
            [*_fields()[:0], (b'{"version":2,"x":', 1), (b"[", 5_000), (b"]", 5_000), (b"}", 1)],
            _fields(length=2**63 - 1),
            [(b"\0", 200)],
        ],
    ),
    Target(
        "position",
        "whatever the file of a position holds, it is used or refused in a line",
        positions,
        in_folder(followed, position),
        [
            ([], {"head": 2**40}),
            ([], {"head": 2**70}),
            ([], {"head": -1}),
            ([], {"offset": -5}),
            (_deep(5_000), {}),
        ],
    ),
    Target(
        "named",
        "LOG_FILE may have any name: all that is written is read again, and nothing is elsewhere",
        names,
        in_folder(new_folder, named),
        [
            "..'",
            'a"b.txt',
            "[x]*?.txt",
            "a/../b.txt",
            "../logs.txt",
            "-",
            "%s{0}",
            "logs.",
            ".txt",
            "\\*?[",
            "*?[\\",
        ],
        seconds=2.0,
    ),
)
