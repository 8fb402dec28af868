"""Rotations: what loggers and logrotate do to a log, while it is followed and while it is not.

Each is a generator: it writes, and yields when all written so far must have arrived; the second
time, the producer is stopped, and is started again at the third. `PATTERNS` are followed in its
folder.
"""

import bz2
import gzip
import lzma
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import zstandard

PATTERNS = ("app*.log", "*.json", "containers/*.log", "current")
HEADER = [f"# a header that each file has, line {number:02}" for number in range(40)]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


class Writer:
    """Writes lines to the files of a folder, and keeps count of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wrote: Counter[str] = Counter()
        self._number = 0
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str = "app.log") -> Path:
        return self.folder / name

    def lines(self, count: int = 20) -> list[str]:
        """Lines that were not written before."""
        self._number += count
        return [
            f"{self.folder.name} line {number}"
            for number in range(self._number - count, self._number)
        ]

    def write(self, name: str = "app.log", lines: list[str] | None = None) -> None:
        with self.path(name).open("a") as file:
            self.write_to(file, lines)

    def write_to(self, file: TextIO, lines: list[str] | None = None) -> None:
        """Write to a file that the writer keeps open."""
        lines = self.lines() if lines is None else lines
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        self.wrote.update(lines)

    def rename(self, new: str, name: str = "app.log") -> None:
        self.path(name).rename(self.path(new))

    def copytruncate(self, new: str, name: str = "app.log") -> None:
        shutil.copyfile(self.path(name), self.path(new))
        os.truncate(self.path(name), 0)

    def pack(self, name: str, kind: str = "gz") -> None:
        """As the tools do: with the file's time, then without the file."""
        plain = self.path(name)
        packed = plain.with_name(f"{plain.name}.{kind}")
        packed.write_bytes(PACK[kind](plain.read_bytes()))
        shutil.copystat(plain, packed)
        plain.unlink()

    def link(self, target: str, name: str) -> None:
        self.path(name).parent.mkdir(exist_ok=True)
        draft = self.path(f"{name}.new")
        draft.symlink_to(os.path.relpath(self.path(target), draft.parent))
        draft.rename(self.path(name))


Rotation = Callable[[Writer], Iterator[None]]


def renamed_to_a_time_inside(it: Writer) -> Iterator[None]:
    """lumberjack: app-<time>.log."""
    it.write()
    yield
    it.rename("app-2024-03-23T22-56-07.890.log")
    it.write()
    yield
    it.write()
    it.rename("app-2024-03-24T22-56-07.890.log")
    it.write()
    yield
    it.write()


def renamed_to_a_number_inside(it: Writer) -> Iterator[None]:
    """NLog and logback: app.1.log becomes app.2.log."""
    it.write()
    yield
    it.rename("app.1.log")
    it.write()
    yield
    it.rename("app.2.log", "app.1.log")
    it.rename("app.1.log")
    it.write()
    it.rename("app.3.log", "app.2.log")
    it.rename("app.2.log", "app.1.log")
    it.rename("app.1.log")
    it.write()
    yield
    it.rename("app.4.log", "app.3.log")
    it.rename("app.3.log", "app.2.log")
    it.rename("app.2.log", "app.1.log")
    it.rename("app.1.log")
    it.write()


def renamed_without_a_new_file(it: Writer) -> Iterator[None]:
    """The new file comes later."""
    it.write()
    yield
    it.rename("app-20240323.log")
    yield
    it.write("app-20240323.log")
    yield
    it.write()


def rotated_twice_and_packed(it: Writer) -> Iterator[None]:
    """With a header that all files share."""
    it.write(lines=HEADER + it.lines())
    yield
    it.rename("app.log.1")
    it.write(lines=HEADER + it.lines())
    yield
    it.write()
    it.rename("app.log.2", "app.log.1")
    it.pack("app.log.2")
    it.rename("app.log.1")
    it.write(lines=HEADER + it.lines())
    it.rename("app.log.3.gz", "app.log.2.gz")
    it.rename("app.log.2", "app.log.1")
    it.pack("app.log.2", "xz")
    it.rename("app.log.1")
    it.write(lines=HEADER + it.lines())
    yield
    it.write()


def packed_in_all_ways(it: Writer) -> Iterator[None]:
    it.write()
    yield
    for number, kind in enumerate(PACK):
        it.rename(f"app.log.{number}")
        it.write()
        it.pack(f"app.log.{number}", kind)
    yield
    it.write()
    for number, kind in enumerate(PACK):
        it.rename(f"app.log-2024032{number}")
        it.write()
        it.pack(f"app.log-2024032{number}", kind)
    yield
    it.write()


def copied_and_truncated(it: Writer) -> Iterator[None]:
    """With a header, and grown beyond the old position."""
    it.write(lines=HEADER + it.lines())
    yield
    it.write()
    it.copytruncate("app.log.1")
    it.write(lines=HEADER + it.lines(60))
    yield
    it.write()
    it.copytruncate("app.log.2")
    it.write(lines=HEADER + it.lines(100))
    yield
    it.write()


def copied_by_a_writer_that_does_not_append(it: Writer) -> Iterator[None]:
    """It leaves NULs where the copied lines were."""
    with it.path().open("w") as file:
        it.write_to(file)
        yield
        for number in range(3):
            it.copytruncate(f"app.log.{number}")
            it.write_to(file)
        yield
        it.write_to(file)
        it.copytruncate("app.log-20240323")
        it.write_to(file)
        yield
        it.write_to(file)


def a_link_whose_target_is_rotated(it: Writer) -> Iterator[None]:
    """The kubelet rotates what /var/log/containers links to."""
    it.path("pods").mkdir()
    it.write("pods/0.log")
    it.link("pods/0.log", "containers/shop.log")
    yield
    it.rename("pods/0.log.20240323-225607", "pods/0.log")
    it.write("pods/0.log")
    yield
    it.write("pods/0.log")
    it.rename("pods/0.log.20240324-225607", "pods/0.log")
    it.write("pods/0.log")
    it.rename("pods/0.log.20240325-225607", "pods/0.log")
    it.pack("pods/0.log.20240324-225607")
    it.write("pods/0.log")
    yield
    it.write("pods/0.log")


def a_link_that_is_switched(it: Writer) -> Iterator[None]:
    """A container that is started again has another log."""
    it.path("pods").mkdir()
    it.write("pods/0.log")
    it.link("pods/0.log", "containers/shop.log")
    yield
    it.write("pods/0.log")
    it.write("pods/1.log")
    it.link("pods/1.log", "containers/shop.log")
    yield
    it.write("pods/1.log")
    it.rename("pods/1.log.20240323-225607", "pods/1.log")
    it.write("pods/1.log")
    it.write("pods/2.log")
    it.link("pods/2.log", "containers/shop.log")
    yield
    it.write("pods/2.log")


def a_link_to_the_newest_of_those_that_match(it: Writer) -> Iterator[None]:
    it.write("app-20240323.log")
    it.link("app-20240323.log", "current")
    yield
    it.write("app-20240323.log")
    it.write("app-20240324.log")
    it.link("app-20240324.log", "current")
    yield
    it.write("app-20240324.log")
    it.write("app-20240325.log")
    it.link("app-20240325.log", "current")
    yield
    it.write("app-20240325.log")


def moved_into_olddir(it: Writer) -> Iterator[None]:
    """logrotate's olddir: what was there before is not read."""
    it.path("old").mkdir()
    (it.path("old") / "app.log.9").write_text("from before\n")
    os.utime(it.path("old") / "app.log.9", (1, 1))
    it.write()
    yield
    it.write()
    it.rename("old/app.log.1")
    it.write()
    yield
    it.write()
    it.rename("old/app.log.3")
    it.write()
    it.rename("old/app.log.2")
    it.write()
    yield
    it.write()
    it.rename("old/app.log.0")
    it.write()


def moved_into_olddir_while_stopped(it: Writer) -> Iterator[None]:
    it.path("old").mkdir()
    it.write()
    yield
    it.write()
    yield
    it.write()
    it.rename("old/app.log.2")
    it.write()
    it.rename("old/app.log.1")
    it.pack("old/app.log.1")
    it.write()
    yield
    it.write()


def written_after_rotation(it: Writer) -> Iterator[None]:
    """The writer has not opened the new file yet, also when the producer starts again."""
    with it.path().open("a") as old:
        it.write_to(old)
        yield
        it.rename("app.log.1")
        it.write()
        it.write_to(old)
        yield
        it.write_to(old)
        it.write()
        yield
        it.write_to(old)
        it.write()


def removed_and_made_again(it: Writer) -> Iterator[None]:
    """Its inode may be used again."""
    it.write(lines=HEADER + it.lines())
    yield
    it.path().unlink()
    it.write(lines=HEADER + it.lines(40))
    yield
    it.path().unlink()
    it.write(lines=HEADER + it.lines(60))
    yield
    it.write()


def several_names_of_one_file(it: Writer) -> Iterator[None]:
    it.write()
    os.link(it.path(), it.path("app-b.log"))
    it.link("app.log", "current")
    yield
    it.write()
    yield
    it.write()
    os.link(it.path(), it.path("app-c.log"))
    yield
    it.write()


def rewritten_by_rsync(it: Writer) -> Iterator[None]:
    """The same lines and more, in a new file."""
    it.write(lines=HEADER + it.lines(100))
    yield
    it.write()
    yield
    shutil.copyfile(it.path(), it.path("draft"))
    it.write("draft")
    it.rename("app.log", "draft")
    yield
    it.write()


def in_utf_16(it: Writer) -> Iterator[None]:
    def write(mark: str = "") -> None:
        lines = [f"{line} é ਊ" for line in it.lines()]
        with it.path().open("ab") as file:
            file.write((mark + "".join(f"{line}\r\n" for line in lines)).encode("utf-16-le"))
        it.wrote.update(lines)

    write("\ufeff")
    yield
    write()
    it.rename("app.log.1")
    write("\ufeff")
    yield
    write()
    it.rename("app.log.2")
    write("\ufeff")
    yield
    write()


ROTATIONS: dict[str, Rotation] = {
    each.__name__.replace("_", " "): each
    for each in (
        renamed_to_a_time_inside,
        renamed_to_a_number_inside,
        renamed_without_a_new_file,
        rotated_twice_and_packed,
        packed_in_all_ways,
        copied_and_truncated,
        copied_by_a_writer_that_does_not_append,
        a_link_whose_target_is_rotated,
        a_link_that_is_switched,
        a_link_to_the_newest_of_those_that_match,
        moved_into_olddir,
        moved_into_olddir_while_stopped,
        written_after_rotation,
        removed_and_made_again,
        several_names_of_one_file,
        rewritten_by_rsync,
        in_utf_16,
    )
}
