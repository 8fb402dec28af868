"""Held: runs consumer.py, which waits before it sends dead letters while a file exists.

    python -m tests.support.held FILE [consumer.py's arguments]

FILE.reached appears when it has got there.
"""

import sys
import time
from functools import wraps
from pathlib import Path

import consumer
from logpipeline.consumer.dead_letters import DeadLetters
from logpipeline.events.slices import Slice


def main() -> int:
    file = Path(sys.argv[1])
    real = DeadLetters.send

    @wraps(real)
    def send(letters: DeadLetters, batch: list[Slice]) -> bool:
        if file.exists() and any(part.rejects for part in batch):
            file.with_name(f"{file.name}.reached").touch()
            while file.exists():
                time.sleep(0.01)
        return real(letters, batch)

    DeadLetters.send = send  # type: ignore[assignment,method-assign]
    return consumer.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
