"""find.py --follow shows each line once, whenever files are rotated."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from logpipeline.archive.rotated import RotatedFile, rotated
from logpipeline.find import follow
from logpipeline.find.follow import Follower
from logpipeline.find.sources import SearchedFiles

LOOKS = 20


class AfterLooks:
    """True after so many looks."""

    def __init__(self, most: int) -> None:
        self._left = most

    def __bool__(self) -> bool:
        self._left -= 1
        return self._left < 0


def rotate(path: Path, number: int) -> None:
    """What follows in logs.txt is this line."""
    path.rename(path.with_name(f"logs-20260921T00000{number}.000000Z.txt"))
    path.write_bytes(b"%d\n" % number)


def after_listings(monkeypatch: pytest.MonkeyPatch, after: dict[int, Callable[[], None]]) -> None:
    """Do something right after the listings of these numbers."""
    listed = 0

    def listing(log_file: Path) -> list[RotatedFile]:
        nonlocal listed
        listed += 1
        found = rotated(log_file)
        after.get(listed, lambda: None)()
        return found

    monkeypatch.setattr(follow, "rotated", listing)
    monkeypatch.setattr(follow, "LOOK", 0.0)


def followed(path: Path) -> list[bytes]:
    with closing(SearchedFiles(path, patient=True)) as sources:
        follower = Follower(path, sources)
        if path.exists():
            rotate(path, 1)
        return [line for lines in follower.batches(AfterLooks(LOOKS)) for line in lines]


def test_files_that_are_rotated_during_each_look_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs.txt"
    path.write_bytes(b"0\n")

    def again(number: int) -> Callable[[], None]:
        return lambda: rotate(path, number)

    after_listings(monkeypatch, {n: again(n + 1) for n in range(1, 6)})
    assert followed(path) == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_a_rotation_that_has_not_made_the_next_file_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs.txt"
    path.write_bytes(b"0\n")

    def half() -> None:
        path.rename(path.with_name("logs-20260921T000002.000000Z.txt"))

    def whole() -> None:
        path.write_bytes(b"2\n")
        rotate(path, 3)

    after_listings(monkeypatch, {1: half, 3: whole})
    assert followed(path) == [b"1", b"2", b"3"]


def test_the_first_file_may_be_rotated_before_it_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs.txt"
    monkeypatch.setattr(follow, "LOOK", 0.0)
    with closing(SearchedFiles(path, patient=True)) as sources:
        follower = Follower(path, sources)
        path.write_bytes(b"0\n")
        rotate(path, 1)
        found = [line for lines in follower.batches(AfterLooks(LOOKS)) for line in lines]
    assert found == [b"0", b"1"]
