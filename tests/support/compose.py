"""Compose: a user's clone of the repository, and the project that `docker compose` runs there."""

import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from config import Settings
from logpipeline.localstack.server import free_port
from tests.support.clone import copy_files
from tests.support.process import ROOT
from tests.support.waiting import until

OWNER = os.getuid() or 12345  # of the clone: nobody that an image knows, and never root
CAP = 77
PATIENCE = 180.0  # seconds: a broker starts slowly on a busy machine
PYTHON = "python:3.13-slim"
CLIENT = "/run/secrets/kafka/client.properties"


class Clone:
    """A user's clone of the repository, and the compose project in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka_port, self.redis_port, self.page_port = (free_port() for _ in range(3))
        self.collector_port, self.syslog_port = (free_port() for _ in range(2))
        self.logs_txt = folder / "logs" / "logs.txt"
        settings = {name.upper() for name in Settings.model_fields}
        self.environment = {k: v for k, v in os.environ.items() if k not in settings}
        self.project = f"logs-test-{secrets.token_hex(4)}"
        self.environment["COMPOSE_PROJECT_NAME"] = self.project
        self._copy_files()
        self._hand_over()

    def set(self, **settings: object) -> None:
        """Add lines to .env."""
        with (self.folder / ".env").open("a") as env:
            env.writelines(f"{name}={value}\n" for name, value in settings.items())

    def compose(self, *args: str, stdin: str = "") -> str:
        return self.docker("compose", *args, stdin=stdin)

    def docker(self, *args: str, stdin: str = "") -> str:
        done = self._run("docker", *args, stdin=stdin)
        assert done.returncode == 0, f"{done.args} → {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *args: str) -> str:
        """What a command of docker compose says that must not succeed."""
        done = self._run("docker", "compose", *args)
        assert done.returncode != 0, f"{done.args} → 0\n{done.stdout}{done.stderr}"
        return done.stderr

    def script(self, name: str, *args: str) -> str:
        """What a script of ours says that runs on this machine, without credentials."""
        servers = {
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self.kafka_port}",
            "REDIS_URL": f"redis://localhost:{self.redis_port}",
            "LOG_FILE": str(self.logs_txt),
            "REDIS_MAX_LOGS": str(CAP),
        }
        done = self._run(sys.executable, name, *args, env=self.environment | servers)
        assert done.returncode == 0, f"{done.args} → {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def kafka(self, tool: str, *args: str, stdin: str = "") -> str:
        path = f"/opt/kafka/bin/{tool}.sh"
        server = ("--bootstrap-server", "kafka:19092", "--command-config", CLIENT)
        return self.compose("exec", "-T", "kafka", path, *server, *args, stdin=stdin)

    def consume(self, topic: str, count: int, *args: str) -> list[str]:
        """The first `count` records of a topic, by Kafka's own tool."""
        wanted = ("--topic", topic, "--from-beginning", "--max-messages", str(count))
        patience = ("--timeout-ms", "120000")
        records = self.kafka("kafka-console-consumer", *wanted, *patience, *args).splitlines()
        assert len(records) == count
        return records

    def redis(self, *args: str) -> list[str]:
        return self.compose("exec", "-T", "redis", "redis-cli", *args).splitlines()

    def stranger(self, network: str, *addresses: str) -> dict[str, dict[str, str]]:
        """The answers to tests/support/stranger.py in a container of one of the networks."""
        network = f"{self.project}_{network}"
        run = ("run", "--rm", "--interactive", "--network", network, PYTHON, "python", "-")
        program = (ROOT / "tests" / "support" / "stranger.py").read_text()
        answered: dict[str, dict[str, str]]
        answered = json.loads(self.docker(*run, *addresses, stdin=program))
        return answered

    def passwords(self) -> dict[str, str]:
        """Those in the volume: file → text."""
        volume = f"{self.project}_secrets:/secrets:ro"
        show = 'cd /secrets; for file in kept/* pipeline/*; do echo "$file $(cat $file)"; done'
        run = ("run", "--rm", "--network", "none", "--volume", volume, PYTHON, "sh", "-c", show)
        return dict(line.split() for line in self.docker(*run).splitlines())

    def inspect(self) -> dict[str, list[dict[str, Any]]]:
        """What Docker knows of each container: service → containers."""
        found: dict[str, list[dict[str, Any]]] = {}
        ids = self.compose("ps", "--all", "--quiet").split()
        for container in json.loads(self.docker("inspect", *ids)):
            service = container["Config"]["Labels"]["com.docker.compose.service"]
            found.setdefault(service, []).append(container)
        return found

    def as_owner(self, *command: str) -> str:
        user = None if os.getuid() else OWNER
        return subprocess.run(
            command, cwd=self.folder, user=user, check=True, capture_output=True, text=True
        ).stdout

    def lines(self) -> list[str]:
        """What logs.txt has, without a line that is just being written."""
        return self.logs_txt.read_text("utf-8").split("\n")[:-1]

    def grows(self) -> None:
        """Wait for more lines. Raises AssertionError."""
        before = len(self.lines())
        until(lambda: len(self.lines()) >= before + 100, PATIENCE, "logs.txt does not grow")

    def containers(self, *which: str) -> list[dict[str, Any]]:
        listed = self.compose("ps", "--format", "json", *which)
        return [json.loads(line) for line in listed.splitlines()]

    def shares(self) -> list[int]:
        """How many partitions each member of the consumer group has."""
        table = self.kafka("kafka-consumer-groups", "--describe", "--group", "log-consumer")
        rows = [row.split() for row in table.splitlines()]
        return sorted(Counter(row[6] for row in rows if row[1:2] == ["logs"]).values())

    def end_offsets(self) -> int:
        rows = self.kafka("kafka-get-offsets", "--topic", "logs").splitlines()
        return sum(int(row.rsplit(":", 1)[1]) for row in rows)

    def _run(
        self, *command: str, stdin: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=env or self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def _copy_files(self) -> None:
        copy_files(self.folder)
        self.set(
            KAFKA_HOST_PORT=self.kafka_port,
            REDIS_HOST_PORT=self.redis_port,
            DASHBOARD_PORT=self.page_port,
            COLLECTOR_PORT=self.collector_port,
            COLLECTOR_SYSLOG_HOST_PORT=self.syslog_port,
            REDIS_MAX_LOGS=CAP,
            PRODUCER_RATE=100,
        )

    def _hand_over(self) -> None:
        """To the owner, and as after `umask 077; git clone`: readable to them alone."""
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, OWNER, -1)
            path.chmod(path.stat().st_mode & 0o700)


def address_in(container: dict[str, Any], network: str) -> dict[str, Any]:
    """What Docker knows of a container's place in one of the project's networks."""
    networks: dict[str, dict[str, Any]] = container["NetworkSettings"]["Networks"]
    [found] = [networks[name] for name in networks if name.endswith(f"_{network}")]
    return found
