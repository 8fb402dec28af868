"""Raising: runs consumer.py, a step of which fails in a way that nobody foresaw.

    python -m tests.support.raising STEP FILE [consumer.py's arguments]

STEP is a key of STEPS. While FILE exists, each call of the step for some records, or at all where
it has none, ends with an Unforeseen, whose message has what SECRET_… of the environment say. What
FILE holds is when: "ever"; "once", for the first call; or text that a record has in it, for those.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import consumer
from logpipeline.archive.archive import Archive
from logpipeline.archive.log_file import LogFile
from logpipeline.archive.retention import Retention
from logpipeline.archive.uploader import Uploader
from logpipeline.consumer.dead_letters import DeadLetters
from logpipeline.consumer.subscription import Subscription
from logpipeline.events import slices
from logpipeline.events.slices import Slice
from logpipeline.kafka import topics
from logpipeline.recent.recent import Recent


class Unforeseen(BaseException):
    """A thread may meet one: obstore's panics are no Exception."""


class Bug(Exception):  # noqa: N818 - it is one
    """What most steps raise."""


# Step → where it is, whether it is before what it is of, and what it raises.
STEPS: dict[str, tuple[Any, str, type[BaseException]]] = {
    "start": (topics, "ensure", Bug),
    "poll": (Subscription, "poll", Bug),
    "read": (slices, "read", Bug),
    "dead_letter": (DeadLetters, "send", Bug),
    "letter": (DeadLetters, "_post", Bug),
    "append": (Archive, "append", Bug),
    "write": (LogFile, "append", Bug),
    "offer": (Recent, "offer", Bug),
    "commit": (Subscription, "commit", Bug),
    "redis": (Recent, "_send", Unforeseen),
    "look": (Recent, "_wait", Bug),
    "keep": (Retention, "tend", Bug),
    "ship": (Uploader, "ship", Unforeseen),
}


def failing(real: Callable[..., Any], kind: type[BaseException], file: Path) -> Callable[..., Any]:
    """The step, which fails as `file` says. What comes out of poll counts as well."""

    @wraps(real)
    def step(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs) if real.__name__ == "poll" else None
        words = file.read_text() if file.exists() else ""
        if words and _meant(words, args if result is None else result):
            if words == "once":
                file.unlink()
            raise kind(f"unforeseen, with {[v for k, v in os.environ.items() if 'SECRET_' in k]}")
        return real(*args, **kwargs) if result is None else result

    return step


def _meant(words: str, what: Any) -> bool:
    if words in ("once", "ever"):
        return what != [] and [] not in what
    slices = [part for each in what if isinstance(each, list) for part in each]
    lines = [part.lines for part in slices if isinstance(part, Slice)]
    return words in repr(lines or what)


def main() -> int:
    name, file = sys.argv[1], Path(sys.argv[2])
    owner, attribute, kind = STEPS[name]
    setattr(owner, attribute, failing(getattr(owner, attribute), kind, file))
    return consumer.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
