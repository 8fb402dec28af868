"""Errors that nobody foresaw, from each step of a real consumer: nothing dies, stops or is lost."""

import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as RedisClient

from config import Settings
from logpipeline.archive.rotated import rotated
from logpipeline.kafka import topics
from logpipeline.localstack.server import free_port
from logpipeline.shutdown import Shutdown
from logpipeline.supervision import Supervision, Unexpected
from tests.support.forked import Forked
from tests.support.process import Process
from tests.support.raising import STEPS
from tests.support.records import event
from tests.support.topics import read_all, send
from tests.support.waiting import until

PATIENCE = 60.0
SOON = {
    "logpipeline.supervision.MOST": 0.5,
    "logpipeline.supervision.CALM": 2.0,
    "logpipeline.archive.retention.LOOK": 0.2,
}
PASSWORD = "hunter2-s3cret"
SUPERVISED = {"read": "poll", "letter": "dead_letter", "write": "append"} | {
    "look": "redis",
    "ship": "keep",
}
log = logging.getLogger("supervised")


class Raising:
    """consumer.py with a step that fails while `fail` says so."""

    def __init__(self, step: str, settings: Settings, environment: dict[str, str]) -> None:
        self.step = SUPERVISED.get(step, step)
        self.settings = settings
        self.port = free_port()
        self.sent: list[bytes] = []
        folder = settings.log_file.parent
        self._file = folder / "fails"
        store = folder / "store"
        store.mkdir()
        mine = {
            "METRICS_PORT": str(self.port),
            "ARCHIVE_URL": f"file://{store}",
            "LOG_MAX_BYTES": "700",
            "SECRET_PASSWORD": PASSWORD,
            "REDIS_PASSWORD": PASSWORD,
        }
        self._arguments = [step, str(self._file)]
        self._environment = environment | mine
        self.process: Process

    def start(self) -> None:
        output = self.settings.log_file.parent / "raising.output"
        self.process = Forked(
            "tests.support.raising", self._arguments, output, self._environment, constants=SOON
        )

    def fail(self, when: str) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(when)
        draft.replace(self._file)

    def heal(self) -> None:
        self._file.unlink(missing_ok=True)

    def send(self, count: int, **fields: object) -> None:
        """Events, and one record that is none."""
        values = [event(len(self.sent) + n, **fields) for n in range(count)]
        self.put([*values, b"not an event"])
        self.sent += values

    def put(self, values: list[bytes], key: bytes = b"key") -> None:
        mine = self.settings
        send(mine.kafka_bootstrap_servers, mine.kafka_topic, values, partition=0, key=key)

    def lines(self) -> list[bytes]:
        """All that was archived, of rotated files too."""
        found = []
        for file in rotated(self.settings.log_file):
            with file.open() as content:
                found += content.read().splitlines()
        path = self.settings.log_file
        return found + (path.read_bytes().splitlines() if path.exists() else [])

    def arrives(self, lines: list[bytes]) -> None:
        """Each line once and in its order, also in Redis."""

        def there() -> bool:
            try:
                return len(self.lines()) >= len(lines)
            except OSError:
                return False

        until(there, PATIENCE, str(self.process))
        until(lambda: self.lines() == lines, PATIENCE, str(self.process))
        with RedisClient.from_url(self.settings.redis_url) as redis:
            until(
                lambda: redis.lrange(self.settings.redis_key, 0, -1) == lines[::-1],
                PATIENCE,
                str(self.process),
            )

    def letters(self) -> list[tuple[bytes, str]]:
        """The dead letters so far, with their errors."""
        mine = self.settings
        records = read_all(mine.kafka_bootstrap_servers, mine.kafka_dead_letter_topic)
        return [(record.value, dict(record.headers)["error"].decode()) for record in records]

    def ready(self) -> tuple[int, str]:
        try:
            with self.get("/readyz") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def errors(self) -> float:
        """By its metric."""
        sample = f'log_consumer_unexpected_errors_total{{step="{self.step}"}} '
        with self.get("/metrics") as answer:
            return float(answer.read().decode().partition(sample)[2].split()[0])

    def has_failed(self, times: int) -> bool:
        return self.errors() >= times

    def get(self, path: str) -> Any:
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5)


Run = Callable[[str], Raising]


@pytest.fixture
def run(settings: Settings, environment: dict[str, str]) -> Iterator[Run]:
    """Starts a Raising that has archived five events."""
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    with ExitStack() as cleanup:

        def start(step: str) -> Raising:
            it = Raising(step, settings, environment)
            it.start()
            cleanup.callback(it.process.kill)
            it.send(5)
            it.arrives(it.sent)
            until(lambda: it.ready()[0] == 200, PATIENCE, str(it.process))
            return it

        yield start


def close(it: Raising) -> str:
    """End it in order. Returns what it has printed."""
    it.process.terminate()
    assert it.process.wait(15) == 0, it.process
    output = it.process.output()
    assert PASSWORD not in output
    return output


@pytest.mark.parametrize("step", sorted(STEPS.keys() - {"start"}))
def test_a_step_that_fails_once_is_retried(run: Run, step: str) -> None:
    it = run(step)
    it.fail("once")
    it.send(10)
    it.arrives(it.sent)
    until(lambda: it.errors() >= 1, PATIENCE)
    until(lambda: it.ready()[0] == 200, PATIENCE, str(it.process))
    output = close(it)
    assert output.count("Traceback (most recent call last)") == 1, output
    assert f"in {it.step}, retrying" in output
    assert f"{it.step} works again after" in output


@pytest.mark.parametrize("step", sorted(STEPS.keys() - {"start"}))
def test_a_step_that_fails_for_ever_is_logged_once_and_makes_up_for_it_later(
    run: Run, step: str
) -> None:
    it = run(step)
    it.fail("ever")
    it.send(10)  # more than logs.txt may have: there is a rotated file to send
    for errors in range(1, 7):
        it.send(2)
        until(partial(it.has_failed, errors), PATIENCE, str(it.process))
    status, why = it.ready()
    assert status == 503
    assert f"in {it.step}" in why
    assert it.process.running()
    if it.step in ("offer", "commit", "redis", "keep"):
        until(lambda: len(it.lines()) == len(it.sent), PATIENCE, "the archive is held up")
    it.heal()
    it.send(5)
    it.arrives(it.sent)
    until(lambda: it.ready()[0] == 200, PATIENCE, str(it.process))
    assert {value for value, _ in it.letters()} == {b"not an event"}, "no outage is poison"
    output = close(it)
    assert output.count("Traceback (most recent call last)") <= 2, output


def test_a_start_that_fails_is_retried(run: Run) -> None:
    it = run("start")
    close(it)
    it.fail("ever")
    it.start()
    try:
        until(lambda: it.ready()[1].endswith("in start\n"), PATIENCE, str(it.process))
        until(lambda: it.errors() >= 3, PATIENCE)
        it.heal()
        it.send(2)
        it.arrives(it.sent)
        assert close(it).count("Traceback (most recent call last)") == 1
    finally:
        it.process.kill()


@pytest.mark.parametrize("step", ["read", "append", "write"])
def test_a_record_that_fails_each_time_becomes_a_dead_letter_and_the_rest_arrives(
    run: Run, step: str
) -> None:
    it = run(step)
    it.fail("venom")
    before = it.sent
    good = [event(100 + n) for n in range(40)]
    bad = [event(200 + n, message="venom") for n in range(3)]
    it.put([*good[:10], bad[0], *good[10:20], bad[1], bad[2], *good[20:]])
    it.arrives([*before, *good])
    it.put([event(300, message="venom"), event(301)])
    it.arrives([*before, *good, event(301)])
    until(lambda: it.ready()[0] == 200, PATIENCE, str(it.process))
    letters = [letter for letter in it.letters() if letter[0] != b"not an event"]
    assert {value for value, _ in letters} == {*bad, event(300, message="venom")}
    assert all("Bug: unforeseen" in error for _, error in letters)
    assert not any(PASSWORD in error for _, error in letters)
    with it.get("/metrics") as answer:
        assert 'log_consumer_dead_letters_total{reason="poison"} 4.0' in answer.read().decode()
    assert close(it).count("becomes a dead letter: it could not be processed") == 4


def test_a_lone_record_that_fails_each_time_becomes_a_dead_letter(run: Run) -> None:
    it = run("append")
    it.fail("venom")
    it.put([event(100, message="venom")])
    until(lambda: len(it.letters()) == 2, PATIENCE, str(it.process))
    it.send(1)
    it.arrives(it.sent)
    close(it)


def test_an_invalid_record_that_kafka_cant_be_sent_goes_there_without_its_key(run: Run) -> None:
    it = run("letter")
    it.fail("venom")
    it.put([b"broken"], key=b"venom")
    it.send(3)
    it.arrives(it.sent)
    assert b"broken" in [value for value, _ in it.letters()]
    close(it)


def test_an_event_that_redis_cant_have_holds_up_nothing(run: Run) -> None:
    it = run("offer")
    it.fail("venom")
    it.send(3, message="venom")
    it.arrives(it.sent)
    assert {value for value, _ in it.letters()} == {b"not an event"}
    close(it)


def raises(error: BaseException) -> BaseException:
    """The error, as it is once it has been raised."""
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001
        return raised


def test_an_error_is_logged_once_counted_each_time_and_again_when_it_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    counted: list[str] = []
    it = Supervision(log, count=counted.append)
    waits = [it.note("step", raises(ValueError(str(n)))) for n in range(8)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert caplog.text.count("Traceback") == 1
    it.note("step", raises(KeyError("x")))
    assert caplog.text.count("Traceback") == 2
    assert counted == ["step"] * 9
    assert it.missing() == "unexpected KeyError in step"
    it.resolve("step", sure=False)
    assert it.tries("step") == 9
    it.resolve("step", "another")
    assert (it.tries("step"), it.missing()) == (0, "")
    assert caplog.text.count("step works again after 9 unexpected errors") == 1


def test_an_error_that_comes_and_goes_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    it = Supervision(log)
    for number in range(1_000):
        it.note("step", raises(ValueError(f"record {number}")))
        it.resolve("step")
    assert len(caplog.records) == 2


def test_an_outage_passes_and_what_nobody_foresaw_does_not() -> None:
    it = Supervision(log)
    with pytest.raises(OSError, match="disk"), it.step("append", (OSError,)):
        raise OSError("disk full")
    assert not it.missing()
    with pytest.raises(Unexpected), it.step("append", (OSError,)):
        raise ValueError
    missed: list[str] = []
    with it.optional("offer", otherwise=lambda: missed.append("offer")):
        raise ValueError
    assert missed == ["offer"]
    assert it.missing() == "unexpected ValueError in append; unexpected ValueError in offer"


SECRETS: dict[str, Any] = {
    "kafka_security_protocol": "SASL_PLAINTEXT",
    "kafka_sasl_mechanism": "PLAIN",
    "kafka_sasl_username": "alice",
    "kafka_sasl_password": "kafk'a\\pass",
    "redis_url": "redis://bob:redis%2Fpass@localhost:6379/0",
    "redis_password": "another/pass",
    "archive_url": "s3://AKID:s3%2Fpass@bucket/prefix",
    "dashboard_password": "dashboard pass",
    "alert_urls": "slack://tokenA/tokenB/tokenC, mailto://carol:mail-pass@example.org",
}


def test_no_secret_is_in_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(_env_file=None, **SECRETS)
    it = Supervision(log, settings)
    forms = ["kafk'a\\pass", "redis%2Fpass", "redis/pass", "another/pass", "another%2Fpass"]
    forms += ["s3%2Fpass", "s3/pass", "dashboard pass", "tokenA/tokenB/tokenC", "mail-pass"]
    texts = [*forms, repr("kafk'a\\pass"), settings.redis_url, settings.archive_url]
    texts += settings.alert_urls.split(", ")
    for number, text in enumerate(texts):
        cause = raises(ValueError(f"cause {text}"))
        error = RuntimeError(f"it is {text}")
        error.__cause__ = cause
        it.note(str(number), raises(error))
    said = caplog.text + it.missing()
    assert said.count("RuntimeError: it is") == len(texts)
    assert not [form for form in forms if form in said]
    assert "localhost:6379" in said, "the rest of a URL is needed"


def test_no_secret_is_where_others_of_the_machine_can_look(run: Run) -> None:
    it = run("append")
    it.fail("ever")
    it.send(1)
    until(lambda: it.errors() >= 2, PATIENCE)
    shown = [it.ready()[1], Path(f"/proc/{it.process.pid}/cmdline").read_text()]
    for path in ("/metrics", "/healthz"):
        with it.get(path) as answer:
            shown.append(answer.read().decode())
    assert not any(PASSWORD in text for text in shown)
    close(it)
