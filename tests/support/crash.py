"""Crash: runs consumer.py, and ends it by SIGKILL at a chosen step of its second batch.

    python -m tests.support.crash STEP [consumer.py's arguments]

A step is a call of the operating system, of Redis or of Kafka that the pipeline makes between
poll and commit, or the return of one, in the main thread and in that of Redis. What the keeper
does is none, as it has its own time. With step 0 it runs on, and prints each step.
"""

import itertools
import os
import signal
import sys
import threading
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

    def __init__(self, step: int) -> None:
        self.step = step
        self.count = itertools.count(1)  # of two threads: the main one, and Redis'
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
        count = next(self.count)
        if count == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.step:
            print(f"step {count} {name}\n", end="", flush=True)


def main() -> int:
    killer = Killer(int(sys.argv[1]))
    poll, batches = Subscription.poll, 0

    def counting_poll(subscription: Subscription) -> Any:
        nonlocal batches
        batch = poll(subscription)
        batches += bool(batch)
        killer.armed = batches == 2
        sys.setprofile(killer if killer.armed else None)  # it would double the time of a start
        return batch

    Subscription.poll = counting_poll  # type: ignore
    threading.setprofile(killer.of_thread)
    return consumer.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
