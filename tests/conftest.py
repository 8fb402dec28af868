"""What every test may use: real servers, settings of its own, and scripts that run."""

import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis as RedisClient

from config import Settings
from local.kafka import Kafka
from local.redis import Redis
from local.server import free_port
from local.stack import variables
from tests import servers
from tests.process import Process, script
from tests.seaweed import Seaweed

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

IN_USE = pytest.StashKey[str]()
RunScript = Callable[..., Process]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=("auto", "docker", "local"),
        default="auto",
        help="Kafka and Redis in Docker, as local processes, or what there is (default: auto)",
    )
    parser.addoption(
        "--no-browser", action="store_true", help="leave out the tests that need a Chromium"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--no-browser"):
        left_out = [item for item in items if item.get_closest_marker("browser")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_configure(config: pytest.Config) -> None:
    wanted = str(config.getoption("--servers"))
    if wanted == "auto":
        wanted = "docker" if servers.docker_has_images() else "local"
    config.stash[IN_USE] = wanted
    # kafka-python 3.0.12 loads its schemas so; it must be imported after this line.
    ignored = "ignore:(read|open)_text is deprecated:DeprecationWarning"
    config.addinivalue_line("filterwarnings", ignored)
    # kafka-python leaves each socket that a broker refused to be warned of in whichever test.
    refused = r"ignore:unclosed <socket.socket .*laddr=\('0.0.0.0', \d+\)>:ResourceWarning"
    config.addinivalue_line("filterwarnings", refused)
    # Default SIGTERM would leave containers behind.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))


def pytest_report_header(config: pytest.Config) -> str:
    kind = "Docker containers" if config.stash[IN_USE] == "docker" else "local processes, no Docker"
    return f"servers: real Kafka and Redis, {kind}"


@pytest.fixture(scope="session")
def kafka_servers(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A broker for all tests: "127.0.0.1:port"."""
    if pytestconfig.stash[IN_USE] == "docker":
        broker = servers.kafka_container()
    else:
        broker = servers.kafka_process(tmp_path_factory.mktemp("kafka"))
    with broker as address:
        yield address


@pytest.fixture(scope="session")
def redis_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A Redis for all tests: its URL, without a database's number."""
    if pytestconfig.stash[IN_USE] == "docker":
        server = servers.redis_container()
    else:
        server = servers.redis_process(tmp_path_factory.mktemp("redis"))
    with server as url:
        yield url


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 server for all tests: `place` gives each a place of its own."""
    with servers.started(Seaweed(tmp_path_factory.mktemp("seaweed"))) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_admin(kafka_servers: str) -> Iterator["KafkaAdminClient"]:
    """An admin client of the session's broker."""
    from kafka.admin import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka_servers)) as admin:
        yield admin


@pytest.fixture
def settings(
    kafka_servers: str,
    kafka_admin: "KafkaAdminClient",
    redis_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Settings that no other test shares: topics (not made yet), group, Redis keys, logs.txt."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    test = f"test-{secrets.token_hex(6)}"
    mine = Settings(
        _env_file=None,
        kafka_bootstrap_servers=kafka_servers,
        kafka_topic=test,
        kafka_dead_letter_topic=f"{test}.dead-letter",
        kafka_group_id=test,
        redis_url=redis_server,
        redis_key=test,
        log_file=tmp_path / "logs.txt",
        metrics_port=0,
        alerts_metrics_port=0,
    )
    yield mine
    from kafka.errors import KafkaError

    with RedisClient.from_url(redis_server) as client:
        keys = list(client.scan_iter(f"{test}*", count=10_000))
        if keys:
            client.unlink(*keys)
    mine_there = {mine.kafka_topic, mine.kafka_dead_letter_topic} & {*kafka_admin.list_topics()}
    with contextlib.suppress(KafkaError):
        kafka_admin.delete_topics(list(mine_there))


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with `settings` in it, for subprocesses."""
    return os.environ | variables(settings)


@pytest.fixture
def run_script(environment: dict[str, str], tmp_path: Path) -> Iterator[RunScript]:
    """Starts a script of the repository: `run_script("consumer.py", "--flag", env=…, **popen)`.

    It runs in `tmp_path`, with `environment` unless `env` is given, and is killed at the end.
    """
    with ExitStack() as cleanup:
        count = 0

        def run(name: str, *args: str, env: dict[str, str] | None = None, **popen: Any) -> Process:
            nonlocal count
            count += 1
            log_file = tmp_path / f"{Path(name).stem}-{count}.output"
            chosen = environment if env is None else env
            process = Process([*script(name), *args], log_file, chosen, **popen)
            cleanup.callback(process.kill)
            return process

        yield run


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A broker of this test alone, to kill, pause and start again with its data."""
    with servers.started(Kafka(tmp_path / "own-kafka", free_port())) as broker:
        yield broker


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of this test alone, to kill, pause and start again with its data."""
    with servers.started(Redis(tmp_path / "own-redis", free_port())) as server:
        yield server
