"""Target: a part of the repository that hostile input is thrown at, and what it promises."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

MIB = 2**20
OPEN = Callable[[Path], AbstractContextManager["Aim"]]


class Broken(AssertionError):  # noqa: N818 - a verdict about a promise
    """A promise was not kept; str() says how."""


def same(given: Any) -> Any:
    """For an input that needs no preparation."""
    return given


@dataclass(frozen=True)
class Aim:
    """What is thrown at: `check` gets what `prepare` makes of an input. It raises when that breaks
    the promise, or returns a function that does; of the three its time and memory alone count,
    or those of the process `pid`."""

    check: Callable[[Any], object]
    prepare: Callable[[Any], Any] = same
    pid: int | None = None


@dataclass(frozen=True)
class Target:
    """`inputs` makes inputs, which are literals of Python, so that they can be saved and read;
    `corpus` has those that were harmful once. `open` gets a folder to work in.

    One input may take `seconds` of CPU time, and let the memory grow by `bytes`; the process may
    have `whole` bytes at its peak.
    """

    name: str
    promise: str
    inputs: SearchStrategy[Any]
    open: OPEN
    corpus: Sequence[Any] = ()
    seconds: float = 0.25
    bytes: int = 64 * MIB
    whole: int = 0


def pure(check: Callable[[Any], object], prepare: Callable[[Any], Any] = same) -> OPEN:
    """For a target that is a function of its input."""
    return lambda _: nullcontext(Aim(check, prepare))


def in_folder(prepare: Callable[[Path, Any], Any], check: Callable[[Any], object]) -> OPEN:
    """For a target that needs a folder, in which its input is prepared."""
    return lambda folder: nullcontext(Aim(check, lambda given: prepare(folder, given)))


def hold(condition: object, words: str) -> None:
    """Raises Broken with these words unless the condition holds."""
    if not condition:
        raise Broken(words)
