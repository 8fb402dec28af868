"""Unread: the rotated files of a log that it has not read yet, or not to their ends."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from logpipeline.producer import file_position
from logpipeline.producer.file_position import FilePosition, UnfinishedError
from logpipeline.producer.open_file import OpenFile


class Candidate(NamedTuple):
    """A file that was opened, from where it is to be read; the `origin` of an unpacked one."""

    path: Path
    file: IO[bytes]
    offset: int
    origin: FilePosition | None

    @property
    def inode(self) -> tuple[int, int]:
        state = os.fstat(self.file.fileno())
        return (self.origin.device, self.origin.inode) if self.origin else _inode(state)


class Unread:
    """Those of the files `rotated`, oldest first, that are neither being read nor `seen`; a copy or
    a packed one of these is known too.

    Afterwards `seen` are those that still exist. `has_unfinished`: packing has not finished one.
    Whoever takes a candidate closes its file. Raises OSError.
    """

    def __init__(
        self,
        rotated: Iterable[Path],
        seen: list[FilePosition],
        being_read: list[OpenFile],
        is_others: Callable[[Path], bool],
    ) -> None:
        self.candidates: list[Candidate] = []
        self.seen: list[FilePosition] = []
        self.has_unfinished = False
        self._gone = list(seen)
        self._being_read = being_read
        self._is_others = is_others
        for path in [path for path in rotated if self._is_unknown(path)]:
            with suppress(FileNotFoundError):
                self._judge(path)
        self._drop_packed()

    def _is_unknown(self, path: Path) -> bool:
        """Whether it has no file's inode that is known; what has grown is a candidate."""
        try:
            state = path.stat()
        except FileNotFoundError:
            return False
        if any(file.is_from(state) for file in self._being_read):
            return False
        known = next(
            (each for each in self._gone if each.has_inode(state) and each.is_of(path)), None
        )
        if known is None:
            return state.st_size > 0 and not self._is_others(path)
        self._gone.remove(known)
        if state.st_size > known.offset:
            self._grown(path, known)
        else:
            self.seen.append(known)
        return False

    def _grown(self, path: Path, known: FilePosition) -> None:
        file, packed = file_position.opened(path)
        if packed:
            file.close()
            self.seen.append(known)
        else:
            self.candidates.append(Candidate(path, file, known.offset, None))

    def _judge(self, path: Path) -> None:
        """Take it, unless it is a copy of what has been read or is being read."""
        try:
            file, packed = file_position.opened(path)
        except UnfinishedError:
            self.has_unfinished = True
            return
        origin = file_position.end_of(path) if packed else None
        if any(each.is_there and each.is_copied_in(file) for each in self._being_read):
            file.close()
            return
        known = self._copied(file, packed)
        size, offset = os.fstat(file.fileno()).st_size, known.offset if known else 0
        if known is None or size > offset:
            self.candidates.append(Candidate(path, file, offset, origin))
            return
        file.close()
        end = file_position.end_of(path)
        end.older = known.older
        self.seen.append(end)

    def _drop_packed(self) -> None:
        """Leave out what was packed from another candidate, which packing has not removed yet."""
        plain = {each.path: each.file for each in self.candidates if each.origin is None}
        for each in [each for each in self.candidates if each.origin]:
            source = plain.get(each.path.with_suffix(""))
            if source and file_position.begins_like(source, each.file):
                self.candidates.remove(each)
                each.file.close()

    def _copied(self, file: IO[bytes], packed: bool) -> FilePosition | None:
        """What it is a copy of. A packed one may be beside it still."""
        for pool in (self._gone, self.seen if packed else []):
            for each in pool:
                if each.is_copied_to(file):
                    if pool is self._gone:
                        pool.remove(each)
                    return each
        return None


def _inode(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino
