"""Waiting: for something to become true, instead of a guessed sleep."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], timeout: float = 10.0, message: str = "") -> None:
    """Return once `condition()` is true. Raises AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not true within {timeout} s")
        time.sleep(0.05)
