"""The pipeline that chaos breaks, as processes of this machine."""

import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from redis import Redis as Client
from redis import RedisError

from config import Settings
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.script import ROOT, Script
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from tests.support.disk import Disk

STOP = 20.0  # seconds until a consumer has stopped; 10 are promised, on a machine of its own
MOST_LEFT = 100_000  # bytes that a consumer may write before it meets the limit
CAP = 500


class Failed(Exception):  # noqa: N818 - a verdict about the pipeline
    """The pipeline did not keep a promise; str() says which."""


class Words:
    """A file of what the scripts say: each line with its second and who said it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def say(self, name: str, line: str) -> None:
        with self._lock:
            self._file.write(f"{time.monotonic() - self._began:7.2f} {name:10} {line}\n")


class Consumer(Script):
    """consumer.py, number `number`."""

    def __init__(self, number: int, settings: Settings, words: Words) -> None:
        environment = variables(settings) | {"PYTHONPATH": str(ROOT)}
        super().__init__("consumer", [], environment, words.say)
        self.name = f"consumer-{number}"
        self._failing = settings.log_file.parent.with_name(f"{self.name} has a failing disk")
        self._command = [sys.executable, "-m", "tests.chaos.failing_disk", str(self._failing)]
        self.broken = False
        self.log_file = settings.log_file
        self._dice = random.Random(number)

    def start(self) -> None:
        self.broken = False
        super().start()

    def kill(self) -> None:
        self.broken = True
        super().kill()

    def terminate(self) -> None:
        self.broken = True
        self.signal(signal.SIGTERM)

    def restart(self) -> None:
        """Raises Failed when it did not end well."""
        self.wait_stopped()
        self.start()

    def wait_stopped(self) -> None:
        """Raises Failed."""
        assert self.process
        try:
            status = self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} has not ended {STOP:.0f} s after SIGTERM") from None
        if status not in (0, -signal.SIGTERM):  # it may have been too young to listen
            raise Failed(f"{self.name} ended with status {status} after SIGTERM")

    def spoil(self) -> None:
        """Let some of its writes, syncs and renames fail with EIO or ENOSPC."""
        self._failing.touch()

    def repair(self) -> None:
        self._failing.unlink()

    def limit(self) -> None:
        """Let it write only so much more to logs.txt: EFBIG in the middle of a line after that."""
        size = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._limit(size + self._dice.randrange(MOST_LEFT))

    def unlimit(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        assert self.process
        limits = size, resource.RLIM_INFINITY
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)


class OwnRedis(Redis):
    """Redis that can be emptied."""

    def flush(self) -> None:
        with suppress(RedisError), Client.from_url(self.url, socket_timeout=5) as client:
            client.flushall()


class LocalPipeline:
    """Kafka, Redis and consumers in `folder`. Raises ServerError, OSError where they can't be had.

    `parts` do what faults.py says. One of them is the small filesystem of logs.txt, where this
    user may mount one.
    """

    def __init__(self, folder: Path, consumers: int, rotate: str) -> None:
        self.kafka = Kafka(folder / "kafka", free_port())
        self.redis = OwnRedis(folder / "redis", free_port())
        small = folder / "disk"
        small.mkdir()
        self.parts: dict[str, object] = {"kafka": self.kafka, "redis": self.redis}
        self._disk: Disk | None = None
        with suppress(OSError):
            self.parts["disk"] = self._disk = Disk(small)
        self.settings = Settings(
            _env_file=None,
            kafka_bootstrap_servers=self.kafka.bootstrap,
            redis_url=self.redis.url,
            redis_max_logs=CAP,
            log_file=small / "logs.txt",
            log_rotate_every=rotate,
            metrics_port=0,
        )
        words = Words(folder / "consumers.log")
        numbers = range(1, consumers + 1)
        self.consumers = [Consumer(number, self.settings, words) for number in numbers]
        self.parts |= {consumer.name: consumer for consumer in self.consumers}

    @property
    def archives(self) -> list[Path]:
        """Each logs.txt."""
        return [self.settings.log_file]

    def start(self) -> None:
        for server in self.kafka, self.redis:
            server.start()
        self.wait_ready()
        for consumer in self.consumers:
            consumer.start()

    def wait_ready(self) -> None:
        """Until the servers answer."""
        for server in self.kafka, self.redis:
            server.wait_ready()

    def keep(self, folder: Path) -> None:
        """Put there what is only on the small filesystem."""
        shutil.copytree(self.settings.log_file.parent, folder / "logs")

    def close(self) -> None:
        for child in *self.consumers, self.kafka, self.redis:
            child.kill()
        if self._disk:
            self._disk.close()
