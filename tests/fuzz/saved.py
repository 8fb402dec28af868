"""Saved: inputs that broke a promise, in files to read and to throw again."""

import ast
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

FOLDER = Path(".local/fuzz")


class Unreadable(Exception):  # noqa: N818 - a verdict about a file
    """A file holds no input; str() is one line."""


@dataclass(frozen=True)
class Failure:
    """An input that broke the promise of a target, at a `place` in the code, in these `words`."""

    target: str
    place: str
    words: str
    given: Any

    @cached_property
    def text(self) -> str:
        return ascii(self.given)

    @property
    def size(self) -> int:
        return len(self.text)

    def save(self, folder: Path = FOLDER) -> Path:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.target}-{sha256(self.text.encode()).hexdigest()[:10]}.txt"
        comment = "".join(f"# {line}\n" for line in (self.place, *self.words.splitlines()))
        path.write_text(f"# {self.target}\n{comment}{self.text}\n", "utf-8", "backslashreplace")
        return path


def load(path: Path) -> tuple[str, Any]:
    """The target's name, and the input. Raises Unreadable."""
    try:
        text = path.read_text("utf-8")
        return text.splitlines()[0].removeprefix("# "), ast.literal_eval(text)
    except (OSError, ValueError, SyntaxError, IndexError, MemoryError, RecursionError) as error:
        raise Unreadable(f"{path} holds no input of the fuzzer: {error}") from None
