"""Output: found events for people or for programs, and the progress of a search."""

import os
import sys
import time
from collections.abc import Iterable
from io import TextIOWrapper
from typing import Any

from logpipeline.events.shown import shown
from logpipeline.find.task import TaskResult

WHOLE = 2**22  # characters of an event: more than any has
DELAY = 0.5  # seconds before the progress is shown


class EventPrinter:
    """Writes lines: as `make recent` does on a terminal, else, and with `raw`, their own bytes."""

    def __init__(self, raw: bool, in_colour: bool) -> None:
        self._raw = raw or not sys.stdout.isatty()
        self._in_colour = in_colour
        self.count = 0
        # Not sys.stdout.buffer, which is none with PYTHONUNBUFFERED: a write may be cut then.
        self._lines = os.fdopen(os.dup(sys.stdout.fileno()), "wb") if self._raw else None
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal may lack a character
            sys.stdout.reconfigure(errors="backslashreplace")

    def write(self, lines: Iterable[bytes]) -> None:
        """Raises BrokenPipeError."""
        for line in lines:
            self.count += 1  # first: it was found, even if nobody reads it
            if self._lines:
                self._lines.write(line + b"\n")
            else:
                print(shown(line, self._in_colour, most=WHOLE))

    def flush(self) -> None:
        """Raises BrokenPipeError."""
        if self._lines:
            self._lines.flush()
        sys.stdout.flush()

    def gap(self) -> None:
        """Separate what follows, for people."""
        if not self._raw:
            print("--")


class SearchProgress:
    """A line on stderr when that is a terminal: the files searched, and the bytes a second."""

    def __init__(self, files: int, backwards: bool) -> None:
        """`backwards`: the last file is the first that is searched."""
        self._files = files
        self._backwards = backwards
        self._searched = 0  # those without anything that is wanted included
        self._bar = _bar(files) if sys.stderr.isatty() else None
        self._begun = time.monotonic()
        self._size = 0

    def note(self, found: TaskResult) -> None:
        self._size += found.size
        before = self._searched
        self._searched = self._files - found.source if self._backwards else found.source + 1
        if self._bar:
            rate = self._size / max(0.001, time.monotonic() - self._begun)
            self._bar.set_postfix_str(f"{rate / 1e9:.1f} GB/s", refresh=False)
            self._bar.update(self._searched - before)

    def hide(self) -> None:
        """Before lines on the same terminal."""
        if self._bar:
            self._bar.clear()

    def __str__(self) -> str:
        return f"{self._searched} of {self._files} files"

    def close(self) -> None:
        if self._bar:
            self._bar.close()


def _bar(files: int) -> Any:
    from tqdm import tqdm  # it takes 0.05 s

    tqdm.monitor_interval = 0  # no thread: processes are forked later
    form = "{n_fmt} of {total_fmt} files{postfix}"
    return tqdm(total=files, delay=DELAY, leave=False, bar_format=form)


def discard_output() -> None:
    """After a BrokenPipeError: less or head was closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
