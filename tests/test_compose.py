"""The Docker path as a user takes it: a fresh clone, `docker compose up`, and a look around.

Builds and starts containers, so it runs only when asked to: `COMPOSE_TESTS=1 pytest
tests/test_compose.py`. Then a missing Docker is an error. The tests are one story, in order.
"""

import json
import os
import secrets
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from config import Settings
from local.server import free_port
from tests.clone import copy_files
from tests.readme import compose_commands
from tests.waiting import until

if os.environ.get("COMPOSE_TESTS") != "1":
    pytest.skip("builds containers: asked for by COMPOSE_TESTS=1", allow_module_level=True)

OWNER = os.getuid() or 12345  # of the clone: nobody that an image knows, and never root
CAP = 77
PARTITIONS = 4
PATIENCE = 60.0
SCRIPTS = {"producer", "consumer", "dashboard"}
BAD = "this is no event"
UP_AND_DOWN = {"docker compose up", "docker compose down"}  # of which the other tests consist


class Clone:
    """A user's clone of the repository, and the compose project in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka_port, self.redis_port, self.page_port = (free_port() for _ in range(3))
        self.logs_txt = folder / "logs" / "logs.txt"
        settings = {name.upper() for name in Settings.model_fields}
        self.environment = {k: v for k, v in os.environ.items() if k not in settings}
        self.environment["COMPOSE_PROJECT_NAME"] = f"logs-test-{secrets.token_hex(4)}"
        self._copy_files()
        self._hand_over()

    def compose(self, *args: str, stdin: str = "") -> str:
        return self.docker("compose", *args, stdin=stdin)

    def docker(self, *args: str, stdin: str = "") -> str:
        command = ["docker", *args]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command} → {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def kafka(self, tool: str, *args: str, stdin: str = "") -> str:
        path = f"/opt/kafka/bin/{tool}.sh"
        server = ("--bootstrap-server", "kafka:19092")
        return self.compose("exec", "-T", "kafka", path, *server, *args, stdin=stdin)

    def consume(self, topic: str, count: int, *args: str) -> list[str]:
        """The first `count` records of a topic, by Kafka's own tool."""
        wanted = ("--topic", topic, "--from-beginning", "--max-messages", str(count))
        patience = ("--timeout-ms", "30000")
        records = self.kafka("kafka-console-consumer", *wanted, *patience, *args).splitlines()
        assert len(records) == count
        return records

    def redis(self, *args: str) -> list[str]:
        return self.compose("exec", "-T", "redis", "redis-cli", *args).splitlines()

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

    def _copy_files(self) -> None:
        copy_files(self.folder)
        ours = {
            "KAFKA_HOST_PORT": self.kafka_port,
            "REDIS_HOST_PORT": self.redis_port,
            "DASHBOARD_PORT": self.page_port,
            "REDIS_MAX_LOGS": CAP,
            "PRODUCER_RATE": 100,
        }
        (self.folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in ours.items()))

    def _hand_over(self) -> None:
        """To the owner, and as after `umask 077; git clone`: readable to them alone."""
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, OWNER, -1)
            path.chmod(path.stat().st_mode & 0o700)


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    with tempfile.TemporaryDirectory(prefix="clone-", ignore_cleanup_errors=True) as folder:
        clone = Clone(Path(folder))
        try:
            clone.compose("up", "-d", "--build", "--wait")
            yield clone
        finally:
            print(clone.compose("ps", "-a"))
            print(clone.compose("logs", "--tail=50", "prepare", *SCRIPTS))
            clone.compose("down", "--volumes", "--rmi", "local", "--timeout", "5")


def test_logs_txt_has_whole_events_and_is_the_owners(clone: Clone) -> None:
    clone.grows()
    for line in clone.lines():
        assert {"level", "message", "timestamp"} <= json.loads(line).keys()
    assert clone.logs_txt.stat().st_uid == clone.logs_txt.parent.stat().st_uid == OWNER
    assert json.loads(clone.as_owner("tail", "-n", "2", "logs/logs.txt").splitlines()[0])
    clone.as_owner("mv", "logs/logs.txt.lock", "logs/moved")
    clone.as_owner("rm", "logs/moved")
    clone.grows()


def test_redis_has_the_newest_events(clone: Clone) -> None:
    newest = clone.redis("lrange", "logs", "0", "9")
    assert len(newest) == 10
    assert set(newest) <= set(clone.lines()[-CAP * 10 :])
    assert clone.redis("llen", "logs") == [str(CAP)]
    errors = clone.redis("lrange", "logs:ERROR", "0", "-1")
    assert {json.loads(event)["level"] for event in errors} <= {"ERROR"}


def test_kafkas_own_tools_read_the_events(clone: Clone) -> None:
    for event in clone.consume("logs", 5):
        assert json.loads(event)["message"]


def test_programs_of_this_machine_reach_both(clone: Clone) -> None:
    from kafka import KafkaConsumer
    from redis import Redis

    servers = f"localhost:{clone.kafka_port}"
    with closing(KafkaConsumer(bootstrap_servers=servers)) as consumer:
        assert len(consumer.partitions_for_topic("logs")) == PARTITIONS
    with Redis(port=clone.redis_port) as redis:
        assert redis.ping()


def test_the_web_page_answers(clone: Clone) -> None:
    with urlopen(f"http://127.0.0.1:{clone.page_port}/", timeout=20) as answer:
        assert answer.status == 200
        assert "<title>Logs</title>" in answer.read().decode()


def test_dead_letters_carry_their_headers(clone: Clone) -> None:
    clone.kafka("kafka-console-producer", "--topic", "logs", stdin=f"{BAD}\n")
    headers = ("--formatter-property", "print.headers=true")
    [letter] = clone.consume("logs.dead-letter", 1, *headers)
    given, value = letter.split("\t")
    assert value == BAD
    for name in ("error:", "source.topic:logs", "source.partition:", "source.offset:"):
        assert name in given


def test_nothing_runs_as_root(clone: Clone) -> None:
    services = {container["Service"] for container in clone.containers()}
    assert services == {"kafka", "redis", "alerts", *SCRIPTS}
    for service in services:
        assert clone.compose("exec", "-T", service, "id", "-u").strip() != "0"
    for container in clone.containers():
        _, *processes = clone.docker("top", container["ID"], "-eo", "pid,uid").splitlines()
        assert processes
        assert "0" not in {process.split()[1] for process in processes}


def test_every_published_port_is_on_the_loopback_address(clone: Clone) -> None:
    published = [
        (port["URL"], port["PublishedPort"])
        for container in clone.containers()
        for port in container["Publishers"]
        if port["PublishedPort"]
    ]
    assert sorted(published) == sorted(
        ("127.0.0.1", port) for port in (clone.kafka_port, clone.redis_port, clone.page_port)
    )


def test_three_consumers_share_four_partitions(clone: Clone) -> None:
    clone.compose("up", "-d", "--wait", "--scale", "consumer=3")
    until(lambda: clone.shares() == [1, 1, 2], PATIENCE, "three members do not share the topic")
    clone.grows()


def test_what_the_readme_tells_people_to_type_works(clone: Clone) -> None:
    for command in compose_commands():
        if command not in UP_AND_DOWN:
            assert clone.docker(*command.split()[1:]) or " up " in command


def test_restart_and_down_and_up_lose_and_double_nothing(clone: Clone) -> None:
    clone.compose("restart")
    clone.grows()
    clone.compose("down")
    before = clone.lines()
    clone.compose("up", "-d", "--wait", "--scale", "consumer=2")
    clone.grows()
    clone.compose("stop", "producer")
    records = clone.end_offsets()
    until(lambda: len(clone.lines()) >= records - 1, PATIENCE, "the events do not all arrive")
    sent = Counter(clone.consume("logs", records))
    del sent[BAD]
    assert Counter(clone.lines()) == sent
    assert clone.lines()[: len(before)] == before
    assert clone.logs_txt.stat().st_uid == OWNER

    # A consumer that has nothing left to do has nothing left to repeat either.
    clone.compose("restart", "consumer")
    until(lambda: sum(clone.shares()) == PARTITIONS, PATIENCE, "the consumers do not come back")
    assert Counter(clone.lines()) == sent
    newest = clone.redis("lrange", "logs", "0", "-1")
    assert len(newest) == CAP
    assert not Counter(newest) - sent


def test_a_stop_is_heard_and_ends_well(clone: Clone) -> None:
    clone.compose("start", "producer")
    clone.grows()
    clone.compose("stop", *SCRIPTS)
    ended = [c["ExitCode"] for c in clone.containers("-a") if c["Service"] in SCRIPTS]
    assert ended == [0, 0, 0, 0]
