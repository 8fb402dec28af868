"""Crash: runs consumer.py, and ends it by SIGKILL at a chosen step of the batch at an offset.

    python -m tests.support.crash STEP OFFSET [consumer.py's arguments]

A step is a call of the operating system, of Redis or of Kafka that the pipeline makes between
poll and commit, or the return of one, in the main thread and in that of Redis. What the keeper
does is none, as it has its own time. With an empty STEP it runs on, and prints each step, such as
"MainThread c_return write 2": the second return of a write in this batch, in that thread.
"""

import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import consumer
from logpipeline.consumer.subscription import Subscription

PIPELINE = str(Path(consumer.__file__).parent / "logpipeline")
SYSTEM = {"posix", "fcntl"}  # the modules of os.write, os.fdatasync, os.replace, flock …
LOOKS = {"stat", "lstat", "listdir", "scandir", "fstat", "fspath"}  # change nothing, and are many
LIBRARY = {"__call__", "execute", "send", "commit_async"}  # of redis and kafka


class Killer:
    """A profile function that counts the steps of a batch, and kills at the chosen one."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.count: Counter[str] = Counter()
        self.armed = False

    def of_thread(self, frame: FrameType, what: str, argument: Any) -> None:
        """Profile a new thread, if it is Redis'."""
        sys.setprofile(self if threading.current_thread().name == "recent" else None)

    def __call__(self, frame: FrameType, what: str, argument: Any) -> None:
        if not self.armed:
            return
        if what in ("c_call", "c_return"):
            called = argument.__module__ in SYSTEM and argument.__name__ not in LOOKS
            if called and (self._ours(frame) or self._ours(frame.f_back)):
                self._reach(f"{what} {argument.__name__}")
        elif what in ("call", "return"):
            name, caller = frame.f_code.co_name, frame.f_back
            if name in LIBRARY and self._ours(caller) and not self._ours(frame):
                self._reach(f"{what} {name}")

    def _ours(self, frame: FrameType | None) -> bool:
        return frame is not None and frame.f_code.co_filename.startswith(PIPELINE)

    def _reach(self, name: str) -> None:
        name = f"{threading.current_thread().name} {name}"
        self.count[name] += 1
        step = f"{name} {self.count[name]}"
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.step:
            print(f"step {step}\n", end="", flush=True)


def main() -> int:
    killer, offset = Killer(sys.argv[1]), int(sys.argv[2])
    poll = Subscription.poll

    def arming_poll(subscription: Subscription) -> Any:
        sys.setprofile(None)  # of the main thread, in which it would double the time of a start
        batch = poll(subscription)
        if any(part.start == offset for part in batch):
            killer.armed = True
            sys.setprofile(killer)
        return batch

    Subscription.poll = arming_poll  # type: ignore
    threading.setprofile(killer.of_thread)
    return consumer.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
