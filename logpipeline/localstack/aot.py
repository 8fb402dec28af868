"""AOT: a cache of Kafka's classes (JEP 514), which halves the time of each start.

python -m logpipeline.localstack.aot   # creates it once, in about 15 s: part of make install
"""

import fcntl
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from logpipeline.localstack import jars
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import ServerError, free_port

TIMEOUT = 300.0  # seconds, for a busy machine


def create(path: Path) -> None:
    """Run a broker once to write the cache to `path`. Raises ServerError, OSError."""
    unfinished = path.with_suffix(".new")
    with TemporaryDirectory() as folder:
        broker = Kafka(Path(folder), free_port(), flags=[f"-XX:AOTCacheOutput={unfinished}"])
        try:
            broker.start()
            broker.wait_ready()
        finally:
            broker.stop(TIMEOUT)
    unfinished.rename(path)


def main() -> int:
    path = jars.aot_cache()
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "aot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            create(path)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ServerError, OSError) as error:
        sys.exit(f"localstack.aot: {error}")
