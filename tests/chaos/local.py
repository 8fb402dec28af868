"""The pipeline that chaos breaks, as processes of this machine."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from redis import Redis as Client
from redis import RedisError

from config import Settings
from logpipeline.localstack.child import Child
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from tests.support.disk import Disk
from tests.support.forked import Forked

STOP = 20.0  # seconds until a consumer has stopped; 10 are promised, on a machine of its own
MOST_LEFT = 100_000  # bytes that a consumer may write before it meets the limit
CAP = 500
HERE = multiprocessing.get_context("fork")  # only this process and its children see the disk


class Failed(Exception):  # noqa: N818 - a verdict about the pipeline
    """The pipeline did not keep a promise; str() says which."""


class Program(Child):
    """A script or a module, forked; what it prints is in `folder`, in a file of its `name`."""

    def __init__(
        self, name: str, program: str, arguments: list[str], settings: Settings, folder: Path
    ) -> None:
        super().__init__(name)
        self.log_file = folder / f"{name}.log"
        self._program, self._arguments = program, arguments
        self._environment = os.environ | variables(settings)

    def start(self) -> None:
        run = Forked(self._program, self._arguments, self.log_file, self._environment, context=HERE)
        self.process = run.popen

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, -N for signal N. Raises subprocess.TimeoutExpired."""
        assert self.process
        return self.process.wait(timeout)


class Consumer(Program):
    """consumer.py, number `number`."""

    def __init__(self, number: int, settings: Settings, folder: Path) -> None:
        name = f"consumer-{number}"
        self._failing = settings.log_file.parent.with_name(f"{name} has a failing disk")
        super().__init__(name, "tests.chaos.failing_disk", [str(self._failing)], settings, folder)
        self.broken = False
        self.archive = settings.log_file
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
        try:
            status = self.wait(STOP)
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
        size = self.archive.stat().st_size if self.archive.exists() else 0
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
        numbers = range(1, consumers + 1)
        self.consumers = [Consumer(number, self.settings, folder) for number in numbers]
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
