"""Tail: one log that is being written, followed like `tail -F`.

A file that was renamed, copied and truncated, packed, or removed is first read to its end, also
when that happened while no producer was running.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import zip_longest
from pathlib import Path

import msgspec

from logpipeline.events.lines import Lines
from logpipeline.files import read_file, remove_drafts, replace_file
from logpipeline.producer.claims import Claims
from logpipeline.producer.contents import NotTextError
from logpipeline.producer.descriptors import Descriptors
from logpipeline.producer.log_files import LogFiles
from logpipeline.producer.open_file import OpenFile, PackedError
from logpipeline.producer.registry import Registry, State

log = logging.getLogger(__name__)

AGAIN = 5.0  # seconds between looks for growth of rotated files that were closed


class TailError(Exception):
    """The log cannot be followed; str() is one line with the reason and the remedy."""


class Tail:
    """Follows the log `path` from the position saved in the file `state`, or from its beginning.

    A rotated file is read unless it is known: because it is being read, has been read, existed
    before the log was followed, or belongs to another log of the `registry`. `multiline` is the
    Joiner's; a last line without newline is sent after `unfinished` seconds. Raises TailError,
    OSError.
    """

    def __init__(
        self,
        path: Path,
        state: Path,
        lines: Lines,
        registry: Registry | None = None,
        *,
        claims: Claims | None = None,
        descriptors: Descriptors | None = None,
        multiline: str = "off",
        unfinished: float | None = 10.0,
    ) -> None:
        self.path = path
        self.lines = lines
        self.complete = True  # False once a file was refused
        self._listed: list[int] = []  # when the folders changed, at the last look at them
        self._again = 0.0  # when to look again
        self._state = state
        self._saved = b""
        self._unfinished = unfinished
        registry = registry or Registry(state.parent, "")
        descriptors = descriptors or Descriptors.as_many_as_possible()
        self._files = LogFiles(path, lines, multiline, registry, descriptors)
        self._closing = ExitStack()
        if claims is None:
            claims = Claims(state.parent)
            self._closing.callback(claims.close)
        try:
            if not claims.take(path):
                raise TailError(f"{path}: another producer follows this file ({state})")
            remove_drafts(state.parent, lambda name: name == state.name)
            registry.follow(self)
            self._resume()
        except (TailError, OSError):
            self.close()
            raise

    def read(self) -> Iterator[tuple[list[bytes], OpenFile]]:
        """Some of the new events, in order, each list with its file, which takes acknowledgements.

        Raises OSError.
        """
        self._check()
        files = self._files.being_read[:]
        for file, later in zip_longest(files, files[1:]):
            values = self._read(file, later is not None and later.is_new)
            if values:
                yield values, file
            elif later and later.is_new and file.conversion.is_joining and file.is_at_end:
                yield from self._continued(file, later)
                return
            if values or (file.conversion.is_joining and later):
                return

    def save(self) -> None:
        """Save the positions that Kafka has acknowledged. Raises OSError."""
        state = msgspec.json.encode(self._files.state())
        if state == self._saved:
            return
        replace_file(self._state, state)
        self._saved = state

    def knows(self, path: Path, state: os.stat_result) -> bool:
        """Whether the file at `path` is being read, or has been. Raises OSError."""
        return self._files.knows(path, state)

    def look_again(self) -> None:
        """Look for growth of files that were closed, at once."""
        self._again = 0.0

    @property
    def nuls(self) -> int:
        """NULs before lines that were dropped."""
        return self._files.nuls + sum(each.conversion.nuls for each in self._files.being_read)

    def close(self) -> None:
        self._files.close()
        self._closing.close()

    def _continued(self, file: OpenFile, later: OpenFile) -> Iterator[tuple[list[bytes], OpenFile]]:
        """Those of the file that rotation began when an event's lines were being written."""
        if file.conversion.ends_whole and (values := self._read(later, before=file)):
            yield values, later

    def _read(
        self, file: OpenFile, is_continued: bool = False, before: OpenFile | None = None
    ) -> list[bytes]:
        """Events of a file: of its next chunk, or those that need not wait any longer. It continues
        the event at the end of the file `before`; one that `is_continued` may wait for that."""
        try:
            while data := file.chunk():
                file.on_use(file)
                if before:
                    before.conversion.hand_over(file.conversion)
                    before = None
                if values := file.conversion.events(data):
                    return values
            if before:
                return []
            if file.finished and not (is_continued and file.conversion.ends_whole):
                return file.conversion.last_events()
            return file.conversion.late_events(self._is_late(file))
        except NotTextError as error:
            log.error("%s is refused: it must be text, and is %s", file.path or self.path, error)
            self.complete = False
        except PackedError:
            self._files.unpack(file)
        except FileNotFoundError:
            self._files.give_up(file)
        return []

    def _is_late(self, file: OpenFile) -> bool:
        """Whether the writer of an unfinished line seems to be gone."""
        quiet = time.monotonic() - file.grew
        return self._unfinished is not None and quiet > self._unfinished

    def _resume(self) -> None:
        """Continue from the saved state. Raises TailError, OSError."""
        state = self._load()
        if state is None:
            self._files.begin()
        else:
            self._files.resume(state)

    def _load(self) -> State | None:
        """Raises TailError, OSError."""
        try:
            self._saved = read_file(self._state)
            return msgspec.json.decode(self._saved, type=State)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TailError(
                f"{self._state} is not a valid position ({error}): delete it to read {self.path} "
                "from its beginning"
            ) from None

    def _check(self) -> None:
        """Detect rotation and truncation, and close the files that are finished."""
        files = self._files
        with suppress(FileNotFoundError):  # rotation is in progress: the next check sees its result
            changed, now = files.changed(), time.monotonic()
            state = _state(self.path)
            truncated = next((each for each in files.being_read if _truncated(each, state)), None)
            due = now > self._again or 0 < files.retry_at < now
            if truncated or changed != self._listed or due or self._is_new(state):
                self._again, files.retry_at = now + AGAIN, 0.0
                files.rearrange(truncated, state)
                self._listed = changed
                self.save()  # from here on the file is found under any name
        files.close_finished()

    def _is_new(self, state: os.stat_result | None) -> bool:
        """Whether the file at `path` is neither being read nor another log's."""
        if state is None or self._files.others == (state.st_dev, state.st_ino):
            return False
        return not self._files.has(state)


def _truncated(file: OpenFile, state: os.stat_result | None) -> bool:
    return file.was_truncated(state if state and file.is_from(state) else None)


def _state(path: Path) -> os.stat_result | None:
    """The state of `path`; None when it does not exist. Raises OSError."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
