"""A log that is followed across rotation, truncation and restarts: real files, without Kafka."""

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from logpipeline.events import event
from logpipeline.events.lines import Lines
from logpipeline.producer import log_files
from logpipeline.producer.open_file import OpenFile
from logpipeline.producer.tail import Tail, TailError
from logpipeline.rotation import is_rotated

MANY = 2_000


class Following:
    """A Tail, and the messages it gave. Kafka has each at once, unless `acknowledge` is off."""

    def __init__(self, path: Path) -> None:
        self.got: list[str] = []
        self.acknowledge = True
        self._path = path
        self._state = path.parent / "state" / "it.json"
        self._state.parent.mkdir(exist_ok=True)
        self._tail = self._open()

    def _open(self) -> Tail:
        return Tail(self._path, self._state, Lines())

    def read(self) -> list[str]:
        """What is new since the last time."""
        before = len(self.got)
        while events := list(self.events()):
            self.got += events
        self._tail.save()
        return self.got[before:]

    def events(self) -> Iterator[str]:
        for values, file in self._tail.read():
            for value in values:
                if self.acknowledge:
                    file.conversion.acknowledge()
                yield event.parse(value).message

    def stop(self) -> None:
        self._tail.close()

    def start(self) -> None:
        self._tail = self._open()

    def twice(self) -> Tail:
        return self._open()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def following(path: Path) -> Iterator[Following]:
    it = Following(path)
    yield it
    it.stop()


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def numbered(name: str, count: int = MANY) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def copytruncate(path: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)
    os.truncate(path, 0)


def rename(path: Path, name: str = "app.log.1") -> Path:
    return path.rename(path.with_name(name))


def test_lines_come_when_they_are_whole(following: Following, path: Path) -> None:
    assert following.read() == []
    write(path, "one", "", "two")
    assert following.read() == ["one", "two"]
    with path.open("a") as file:
        file.write("thr")
        file.flush()
        assert following.read() == []
        file.write("ee\nfour\n")
    assert following.read() == ["three", "four"]


def test_after_a_rename_the_old_file_is_read_to_its_end_first(
    following: Following, path: Path
) -> None:
    write(path, *numbered("a"))
    assert following.read() == numbered("a")
    with path.open("a") as writer:
        rename(path)
        writer.write("late, no new file yet\n")
        writer.flush()
        assert following.read() == ["late, no new file yet"]
        writer.write("unread rest\n")
        writer.flush()
        write(path, *numbered("b"))
        assert following.read() == ["unread rest", *numbered("b")]
        writer.write("a writer that has not switched\n")
        writer.flush()
        assert following.read() == ["a writer that has not switched"]


def test_a_rotated_file_is_left_once_it_is_silent_its_last_line_whole_or_not(
    following: Following, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, "a")
    following.read()
    with path.open("a") as file:
        file.write("unfinished")
    rename(path)
    write(path, "b")
    assert following.read() == ["b"]
    monkeypatch.setattr(log_files, "GRACE", 0)
    assert following.read() == ["unfinished"]
    assert following.read() == []
    assert [place["inode"] for place in state(path)["places"]] == [path.stat().st_ino]
    write(path, "c")
    assert following.read() == ["c"]


def state(path: Path) -> dict[str, Any]:
    found = json.loads((path.parent / "state" / "it.json").read_bytes())
    assert isinstance(found, dict)
    return found


def test_two_rotations_between_two_looks(following: Following, path: Path) -> None:
    write(path, "a1")
    following.read()
    write(path, "a2")
    rename(path, "app.log.2")
    write(path, *numbered("b"))
    rename(path, "app.log.1")
    write(path, "c")
    assert following.read() == ["a2", *numbered("b"), "c"]


def test_copytruncate_loses_nothing(following: Following, path: Path) -> None:
    write(path, *numbered("a"))
    following.read()
    write(path, *numbered("unread"))
    copytruncate(path, path.with_name("app.log.1"))
    write(path, "b")
    assert following.read() == [*numbered("unread"), "b"]


@pytest.mark.parametrize("count", [1, MANY])
def test_truncated_to_begin_again_even_when_it_has_grown_longer(
    following: Following, path: Path, count: int
) -> None:
    write(path, *numbered("a", 100))
    following.read()
    with path.open("a") as file:
        file.write("unfinished")
    following.read()
    os.truncate(path, 0)
    write(path, *numbered("b", count))
    assert following.read() == ["unfinished", *numbered("b", count)]
    os.truncate(path, 0)
    assert following.read() == []
    write(path, "c")
    assert following.read() == ["c"]


def test_removed_and_made_again(following: Following, path: Path) -> None:
    write(path, "a")
    following.read()
    write(path, "unread")
    path.unlink()
    following_reads = following.read()
    assert following_reads == [] or following_reads == ["unread"]
    write(path, "b")
    assert following_reads + following.read() == ["unread", "b"]


DOWN: dict[str, Callable[[Path], None]] = {
    "nothing": lambda path: None,
    "renamed": lambda path: (rename(path), None)[1],
    "renamed to any name": lambda path: (rename(path, "old app"), None)[1],
    "copied and truncated": lambda path: copytruncate(path, path.with_name("app.log-20240323")),
    "packed": lambda path: _pack(path, "app.log.1.gz"),
}


def _pack(path: Path, name: str) -> None:
    path.with_name(name).write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


@pytest.mark.parametrize("how", DOWN)
def test_what_was_rotated_while_nobody_looked_is_read_to_its_end(
    following: Following, path: Path, how: str
) -> None:
    write(path, *numbered("a"))
    following.read()
    following.stop()
    write(path, *numbered("unread"))
    DOWN[how](path)
    write(path, *numbered("b"))
    following.start()
    assert following.read() == [*numbered("unread"), *numbered("b")]
    following.stop()
    write(path, "c")
    following.start()
    assert following.read() == ["c"]


@pytest.mark.parametrize("moved", [-1, 0, 1], ids=["older", "same time", "newer"])
def test_a_packed_file_beside_the_one_that_it_was_made_of_gives_no_line_twice(
    following: Following, path: Path, moved: int
) -> None:
    write(path, "a")
    assert following.read() == ["a"]
    rename(path, "app.log.2")
    write(path, *numbered("b"))
    plain = rename(path, "app.log.1")
    packed = path.with_name("app.log.1.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    written = plain.stat().st_mtime_ns + moved
    os.utime(packed, ns=(written, written))
    write(path, "c")
    assert following.read() == [*numbered("b"), "c"]
    plain.unlink()
    write(path, "d")
    assert following.read() == ["d"]
    following.stop()
    following.start()
    assert following.read() == []


def test_several_rotations_while_nobody_looked(following: Following, path: Path) -> None:
    write(path.with_name("app.log.9"), "old, read before")
    os.utime(path.with_name("app.log.9"), (1, 1))
    write(path, "a")
    following.read()
    following.stop()
    write(path, "unread")
    rename(path, "app.log.3")
    write(path, "b")
    _pack(path, "app.log.2.gz")
    os.utime(path.with_name("app.log.2.gz"))
    write(path, "c")
    rename(path, "app.log.1")
    write(path, "d")
    write(path.with_name("app.logs.1"), "of another")
    following.start()
    assert following.read() == ["unread", "b", "c", "d"]


def test_a_missing_file_is_reported(
    following: Following, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, "a")
    following.read()
    following.stop()
    path.unlink()
    write(path, "b")
    following.start()
    assert following.read() == ["b"]
    assert "an earlier file is missing: lines may be lost" in caplog.text


def test_what_kafka_has_not_acknowledged_is_read_again(following: Following, path: Path) -> None:
    write(path, "a", "", "b")
    following.read()
    following.acknowledge = False
    write(path, *numbered("c"))
    rename(path)
    write(path, *numbered("d"))
    assert following.read() == [*numbered("c"), *numbered("d")]
    for _ in range(2):
        following.stop()
        following.start()
        assert following.read() == [*numbered("c"), *numbered("d")]
    following.acknowledge = True
    following.stop()
    following.start()
    assert following.read() == [*numbered("c"), *numbered("d")]
    following.stop()
    following.start()
    assert following.read() == []


def test_unacknowledged_lines_survive_copytruncate_and_a_kill(
    following: Following, path: Path
) -> None:
    following.acknowledge = False
    write(path, "a")
    assert following.read() == ["a"]
    write(path, "unread")
    copytruncate(path, path.with_name("app.log.1"))
    write(path, "b")
    assert following.read() == ["unread", "b"]
    following.stop()
    following.start()
    assert following.read() == ["a", "unread", "b"]


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("lines", [[], ["a", "b"]])
def test_a_log_that_was_opened_is_found_again_after_a_kill(
    following: Following, path: Path, lines: list[str], how: str
) -> None:
    write(path, *lines)
    following.acknowledge = False
    next(following.events(), None)
    following.stop()
    write(path, "unread")
    DOWN[how](path)
    write(path, "c")
    following.start()
    assert following.read() == [*lines, "unread", "c"]


@pytest.mark.parametrize("seed", range(150))
def test_writes_rotations_and_kills_in_any_order_lose_and_disorder_nothing(
    path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    rotations = 0
    lines: list[str] = []
    got: list[str] = []
    sent: list[OpenFile] = []  # not acknowledged

    def some_lines() -> None:
        new = [f"line {len(lines) + number}" for number in range(dice.randint(1, 5))]
        write(path, *new)
        lines.extend(new)

    def read() -> None:
        for values, file in tailing.read():
            got.extend(event.parse(value).message for value in values)
            sent.extend([file] * len(values))

    def follow() -> Tail:
        return Tail(path, path.parent / "state.json", Lines())

    some_lines()
    tailing = follow()
    read()
    kinds = ["write", "rename", "copytruncate", "read", "acknowledge", "save", "kill"]
    for step in dice.choices(kinds, [6, 1.5, 1.5, 5, 4, 3, 1], k=dice.randint(10, 60)):
        if step == "write":
            some_lines()
        elif step == "read":
            read()
        elif step == "acknowledge":
            for _ in range(dice.randint(0, len(sent))):
                sent.pop(0).conversion.acknowledge()
        elif step == "save":
            tailing.save()
        elif step == "kill":
            tailing.close()
            sent.clear()
            tailing = follow()
        elif path.exists():
            rotations += 1
            name = f"app.log.{rotations}"
            rename(path, name) if step == "rename" else copytruncate(path, path.with_name(name))
    some_lines()
    for _ in range(3 * rotations + 9):
        read()
    tailing.close()
    assert not set(lines) - set(got)
    assert list(dict.fromkeys(got)) == lines


def test_one_follower_a_log(following: Following) -> None:
    with pytest.raises(TailError, match="another producer follows this file"):
        following.twice()


def test_an_invalid_position_is_reported_in_one_line(following: Following, path: Path) -> None:
    write(path, "one")
    following.read()
    following.stop()
    place = state(path)["places"][0]
    damaged = [{"head": 2**40}, {"head": 2**70}, {"head": -1}, {"offset": -5}, {"offset": 2**70}]
    broken = [json.dumps({"places": [place | each], "seen": []}).encode() for each in damaged]
    for data in (b"\xff{", b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", *broken):
        (path.parent / "state" / "it.json").write_bytes(data)
        with pytest.raises(TailError, match=r"it.json is not a valid position .*: delete it to "):
            following.twice()
    (path.parent / "state" / "it.json").unlink()
    following.start()


def test_names_that_rotation_gives(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    for name, is_one in [
        ("app.log.1", True),
        ("app.log.1.gz", True),
        ("app.log-20240323", True),
        ("app.log.2024-03-23_22:56", True),
        ("app.log", False),
        ("app.log.gz", False),
        ("app.log.old", False),
        ("app-1.log", False),
        ("app.logs.1", False),
        ("other.log.1", False),
    ]:
        (tmp_path / name).touch()
        assert is_rotated(tmp_path / name, log) == is_one
