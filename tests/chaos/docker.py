"""The pipeline that chaos breaks, in Docker: the project's own docker-compose.yml."""

import os
import secrets
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from redis import Redis as Client
from redis import RedisError

from config import Settings
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import Server, ServerError, free_port
from tests.chaos.local import CAP, STOP, Failed
from tests.support.clone import copy_files

COMMAND = 600.0  # seconds for a command of Docker; the first one builds the image
READY = 120.0  # seconds
DEAF = 5.0  # seconds after which a consumer that did not hear SIGTERM is told again
LOOK = 0.1  # seconds
TRIES = 5


def docker(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What the command prints. Raises ServerError."""
    command = ["docker", *arguments]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, timeout=COMMAND
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"{' '.join(command)}: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ServerError(f"{' '.join(command)}: {last}")
    return done.stdout


class Container:
    """One container of the project, as a part that faults.py can break."""

    def __init__(self, name: str, full_name: str) -> None:
        self.name = name
        self.broken = False
        self._full_name = full_name

    def start(self) -> None:
        docker("start", self._full_name)
        self.broken = False

    def kill(self) -> None:
        self.broken = True
        docker("kill", self._full_name)

    def pause(self) -> None:
        """Raises ServerError. A busy machine may need more than one try to freeze a cgroup."""
        for _ in range(TRIES - 1):
            with suppress(ServerError):
                docker("pause", self._full_name)
                return
            time.sleep(LOOK)
        docker("pause", self._full_name)

    def resume(self) -> None:
        docker("unpause", self._full_name)

    def status(self) -> int | None:
        """The exit status; None while it runs. Raises ServerError."""
        state = docker("inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", self._full_name)
        running, status = state.split()
        return None if running == "true" else int(status)

    def signal(self, name: str) -> None:
        docker("kill", "--signal", name, self._full_name)


class ConsumerContainer(Container):
    """consumer.py in a container."""

    def terminate(self) -> None:
        self.broken = True
        self.signal("TERM")

    def restart(self) -> None:
        """Raises Failed when it did not end well."""
        self.wait_stopped()
        self.start()

    def wait_stopped(self) -> None:
        """Raises Failed."""
        began = time.monotonic()
        told = False
        while (status := self.status()) is None:
            waited = time.monotonic() - began
            if waited > STOP:
                raise Failed(f"{self.name} has not ended {STOP:.0f} s after SIGTERM")
            if waited > DEAF and not told:
                self.signal("TERM")  # the first process of a container has no default for it
                told = True
            time.sleep(LOOK)
        if status:
            raise Failed(f"{self.name} ended with status {status} after SIGTERM")


class RedisContainer(Container):
    """Redis in a container, that can be emptied."""

    def __init__(self, full_name: str, url: str) -> None:
        super().__init__("redis", full_name)
        self._url = url

    def flush(self) -> None:
        with suppress(RedisError), Client.from_url(self._url, socket_timeout=5) as client:
            client.flushall()


class DockerPipeline:
    """Kafka, Redis and consumers by docker compose, from a copy of the repository in `folder`.

    Raises ServerError, OSError where they can't be had. `close` removes containers, volumes and
    the image.
    """

    def __init__(self, folder: Path, consumers: int, rotate: str) -> None:
        clone = folder / "clone"
        clone.mkdir()
        copy_files(clone)
        project = f"chaos-{secrets.token_hex(4)}"
        kafka, redis = Kafka(folder, free_port()), Redis(folder, free_port())
        self._servers: list[Server] = [kafka, redis]
        self._clone = clone
        self._count = consumers
        self._environment = {
            **{k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields},
            "COMPOSE_PROJECT_NAME": project,
            "KAFKA_HOST_PORT": str(kafka.port),
            "REDIS_HOST_PORT": str(redis.port),
            "REDIS_MAX_LOGS": str(CAP),
            "LOG_ROTATE_EVERY": rotate,
        }
        self.settings = Settings(
            _env_file=None,
            kafka_bootstrap_servers=f"localhost:{kafka.port}",
            redis_url=redis.url,
            redis_max_logs=CAP,
            log_file=clone / "logs" / "logs.txt",
            metrics_port=0,
        )
        names = [f"consumer-{number}" for number in range(1, consumers + 1)]
        self.consumers = [ConsumerContainer(name, f"{project}-{name}") for name in names]
        self.parts: dict[str, object] = {
            "kafka": Container("kafka", f"{project}-kafka-1"),
            "redis": RedisContainer(f"{project}-redis-1", redis.url),
            **{consumer.name: consumer for consumer in self.consumers},
        }

    @property
    def archives(self) -> list[Path]:
        """Each logs.txt."""
        return [self.settings.log_file]

    def start(self) -> None:
        scale = ("--scale", f"consumer={self._count}")
        self._compose("up", "-d", "--build", "--wait", *scale, "door", "consumer")

    def wait_ready(self) -> None:
        """Until the servers answer."""
        deadline = time.monotonic() + READY
        while not all(_answers(server) for server in self._servers):
            if time.monotonic() > deadline:
                raise ServerError(f"Kafka or Redis did not answer in {READY:.0f} s")
            time.sleep(LOOK)

    def keep(self, folder: Path) -> None:
        """Put there what the containers said; logs.txt is in the clone."""
        (folder / "containers.log").write_text(self._compose("logs", "--timestamps"))

    def close(self) -> None:
        self._compose("down", "--volumes", "--rmi", "local", "--timeout", "5")

    def _compose(self, *arguments: str) -> str:
        return docker("compose", *arguments, cwd=self._clone, env=self._environment)


def _answers(server: Server) -> bool:
    try:
        return server.answers()
    except OSError:
        return False
