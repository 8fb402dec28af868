"""The whole pipeline under everything that a stranger may send, beside honest traffic."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis as RedisClient

from config import Settings
from logpipeline.events.lines import Lines
from logpipeline.kafka import topics
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from logpipeline.producer.tail import Tail
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.fuzz.target import MIB
from tests.fuzz.targets.people import BETWEEN, MENTION, WORDS
from tests.fuzz.watch import peak
from tests.support import drain, siege
from tests.support.forked import forked
from tests.support.process import ROOT, Process, dashboard
from tests.support.siege import Client, Siege, percentile
from tests.support.waiting import until

NOWHERE = "redis://127.0.0.1:1/0"
SECONDS = 20
RATE = 1_000  # honest events a second
CONSUMER, ONLOOKER = 300 * MIB, 200 * MIB  # bytes of memory, at their peak
USUAL, LONGEST = 1.0, 8.0  # seconds to an answer: 95 of 100, and all
PATIENCE = 120.0  # seconds
SECRETS = {"dashboard": "d4shb0ard s3cret", "redis": "r3dis-s3cret", "chat": "ch4t-s3cret"}
RULES = """
[rules.service-burst]
kind = "burst"
over = 5
share = 0.1
window = 600

[rules.dead-letters]
kind = "dead-letters"
over = 1
window = 5
"""
HOSTILE_LINES = [
    b"- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 " + b"-" * 8_192,
    b"\xff" * MIB,
    b'{"log":"' + b'{\\"log\\":\\"' * 5_000,
    b'{"msg":"x","time":1,"x":' + b"[" * 985 + b"]" * 985 + b"}",
    b"\x1b[31m" * 100_000,
]


class City:
    """All programs of the pipeline, with honest users."""

    def __init__(self, settings: Settings, run: RunScript, folder: Path) -> None:
        self.settings = settings
        self.log_file = settings.log_file
        environment = os.environ | variables(settings)
        self.consumer = run("consumer.py", env=environment)
        self.dashboard = run("dashboard.py", env=environment)
        self.alerts = run("alerts.py", env=environment)
        self.page = Client(settings.dashboard_port)
        self.endpoints = [Client(settings.metrics_port), Client(settings.alerts_metrics_port)]
        self._run, self._folder, self._environment = run, folder, environment

    @property
    def programs(self) -> list[Process]:
        return [self.consumer, self.dashboard, self.alerts]

    def begin(self) -> str:
        """Wait until all work; returns the cookie of an honest visitor."""
        self.dashboard.wait_for("the page is at")
        for endpoint in self.endpoints:
            until(partial(ready, endpoint), 60, "not ready")
        status, _, cookie = self.page.log_in(SECRETS["dashboard"])
        assert status == 303
        return cookie

    def producer(self, name: str, lines: list[bytes], *flags: str) -> Process:
        path = self._folder / f"{name}.log"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        arguments = ["--input", str(path), "--service", name, *flags]
        return self._run("producer.py", *arguments, env=self._environment)

    def run(self, name: str, *arguments: str) -> Process:
        """A program that ends, once it has."""
        process = self._run(name, *arguments, env=self._environment)
        process.wait(PATIENCE)
        return process

    def module(self, name: str, *arguments: str) -> Process:
        """The same, of `python -m`."""
        environment = self._environment | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", name, *arguments]
        process = Process(command, self._folder / f"{name}.output", environment)
        process.wait(PATIENCE)
        return process

    def alive(self) -> None:
        """Raises AssertionError with the last words of a program that has ended."""
        for program in self.programs:
            assert program.running(), f"it has ended: {str(program)[-3_000:]}"

    def drained(self) -> bool:
        self.alive()
        return drain.lag(self.settings, drain.end_offsets(self.settings)) == 0


def status(client: Client, path: str) -> int:
    return client.ask(path)[0]


def ready(endpoint: Client) -> bool:
    with suppress(OSError):
        return status(endpoint, "/readyz") == 200
    return False


@pytest.fixture
def password_redis(own_redis: Redis) -> str:
    """A Redis that asks for a password; its URL, without."""
    with RedisClient.from_url(own_redis.url) as client:
        client.config_set("requirepass", SECRETS["redis"])
    return own_redis.url


@pytest.fixture
def posted() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    with siege.chat() as hook:
        yield hook


@pytest.fixture
def city(
    settings: Settings,
    password_redis: str,
    posted: tuple[int, list[dict[str, Any]]],
    run_script: RunScript,
    tmp_path: Path,
) -> City:
    rules = tmp_path / "alerts.toml"
    rules.write_text(RULES)
    own = {
        "redis_url": password_redis,
        "redis_password": SECRETS["redis"],
        "redis_max_logs": 1_000,
        "dashboard_password": SECRETS["dashboard"],
        "dashboard_port": free_port(),
        "metrics_port": free_port(),
        "alerts_metrics_port": free_port(),
        "alert_urls": f"json://u:{SECRETS['chat']}@127.0.0.1:{posted[0]}/hook",
        "alerts_file": rules,
    }
    mine = settings.model_copy(update=own)
    topics.ensure(mine, Shutdown(), topics.to_read(mine))
    return City(mine, run_script, tmp_path)


@pytest.mark.alone
def test_under_siege_honest_events_arrive_once_and_honest_people_are_answered(
    city: City, posted: tuple[int, list[dict[str, Any]]], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "logs.txt.checkpoint.tmp").symlink_to(victim)
    cookie = city.begin()
    honest = [siege.event(message=f"honest {n}", honest=n) for n in range(SECONDS * RATE)]
    with ExitStack() as stack:
        attackers = Siege()
        stack.callback(attackers.end)
        besiege(city, attackers, stack, cookie)
        ships = [
            city.producer("honest", honest, "--rate", str(RATE)),
            city.producer("hostile", HOSTILE_LINES * 20),
        ]
        for ship in ships:
            assert ship.wait(PATIENCE) == 0, str(ship)
        recent_is_quick(city)
    city.alive()
    assert attackers.problems == {}
    until(city.drained, PATIENCE, "not all is read")
    told(posted[1])
    settled(city, victim)
    assert_each_once(city.log_file, len(honest))
    assert_answered(attackers)
    assert_small(city)
    assert_silent(city)


def rest() -> None:
    time.sleep(1)


def besiege(city: City, attackers: Siege, stack: ExitStack, cookie: str) -> None:
    """Let all of them begin."""
    known, page = city.settings, city.page
    servers = known.kafka_bootstrap_servers
    writers = {
        "records": (known.kafka_topic, siege.records()),
        "letters": (known.kafka_dead_letter_topic, siege.letters(known.kafka_topic)),
    }
    for name, (topic_name, batches) in writers.items():
        blows = stack.enter_context(siege.producing(servers, topic_name, batches))
        attackers.attack(name, [*blows, rest])
    bombs = stack.enter_context(siege.producing(servers, known.kafka_topic, siege.bombs()))
    attackers.attack("bombs", [blow for bomb in bombs for blow in (bomb, rest, rest)])
    heavy = stack.enter_context(siege.producing(servers, known.kafka_topic, siege.megabytes()))
    attackers.attack("megabytes", [*heavy * 50, *[rest] * 10])
    attackers.attack("requests", siege.requests(page), 2)
    attackers.attack("passwords", [lambda: page.log_in("wrong", Cookie="dashboard=mine")], 8)
    attackers.attack("visitors", [lambda: page.ask(Cookie=cookie)])
    for endpoint in city.endpoints:
        attackers.attack("questions", siege.questions(endpoint))
        for path in ("/metrics", "/readyz"):
            attackers.poll(f"{endpoint.port}{path}", partial(status, endpoint, path))
    half = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
    attackers.hold(page.begin(half) for _ in range(1_000))
    attackers.hold(city.endpoints[0].begin(half) for _ in range(50))
    attackers.poll("healthz", lambda: page.ask("/healthz")[0])
    attackers.poll("page", lambda: page.ask(Cookie=cookie)[0])
    attackers.poll("login page", lambda: page.ask()[0])
    attackers.poll("login", lambda: page.log_in(SECRETS["dashboard"])[0])


def recent_is_quick(city: City) -> None:
    """`make recent` shows all that there is, in a few seconds of CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = city.module("logpipeline.recent", "--count", "1000")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.wait() == 0
    assert all(line.isprintable() for line in shown.output().splitlines())
    assert after.ru_utime - before.ru_utime < 4


def told(posted: list[dict[str, Any]]) -> None:
    """Nobody is mentioned in the chat, and nothing is long."""
    until(lambda: any("channel" in each["message"] for each in posted), 30, "not told")
    for each in posted:
        words = f"{each['title']} {each['message']}"
        assert not MENTION.search(words)
        assert len(words) <= WORDS
        assert each["title"].replace(BETWEEN, "").isprintable()


def settled(city: City, victim: Path) -> None:
    """verify.py agrees, replay.py can read the dead letters, and the report is small."""
    verified = city.run("verify.py")
    assert verified.wait() == 0, str(verified)
    assert all(line.isprintable() for line in verified.output().splitlines())
    assert "deleted" not in verified.output()
    replayed = city.run("replay.py", "--since", "2h", "--dry-run")
    assert replayed.wait() == 0, str(replayed)
    page = victim.with_name("report.html")
    report = city.module("logpipeline.report", "--output", str(page))
    assert report.wait() == 0, str(report)
    assert page.stat().st_size < 2 * MIB
    assert victim.read_text() == "precious"


def assert_each_once(log_file: Path, count: int) -> None:
    """The honest events are all there, in whole lines."""
    numbers = []
    with log_file.open("rb") as file:
        for line in file:
            assert line.endswith(b"\n")
            if b'"honest": ' in line:
                numbers.append(int(line.partition(b'"honest": ')[2].rstrip(b"}\n")))
    assert sorted(numbers) == list(range(count))


def assert_answered(attackers: Siege) -> None:
    """Each who asked honestly was answered, soon."""
    slow, wrong = {}, {}
    for name, answers in attackers.answers.items():
        seconds = [taken for _, taken in answers]
        usual = LONGEST if name == "login" else USUAL  # its delays are meant
        if percentile(seconds, 0.95) > usual or max(seconds) > LONGEST:
            slow[name] = round(percentile(seconds, 0.95), 2), round(max(seconds), 2)
        fine = {"login": {303}, "login page": {401}}.get(name, {200})
        fine |= {503} if name.endswith("/readyz") else set()
        if others := {status for status, _ in answers} - fine:
            wrong[name] = others
    assert not slow
    assert not wrong
    assert len(attackers.answers) == 8


def assert_small(city: City) -> None:
    bounds = {"consumer": CONSUMER, "dashboard": ONLOOKER, "alerts": ONLOOKER}
    peaks = {name: peak(getattr(city, name).pid) for name in bounds}
    assert {name: size // MIB for name, size in peaks.items() if size > bounds[name]} == {}


def assert_silent(city: City) -> None:
    """No traceback, and no secret: in what they say, in `ps`, in their metrics."""
    metrics = b"".join(endpoint.ask("/metrics")[1] for endpoint in city.endpoints).decode()
    for program in city.programs:
        command = Path(f"/proc/{program.pid}/cmdline").read_text()
        program.terminate()
        assert program.wait() == 0, str(program)
        said = program.output() + command + metrics
        assert "Traceback" not in said, said[-3_000:]
        assert not [name for name, secret in SECRETS.items() if secret in said]


def test_a_session_that_somebody_else_has_chosen_is_none(tmp_path: Path) -> None:
    variables_ = {"REDIS_URL": NOWHERE, "DASHBOARD_PASSWORD": SECRETS["dashboard"]}
    with dashboard(tmp_path, forked, **variables_) as (_, address):
        page = Client(urlsplit(address).port or 0)
        status, _, cookie = page.log_in(SECRETS["dashboard"], Cookie="dashboard=chosen")
        assert status == 303
        assert "chosen" not in cookie
        assert page.ask(Cookie="dashboard=chosen")[0] == 401
        assert page.ask(Cookie=cookie)[0] == 200


@pytest.mark.parametrize("name", ["it's", 'a "b" $(c) `d`', "x/../y", "-rf", "[a]*?", "%s {0}"])
def test_paths_may_have_any_name(name: str, tmp_path: Path, redis_server: str) -> None:
    (tmp_path / name.partition("/")[0]).mkdir()
    (tmp_path / name).mkdir(exist_ok=True)
    rules = tmp_path / name / f"{Path(name).name}.toml"
    rules.write_text(RULES)
    log = tmp_path / name / "shop.log"
    log.write_text("2024-03-23 22:56:07,890 ERROR hello\n")
    settings = Settings(_env_file=None, alerts_file=rules, state_dir=tmp_path / name / "state")
    settings.state_dir.mkdir()
    tail = Tail(log, settings.state_dir / "shop", Lines("shop"))
    try:
        assert [len(values) for values, _ in tail.read()] == [1]
        tail.save()
    finally:
        tail.close()
    known = {"REDIS_URL": redis_server, "REDIS_KEY": f"test-{tmp_path.name}"}
    known |= {"ALERTS_FILE": str(settings.alerts_file), "ALERTS_METRICS_PORT": "0"}
    process = forked("alerts.py", tmp_path / "output", os.environ | known)
    try:
        process.wait_for("service-burst")
    finally:
        process.kill()
