"""What a file is: packed, UTF-16, text with holes, or no log at all; real files, without Kafka."""

import bz2
import gzip
import io
import lzma
import os
import random
import sqlite3
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from logpipeline.events import event
from logpipeline.events.lines import HELD
from logpipeline.producer.input import Input
from logpipeline.producer.line_reader import LineReader, line_reader
from logpipeline.shutdown import Shutdown

DATA = Path(__file__).parent / "data" / "files"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
TOOLS = {"gzip": "zcat", "xz": "xzcat", "bzip2": "bzcat", "zstd": "zstdcat"}
LINES = [f"line {number} {random.Random(number).randbytes(20).hex()}" for number in range(4_500)]
TEXT = "".join(f"{line}\n" for line in LINES).encode()


class Shipped:
    """What --input makes of a file."""

    def __init__(self, path: Path, multiline: str = "off") -> None:
        with closing(Input([str(path)], None, multiline)) as source:
            values = [value for _, batch in source.batches(Shutdown()) for value in batch]
            self.messages = [event.parse(value).message for value in values]
            self.complete, self.empty = source.complete, source.empty
            self.summary = source.summary()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("name", ["app.log", "app.log.1", "app.gz", "app.zst"])
def test_a_packed_file_is_unpacked_whatever_its_name(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PACK[kind](TEXT))
    shipped = Shipped(tmp_path / name)
    assert (shipped.messages, shipped.complete) == (LINES, True)


@pytest.mark.parametrize("kind", PACK)
def test_all_members_are_unpacked(kind: str, path: Path) -> None:
    path.write_bytes(
        b"".join(PACK[kind](TEXT[at : at + 90_000]) for at in range(0, len(TEXT), 90_000))
    )
    assert Shipped(path).messages == LINES
    path.write_bytes(PACK[kind](b"") + PACK[kind](b"one\n"))
    assert Shipped(path).messages == ["one"]


@pytest.mark.parametrize("kind", PACK)
def test_a_pipe_is_unpacked(kind: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(PACK[kind](TEXT)))
    writer.start()
    assert Shipped(pipe).messages == LINES
    writer.join()


def damaged(kind: str, how: str) -> bytes:
    packed = PACK[kind](TEXT)
    dice = random.Random(how)
    if how.startswith("cut"):
        return packed[: dice.randint(len(packed) // 10, len(packed) - 1)]
    if how == "wrong sum":
        return packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:]
    at = dice.randint(len(packed) // 2, len(packed) - 100)
    return packed[:at] + bytes([packed[at] ^ 0x41]) + packed[at + 1 :]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.needs(TOOLS[kind])) for kind in PACK]
)
@pytest.mark.parametrize("how", ["cut", "cut 2", "cut 3", "wrong sum", "flipped", "flipped 2"])
def test_a_damaged_file_gives_every_line_that_its_tool_gives(
    kind: str, how: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(damaged(kind, how))
    with path.open("rb") as file:
        tool = subprocess.run([TOOLS[kind]], stdin=file, capture_output=True, check=False)
    assert tool.returncode
    lines = tool.stdout.decode("utf-8", "replace").split("\n")[:-1]
    expected = [line for line in lines if line.strip()]  # blank ones are no events
    shipped = Shipped(path)
    assert shipped.messages[: len(expected)] == expected
    assert not shipped.complete
    assert f"{path} cannot be read to its end: " in caplog.text


@pytest.mark.parametrize(
    ("kind", "rest", "complete"),
    [
        ("gzip", b"garbage", True),
        ("gzip", b"\0" * 512, True),
        ("gzip", b"\x1f", True),
        ("bzip2", b"garbage", True),
        ("xz", b"\0" * 512, True),
        ("xz", b"garbage", False),
        ("zstd", b"garbage", False),
    ],
)
def test_what_follows_a_packed_file_is_ignored_as_its_tool_does(
    kind: str, rest: bytes, complete: bool, path: Path
) -> None:
    path.write_bytes(PACK[kind](TEXT) + rest)
    shipped = Shipped(path)
    assert (shipped.messages, shipped.complete) == (LINES, complete)


WIDE = ["one", "two é", "three ਊ Ċ Āਊ 𝄞", "", "four\ttabs", *LINES[::3]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "packed"])
def test_a_marked_encoding_is_decoded(
    encoding: str, newline: str, pack: Callable[[bytes], bytes], path: Path
) -> None:
    path.write_bytes(pack(("\ufeff" + newline.join(WIDE)).encode(encoding)))
    shipped = Shipped(path)
    assert (shipped.messages, shipped.complete) == ([line for line in WIDE if line], True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("step", [1, 3, 7, 1_000])
def test_positions_are_those_in_the_file(encoding: str, step: int) -> None:
    text = "".join(f"{line}\n" for line in WIDE[:40]) + "unfinished"
    data, reader, found, at = text.encode(encoding), line_reader(encoding), [], 0
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    assert reader.unfinished == len("unfinished".encode(encoding))
    for line, _, end in [*found, *reader.end()]:
        assert data[at:end].decode(encoding).rstrip("\n") == line.decode()
        at = end
    assert at == len(data)


@pytest.mark.parametrize(
    ("data", "messages", "nuls"),
    [
        (b"\0" * 700 + b"one\ntwo\n", ["one", "two"], 700),
        (b"one\n" + b"\0" * 700 + b"two\nthree\n", ["one", "two", "three"], 700),
        (b"one\n" + b"\0" * (2 * HELD) + b"two\n\0\0three", ["one", "two", "three"], 2 * HELD + 2),
        (b"one\n\0\0\n\0\0\n\0\0two\n", ["one", "two"], 6),
        (b"one\n" + b"\0" * 512, ["one"], 512),
        (b"one \0 two\n", ["one \0 two"], 0),
        (b"\0" * 512, [], 512),
        (b"one\n" + b"\n\0" * 2**17 + b"two", ["one", "two"], 2**17),
    ],
    ids=range(8),
)  # fmt: skip
def test_nuls_before_a_line_are_dropped_and_counted(
    data: bytes, messages: list[str], nuls: int, path: Path
) -> None:
    path.write_bytes(data)
    shipped = Shipped(path)
    assert (shipped.messages, shipped.complete) == (messages, True)
    assert (f", {nuls:,} NUL bytes dropped" in shipped.summary) == (nuls > 0)


@pytest.mark.parametrize("step", [1, 2, 5, 100])
def test_positions_are_right_after_nuls(step: int) -> None:
    data = b"\0\0one\n\0\0\0two\n\0\n\0\0thr"
    reader, found = LineReader(), []
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    assert [(line, end) for line, _, end in found] == [(b"one", 6), (b"two", 13), (b"", 15)]
    assert (reader.at, reader.unfinished, reader.nuls) == (17, 3, 8)


def database(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as made:
        made.execute("create table x (y)")
    return path.read_bytes()


def archive(path: Path) -> bytes:
    with tarfile.open(path, "w") as made:
        made.addfile(tarfile.TarInfo("app.log"), io.BytesIO())
    return path.read_bytes()


def zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("app.log", "x\n" * 100)
    return path.read_bytes()


BINARY: dict[str, Callable[[Path], bytes]] = {
    "a program": lambda _: Path(sys.executable).read_bytes()[:99_999],
    "an SQLite database": database,
    "a tar archive": archive,
    "a zip archive": zipped,
    "an image": lambda _: b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(999),
    "a journal": lambda _: b"LPKSHHRH" + bytes(999),
    "binary data": lambda _: random.Random(2).randbytes(9_999),
    "binary data, UTF-16 without a mark": lambda _: TEXT.decode().encode("utf-16-le"),
    "a tar archive, packed": lambda path: gzip.compress(archive(path)),
}


@pytest.mark.parametrize("name", BINARY)
def test_other_binary_data_is_refused_in_one_line(
    name: str, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(BINARY[name](tmp_path / "made"))
    shipped = Shipped(path)
    assert (shipped.messages, shipped.complete) == ([], False)
    [line] = caplog.messages
    assert line.startswith(f"{path} is refused: it must be text, and is {name.split(',')[0]}")


@pytest.mark.parametrize(
    "data",
    [
        "Größe überschritten".encode("latin-1"),
        "磁盘已满 写入失败".encode("gbk"),
        "ディスクがいっぱいです".encode("shift-jis"),
        b"\x1b[31mERROR\x1b[0m \x1b]0;title\x07 done",
        b"got \x01\x02\x03\x04 from the device",
        b"\xff\xfe\xfd three bytes that are not UTF-8",
        b"MZ is no program here",
        b"BZh is no bzip2 here",
    ],
)  # fmt: skip
def test_text_is_not_refused(data: bytes, path: Path) -> None:
    path.write_bytes(data + b"\n" + b"second\n")
    if data.startswith(b"\xff\xfe"):
        path.write_bytes(b"first\n" + data + b"\nsecond\n")
    shipped = Shipped(path)
    assert shipped.complete
    assert shipped.messages[-1] == "second"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("01-cri.txt", 3),
        ("03-docker-partial.jsonl", 2),
        ("28-nul-hole-small.txt", 2),
        ("30-gz-trailing-garbage.gz", 1_000),
        ("32-rotated.xz", 1_000),
        ("52-gz-concatenated.gz", 3),
    ],
)
def test_files_of_real_systems(name: str, count: int) -> None:
    shipped = Shipped(DATA / name, "auto")
    assert (len(shipped.messages), shipped.complete) == (count, True)


PARTS = [
    b"2024-05-01T10:00:00.5Z stdout P ERROR the beginning, ",
    b"2024-05-01T10:00:00.6Z stderr F ERROR of another stream",
    b"2024-05-01T10:00:00.7Z stdout P the middle, ",
    b"2024-05-01T10:00:00.8Z stdout F the end",
]


def test_parts_of_one_stream_are_one_event(path: Path) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in PARTS))
    messages = Shipped(path, "auto").messages
    assert len(messages) == 2
    [joined] = [each for each in messages if "the beginning, the middle, the end" in each]
    assert "another stream" not in joined


@pytest.mark.parametrize(
    ("multiline", "count"), [("auto", 2), ("off", 4), (r"^\d{4}-", 2), ("^  at ", 3)]
)
def test_lines_of_one_event_are_joined_as_asked(multiline: str, count: int, path: Path) -> None:
    path.write_text("2024-05-01 10:00:00 ERROR x\n  at y\n  at z\n2024-05-01 10:00:01 INFO w\n")
    assert len(Shipped(path, multiline).messages) == count
