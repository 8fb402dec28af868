"""Descriptors: the files that may be open at once, of which the quiet ones are closed."""

import resource
from contextlib import suppress
from typing import Protocol

SHARE = 4  # a quarter of the process's descriptors is for all else,
ENOUGH = 2**20
RESERVED = 200  # at most so many


class Suspendable(Protocol):
    def suspend(self) -> None:
        """Close the descriptor until it is needed again."""


class Descriptors:
    """Keeps at most `most` files open, those that were used last."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._used: dict[Suspendable, None] = {}  # the one used last is the last

    @classmethod
    def as_many_as_possible(cls) -> "Descriptors":
        """Raise the process's limit as far as it may itself."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS has another limit below an infinite one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = ENOUGH if soft == resource.RLIM_INFINITY else soft
        return cls(most - min(RESERVED, most // SHARE))

    def use(self, file: Suspendable) -> None:
        """Note that `file` is open and used now."""
        self._used.pop(file, None)
        self._used[file] = None
        while len(self._used) > self.most:
            quiet = next(iter(self._used))
            del self._used[quiet]
            quiet.suspend()

    def forget(self, file: Suspendable) -> None:
        self._used.pop(file, None)
