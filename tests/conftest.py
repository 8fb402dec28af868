"""What every test may use: real servers, settings of its own, and scripts that run."""

import contextlib
import gc
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from subprocess import PIPE
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis as RedisClient

from config import Settings
from logpipeline.events import times
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import Server, free_port
from logpipeline.localstack.stack import variables
from tests.support import programs, servers
from tests.support.forked import SCRIPTS, Constants, Forked, forked
from tests.support.holding import Holding
from tests.support.process import Process, dashboard, script
from tests.support.seaweed import Seaweed
from tests.support.sharing import shared

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient
    from playwright.sync_api import Browser

    from tests.support.browser import Tab

IN_CI = os.environ.get("CI") == "true"
SERVERS = {"kafka_servers", "redis_server", "seaweed", "new_kafka", "own_kafka", "own_redis"}
EXPENSIVE = {"seaweed", "settled", "settled_rotated"}  # one worker gets all tests of such a fixture
RunScript = Callable[..., Process]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=("auto", "docker", "local"),
        default="auto",
        help="Kafka and Redis in Docker, as local processes, or what there is (default: auto)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.servers == "auto":  # the workers of pytest-xdist get what is found here
        config.option.servers = "docker" if containers().have_images() else "local"
    # Brokers that live for a test are gone before Java's second compiler is of use.
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
    # kafka-python 3.0.12 loads its schemas so; it must be imported after this line.
    ignored = "ignore:(read|open)_text is deprecated:DeprecationWarning"
    config.addinivalue_line("filterwarnings", ignored)
    # kafka-python leaves each socket that a broker refused to be warned of in whichever test.
    refused = r"ignore:unclosed <socket.socket .*laddr=\('0.0.0.0', \d+\)>:ResourceWarning"
    config.addinivalue_line("filterwarnings", refused)
    # Default SIGTERM would leave containers behind.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))


def pytest_report_header(config: pytest.Config) -> list[str]:
    kind = "Docker containers" if in_docker(config) else "local processes, no Docker"
    lines = [f"servers: real Kafka and Redis, {kind}"]
    if config.getoption("numprocesses", None):
        lines.append("tests that must run alone are left out; to run them: make siege")
    if gone := programs.missing(*programs.PACKAGES, programs.MOUNT):
        verdict = "fail" if IN_CI else "are left out"
        tests = f"tests that need {', '.join(gone)} {verdict}"
        lines.append(f"{tests}; to run them: {programs.how_to_get(*gone)}")
    return lines


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what starts a server, and have it first: what is short is better shared at the end.
    Beside other tests, leave out what measures how soon it is answered."""
    if hasattr(config, "workerinput"):
        crowded = [item for item in items if item.get_closest_marker("alone")]
        config.hook.pytest_deselected(items=crowded)
        items[:] = [item for item in items if item not in crowded]
    for item in items:
        fixtures = {*getattr(item, "fixturenames", ())}
        if SERVERS & fixtures:
            item.add_marker("server")
        for name in sorted(EXPENSIVE & fixtures):
            item.add_marker(pytest.mark.xdist_group(name))
        if "own_kafka" in fixtures and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(f"kafka_of_{item.path.stem}"))
    items.sort(key=lambda item: item.get_closest_marker("server") is None)


def pytest_collection_finish() -> None:
    """Spare garbage collections half a million objects of the collected tests."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = [name for marker in item.iter_markers("needs") for name in marker.args]
    if gone := programs.missing(*needed):
        leave_out = pytest.fail if IN_CI and gone != [programs.MOUNT] else pytest.skip
        leave_out(f"it needs {', '.join(gone)}: {programs.how_to_get(*gone)}")


def in_docker(config: pytest.Config) -> bool:
    return bool(config.option.servers == "docker")


def containers() -> ModuleType:
    """Imported only where Docker is used: its client takes each worker as long as forty tests."""
    from tests.support import containers

    return containers


@pytest.fixture(autouse=True)
def no_server_unless_marked(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make check` leaves out what is marked, to be done in two minutes."""
    if not request.node.get_closest_marker("server"):
        monkeypatch.setattr(Server, "start", lambda _: pytest.fail("it lacks pytest.mark.server"))


@pytest.fixture
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of lines that state none."""
    monkeypatch.setattr(times, "now", lambda: "1.000000")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all workers of this run."""
    mine = tmp_path_factory.getbasetemp()
    return (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "shared"


@pytest.fixture(scope="session")
def kafka_servers(pytestconfig: pytest.Config, run_folder: Path) -> Iterator[str]:
    """A broker for all tests: "127.0.0.1:port"."""
    local = partial(servers.kafka_process, run_folder / "kafka")
    start = containers().kafka if in_docker(pytestconfig) else local
    with shared(run_folder, "kafka", start) as address:
        yield address


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config, run_folder: Path) -> Iterator[str]:
    """A Redis for all tests: its URL, without a database's number."""
    local = partial(servers.redis_process, run_folder / "redis")
    start = containers().redis if in_docker(pytestconfig) else local
    with shared(run_folder, "redis", start) as url:
        yield url


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 server for all tests: `place` gives each a place of its own."""
    with servers.started(Seaweed(tmp_path_factory.mktemp("seaweed"))) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A Chromium: a test that has it needs "chromium"."""
    from playwright.sync_api import expect

    from tests.support.browser import PATIENCE, chromium

    expect.set_options(timeout=PATIENCE)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with servers.started(Redis(tmp_path_factory.mktemp("redis"), free_port())) as server:
        yield server


@pytest.fixture(scope="module")
def page_address(page_redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One dashboard.py for the tests of a module."""
    folder = tmp_path_factory.mktemp("dashboard")
    with dashboard(folder, forked, REDIS_URL=page_redis.url) as (process, address):
        yield address
        assert "Traceback" not in process.output()


@pytest.fixture
def holding(page_redis: Redis) -> Iterator[Holding]:
    """The Redis of the page, empty, to be filled."""
    with RedisClient.from_url(page_redis.url) as client:
        client.flushall()
        yield Holding(client, "logs")


@pytest.fixture
def tab(browser: "Browser", page_address: str) -> Iterator["Tab"]:
    from tests.support.browser import Tab

    with Tab(browser, page_address) as tab:
        yield tab


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
    It is forked from a process that has imported it, which saves a start of Python, but with
    `forked=False`, as for a test of its memory, with `popen` other than `stdin=PIPE`, or for a
    program that is not ours. `constants` of its modules are set first: see Forked.
    """
    with ExitStack() as cleanup:
        count = 0

        def run(
            name: str,
            *args: str,
            env: dict[str, str] | None = None,
            forked: bool = True,
            constants: Constants | None = None,
            **popen: Any,
        ) -> Process:
            nonlocal count
            count += 1
            log_file = tmp_path / f"{Path(name).stem}-{count}.output"
            chosen = environment if env is None else env
            process: Process
            if forked and name in SCRIPTS and popen in ({}, {"stdin": PIPE}):
                piped = bool(popen)
                process = Forked(name, [*args], log_file, chosen, constants=constants, piped=piped)
            else:
                process = Process([*script(name, constants), *args], log_file, chosen, **popen)
            cleanup.callback(process.kill)
            return process

        yield run


@pytest.fixture(scope="session")
def formatted(run_folder: Path) -> Iterator[Path]:
    """The data folder of a broker that has never run, to copy: formatting takes a Java."""
    with shared(run_folder, "formatted", partial(servers.kafka_data, run_folder)) as folder:
        yield Path(folder)


@pytest.fixture
def new_kafka(tmp_path: Path, formatted: Path) -> Iterator[Kafka]:
    """A broker of this test alone that has never run."""
    with never_run(tmp_path / "own-kafka", formatted) as broker:
        yield broker


@pytest.fixture(scope="module")
def module_kafka(tmp_path_factory: pytest.TempPathFactory, formatted: Path) -> Iterator[Kafka]:
    with never_run(tmp_path_factory.mktemp("module-kafka"), formatted) as broker:
        yield broker


@contextlib.contextmanager
def never_run(folder: Path, formatted: Path) -> Iterator[Kafka]:
    shutil.copytree(formatted, folder / "data")
    with servers.killed_at_end(Kafka(folder, free_port(), servers.GROUPS)) as broker:
        yield broker


@pytest.fixture
def own_kafka(module_kafka: Kafka) -> Kafka:
    """A broker that no other test uses meanwhile, to kill, pause and start again with its data.
    It has the topics of the module's earlier tests, too."""
    module_kafka.resume()
    if module_kafka.status() is not None:
        module_kafka.start()
    module_kafka.wait_ready()
    return module_kafka


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of this test alone, to kill, pause and start again with its data."""
    with servers.started(Redis(tmp_path / "own-redis", free_port())) as server:
        yield server
