"""Explain what is understood of each line of a log."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

from logpipeline.events.explain import explained
from logpipeline.events.joining import Joiner

CHUNK = 2**18  # bytes read at once


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m logpipeline.events", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a log; - is standard input")
    parser.add_argument("--multiline", default="auto", help="auto, off, or an event's first line")
    options = parser.parse_args(argv)
    try:
        Joiner(options.multiline)
        for name in options.files:
            with closing(_opened(name)) as file:
                for line in explained(_chunks(file), options.multiline):
                    print(line)
    except OSError as error:
        parser.error(f"{error.filename} cannot be read: {error.strerror}")
    except ValueError as error:
        parser.error(f"--{error}")
    return 0


def _opened(name: str) -> IO[bytes]:
    """Raises OSError."""
    return open(0, "rb", closefd=False) if name == "-" else Path(name).open("rb")


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        sys.exit(1)
