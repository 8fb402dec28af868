"""KafkaLogHandler in Python programs, on real Kafka."""

import io
import json
import logging
import logging.config
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from logpipeline import shutdown
from logpipeline.events import event
from logpipeline.events.lines import MOST
from logpipeline.kafka.outbox import Outbox
from logpipeline.localstack.kafka import Kafka
from logpipeline.producer import delivery
from logpipeline.producer.delivery import EXIT, JOIN, Delivery
from logpipeline.producer.handler import BLOCK, KafkaLogHandler
from tests.conftest import RunScript
from tests.support.process import ROOT
from tests.support.topics import records
from tests.support.waiting import until


def arrived(servers: str, topic: str) -> list[dict[str, Any]]:
    """The events of the topic, each checked to be one; a program's are in order."""
    values = [value for pairs in records(servers, topic).values() for _, value in pairs]
    for value in values:
        event.parse(value)
    return [json.loads(value) for value in values]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of this test alone, which pytest's own handlers don't see."""
    mine = logging.getLogger(f"shop.{time.monotonic_ns()}")
    mine.setLevel(logging.DEBUG)
    mine.propagate = False
    yield mine
    for handler in mine.handlers[:]:
        mine.removeHandler(handler)
        handler.close()


def handler(settings: Settings, **options: Any) -> KafkaLogHandler:
    return KafkaLogHandler(
        kafka_bootstrap_servers=settings.kafka_bootstrap_servers,
        kafka_topic=settings.kafka_topic,
        **options,
    )


def attach(logger: logging.Logger, kafka: KafkaLogHandler) -> None:
    """Make it the only one: pytest adds its own, which raise."""
    logger.handlers[:] = [kafka]


def on(settings: Settings, kafka: Kafka) -> Settings:
    return settings.model_copy(update={"kafka_bootstrap_servers": kafka.bootstrap})


def test_dict_config_and_what_a_record_becomes(
    settings: Settings, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    kafka = {
        "class": "logpipeline.KafkaLogHandler",
        "level": "INFO",
        "service": "shop",
        "kafka_topic": settings.kafka_topic,
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"kafka": kafka},
            "loggers": {logger.name: {"handlers": ["kafka"], "propagate": False}},
        }
    )
    before = time.time()
    logger.debug("below the level")
    logger.warning("%d of %s", 3, "é\n", extra={"order": 7, "tags": ["a"], "level": "mine"})
    try:
        raise ValueError("no such order")
    except ValueError:
        logger.exception("failed", stack_info=True)
    logger.critical("last")
    logger.handlers[0].close()
    first, second, third = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert before <= first.pop("timestamp") <= time.time()
    assert first == {
        "level": "WARNING",
        "message": "3 of é\n",
        "logger": logger.name,
        "service": "shop",
        "order": 7,
        "tags": ["a"],
        "original_level": "mine",
    }
    assert second["level"] == "ERROR"
    assert second["message"] == "failed"
    assert second["exception"].startswith("Traceback (most recent call last):\n")
    assert second["exception"].endswith("ValueError: no such order")
    assert "test_handler.py" in second["stack"]
    assert third["level"] == "CRITICAL"
    assert "exception" not in third


def test_what_redact_names_is_replaced_in_all_of_a_record(
    settings: Settings, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDACT", "email")
    attach(logger, handler(settings))
    try:
        raise ValueError("no ada@example.org")
    except ValueError:
        logger.exception("for %s", "ada@example.org", extra={"user": ["ada@example.org"]})
    logger.handlers[0].close()
    attach(logger, handler(settings, redact="", service="not redacted"))
    logger.error("for ada@example.org")
    logger.handlers[0].close()
    events = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    first, second = sorted(events, key=lambda each: "service" in each)
    assert (first["message"], first["user"]) == ("for [email]", ["[email]"])
    assert first["exception"].endswith("ValueError: no [email]")
    assert "example.org" not in str(first)
    assert second["message"] == "for ada@example.org"


class Nasty:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_whatever_is_logged_is_an_event_and_raises_nothing(
    settings: Settings, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """tests/test_log_record.py has the others."""
    attach(logger, handler(settings))
    circular: list[Any] = []
    circular.append(circular)
    logger.info("%d", "no number")
    logger.info("half \ud800")
    logger.info("circular", extra={"it": circular, "fine": 1})
    logger.info("objects", extra={"path": Path("/tmp"), "big": 2**70, "nan": float("nan")})  # noqa: S108
    logger.info("x" * 3 * MOST, extra={"big": "y" * MOST})
    logger.log(25, "between")
    logger.info("nasty", extra={"it": Nasty()})
    logger.info("%s", Nasty())
    logger.handlers[0].close()
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    found = {each["message"][:12]: each for each in got}
    assert set(found) == {
        *("%d ('no numb", "half \ufffd", "circular", "objects", "x" * 12, "between"),
        *("nasty", "%s <Nasty: r"[:12]),
    }
    assert found["circular"]["fine"] == 1
    assert found["objects"]["path"] == "/tmp"  # noqa: S108
    assert found["between"]["level"] == "INFO"
    assert f"[cut: message has {3 * MOST:,} bytes]" in found["x" * 12]["message"]
    assert f"[cut: big has {MOST:,} bytes]" in found["x" * 12]["big"]
    assert "Nasty" in found["nasty"]["it"]
    assert capsys.readouterr().err == ""


def test_threads_lose_nothing_and_keep_their_order(
    settings: Settings, logger: logging.Logger
) -> None:
    attach(logger, handler(settings, block=30, capacity=100))

    def work(name: int) -> None:
        for number in range(500):
            logger.info("%d", number, extra={"thread_": name})

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.handlers[0].close()
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert len(got) == 4_000
    for name in range(8):
        mine = [each["message"] for each in got if each["thread_"] == name]
        assert mine == [str(number) for number in range(500)]


def test_kafka_away_at_the_start_and_later(
    settings: Settings,
    logger: logging.Logger,
    new_kafka: Kafka,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "LONGEST_WAIT", 0.5)
    attach(logger, handler(on(settings, new_kafka)))
    logger.info("before Kafka")
    time.sleep(1)
    new_kafka.start()
    new_kafka.wait_ready()
    logger.info("after")
    flush(logger)
    new_kafka.pause()
    logger.info("while it is away")
    new_kafka.resume()
    flush(logger)
    got = arrived(new_kafka.bootstrap, settings.kafka_topic)
    assert [each["message"] for each in got] == ["before Kafka", "after", "while it is away"]


def delivery_of(logger: logging.Logger) -> Delivery:
    [found] = [each._delivery for each in logger.handlers if isinstance(each, KafkaLogHandler)]
    return found


def flush(logger: logging.Logger) -> None:
    until(lambda: not delivery_of(logger).waiting, 60, "Kafka has not everything")


def test_beyond_its_bound_it_drops_counts_and_tells_but_never_waits_long(
    settings: Settings,
    logger: logging.Logger,
    own_kafka: Kafka,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(delivery, "REPORT", 1.0)
    attach(logger, handler(on(settings, own_kafka), capacity=50))
    logger.info("first")
    flush(logger)
    own_kafka.pause()
    slowest, start = 0.0, time.monotonic()
    for number in range(1_000):
        before = time.monotonic()
        logger.info("%d", number)
        slowest = max(slowest, time.monotonic() - before)
    assert slowest < BLOCK + 2
    assert time.monotonic() - start < BLOCK + 10
    own_kafka.resume()
    flush(logger)
    until(lambda: _told(own_kafka, settings), 60, "it does not tell")
    logger.info("last")
    logger.handlers[0].close()
    got = arrived(own_kafka.bootstrap, settings.kafka_topic)
    texts = [each["message"] for each in got if each["level"] == "INFO"]
    assert texts == ["first", *map(str, range(50)), "last"]
    [told] = [each for each in got if each["level"] == "WARNING"]
    assert told["message"] == "dropped 950 records: 50 were waiting for Kafka"
    logger.info("too late")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "KafkaLogHandler: dropping records: 50 are waiting for Kafka",
        "KafkaLogHandler: records not delivered: 0, dropped: 950",
    ]


def _told(kafka: Kafka, settings: Settings) -> bool:
    got = arrived(kafka.bootstrap, settings.kafka_topic)
    return any(each["level"] == "WARNING" for each in got)


def test_records_of_kafka_python_are_not_sent_again(
    settings: Settings, logger: logging.Logger
) -> None:
    kafka = handler(settings)
    roots = [logging.getLogger("kafka"), logging.getLogger("logpipeline")]
    levels = [root.level for root in roots]
    for root in (logger, *roots):
        root.addHandler(kafka)
        root.setLevel(logging.DEBUG)
    try:
        logger.info("mine")
        kafka.close()
    finally:
        for root, level in zip(roots, levels, strict=True):
            root.removeHandler(kafka)
            root.setLevel(level)
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert [each["message"] for each in got] == ["mine"]


PROGRAM = """
import logging, multiprocessing, os, sys
from logpipeline import KafkaLogHandler

logging.basicConfig(level=logging.INFO, handlers=[KafkaLogHandler()])

def work(name):
    for number in range(100):
        logging.info("%s %d", name, number)

if __name__ == "__main__":
"""


def program(tmp_path: Path, body: str) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + "".join(f"    {line}\n" for line in body.splitlines()))
    return str(path)


def importing(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PYTHONPATH": str(ROOT)}


def test_a_programs_end_flushes(
    run_script: RunScript, environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    path = program(tmp_path, "for n in range(50): work(n)")
    run = run_script(path, env=importing(environment))
    assert run.wait(60) == 0, run
    assert run.output() == ""
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert [each["message"] for each in got] == [f"{n} {i}" for n in range(50) for i in range(100)]


def test_a_programs_end_does_not_wait_for_kafka_for_ever(
    run_script: RunScript, environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    env = importing(environment) | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    body = "from logpipeline.producer import delivery\ndelivery.EXIT = 1.0\nwork('a')"
    start = time.monotonic()
    run = run_script(program(tmp_path, body), env=env)
    assert run.wait(60) == 0, run
    assert time.monotonic() - start < 1 + JOIN + 10
    assert "KafkaLogHandler: records not delivered: 100, dropped: 0" in run.output()
    assert "Traceback" not in run.output()


FORKS = """\
work("parent before")
logging.getLogger().handlers[0].flush()
work("parent waiting")
child = os.fork()
if not child:
    work("fork")
    sys.exit()
started = multiprocessing.get_context("fork").Process(target=work, args=("process",))
started.start()
work("parent after")
os.waitpid(child, 0)
started.join()
sys.exit(started.exitcode)
"""


def test_forked_children_send_their_own_and_nothing_twice(
    run_script: RunScript, environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    run = run_script(program(tmp_path, FORKS), env=importing(environment))
    assert run.wait(60) == 0, run
    got = [
        each["message"] for each in arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    ]
    names = ("parent before", "parent waiting", "fork", "process", "parent after")
    for name in names:
        mine = [message for message in got if message.rpartition(" ")[0] == name]
        assert mine == [f"{name} {number}" for number in range(100)]
    assert len(got) == 500
    assert "Traceback" not in run.output()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"topic": "x"}, TypeError, "^KafkaLogHandler does not take topic; it takes level, "),
        ({"redis_url": "redis://a", "log_file": "a"}, TypeError, "take log_file, redis_url; it"),
        ({"kafka_group_id": "a"}, TypeError, "take kafka_group_id; it .* such as kafka_topic$"),
        ({"capacity": 0}, ValueError, "capacity must be from 1 to 50000, not 0"),
        ({"capacity": "100"}, TypeError, "capacity and block must be numbers, not '100' and 0.1"),
        ({"block": -1}, ValueError, "block must be from 0 to 3600 seconds, not -1"),
        ({"block": float("nan")}, ValueError, "block must be from 0 to 3600 seconds, not nan"),
        ({"service": 5}, TypeError, "service must be a string, not 5"),
        ({"service": "x" * 1_001}, ValueError, "service must have at most 1000 characters"),
        ({"kafka_topic": "a b"}, ValueError, "^KAFKA_TOPIC='a b': must be 1 to 249 of a-z, "),
        ({"kafka_partitions": "many"}, ValueError, "^KAFKA_PARTITIONS='many': must be a whole"),
        ({"kafka_ssl_cafile": "ca.pem"}, ValueError, "requires KAFKA_SECURITY_PROTOCOL=SSL or"),
        ({"kafka_sasl_password_file": "a/b"}, ValueError, "^KAFKA_SASL_PASSWORD_FILE='a/b' cannot"),
        ({"level": "LOUD"}, ValueError, "LOUD"),
    ],
)
def test_nonsense_is_refused_and_leaves_nothing_behind(
    options: dict[str, Any], error: type[Exception], said: str
) -> None:
    known = len(logging._handlerList)  # type: ignore[attr-defined]
    with pytest.raises(error, match=said) as refused:
        KafkaLogHandler(**options)
    assert len(logging._handlerList) == known, refused  # type: ignore[attr-defined]
    assert "\n" not in str(refused.value)


def test_a_wrong_setting_in_the_environment_ends_dict_config_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "nonsense")
    handlers = {"kafka": {"class": "logpipeline.KafkaLogHandler"}}
    with pytest.raises(ValueError, match="Unable to configure handler 'kafka'") as refused:
        logging.config.dictConfig({"version": 1, "handlers": handlers})
    assert str(refused.value.__cause__) == (
        "KAFKA_BOOTSTRAP_SERVERS='nonsense': must be host:port, or several with commas between"
    )
    shown = "".join(traceback.format_exception(refused.value))
    assert "pydantic" not in shown


def test_an_env_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes("KAFKA_TOPIC=é".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^\.env cannot be read: 'utf-8' codec"):
        KafkaLogHandler()


REFUSED = """
import logging
from logpipeline import KafkaLogHandler
try:
    KafkaLogHandler(capacity=0)
except ValueError as error:
    refused = error  # and with it the traceback, and with that the handler
"""


def test_a_program_whose_handler_was_refused_ends_in_silence(
    run_script: RunScript, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "refused.py").write_text(REFUSED)
    run = run_script(str(tmp_path / "refused.py"), env=importing(environment))
    assert run.wait(60) == 0, run
    assert run.output() == ""


def test_a_flush_in_vain_is_not_the_last_one(
    settings: Settings,
    logger: logging.Logger,
    own_kafka: Kafka,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(delivery, "EXIT", 0.5)
    attach(logger, handler(on(settings, own_kafka)))
    logger.info("first")
    flush(logger)
    own_kafka.pause()
    logger.info("second")
    logger.handlers[0].flush()
    assert delivery_of(logger).waiting == 1
    monkeypatch.setattr(delivery, "EXIT", 60)
    for number in range(2_000):
        logger.info("%d", number)
    back = threading.Timer(1, own_kafka.resume)
    back.start()
    logger.handlers[0].close()
    back.join()
    got = [each["message"] for each in arrived(own_kafka.bootstrap, settings.kafka_topic)]
    assert got == ["first", "second", *map(str, range(2_000))]
    assert capsys.readouterr().err == ""


def test_a_programs_end_waits_once_for_a_kafka_that_is_away(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """logging.shutdown flushes and closes; programs have closed it themselves before."""
    naps: list[float] = []
    sleep = time.sleep
    attach(logger, KafkaLogHandler(kafka_bootstrap_servers="127.0.0.1:1"))
    mine = logger.handlers[0]
    logger.info("never sent")
    monkeypatch.setattr(delivery, "EXIT", 0.2)
    mine.flush()
    here = threading.get_ident()

    def counted(seconds: float) -> None:
        if threading.get_ident() == here:
            naps.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", counted)
    for _ in range(3):
        mine.flush()
        mine.close()
    assert naps == []
    said = ["KafkaLogHandler: records not delivered: 1, dropped: 0"]
    assert capsys.readouterr().err.splitlines() == said


def test_a_flush_does_not_wait_for_what_comes_after_it(
    settings: Settings, logger: logging.Logger
) -> None:
    attach(logger, handler(settings, capacity=50_000))
    logger.info("first")
    flush(logger)
    done = threading.Event()

    def chatter() -> None:
        while not done.is_set():
            logger.info("on and on")

    threads = [threading.Thread(target=chatter) for _ in range(2)]
    for thread in threads:
        thread.start()
    flushed = threading.Thread(target=logger.handlers[0].flush)
    flushed.start()
    flushed.join(EXIT - 1)
    ended = not flushed.is_alive()
    done.set()
    for thread in [*threads, flushed]:
        thread.join()
    assert ended


def test_what_kafka_refuses_is_told_at_the_end(
    settings: Settings,
    logger: logging.Logger,
    kafka_admin: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tight = {"num_partitions": 1, "configs": {"max.message.bytes": "300"}}
    kafka_admin.create_topics({settings.kafka_topic: tight}, wait_for_metadata=True)
    attach(logger, handler(settings))
    logger.info("x")
    flush(logger)
    logger.info("%s", "".join(map(str, range(1_000))))
    flush(logger)
    logger.handlers[0].close()
    said = capsys.readouterr().err.splitlines()
    assert said == ["KafkaLogHandler: records not delivered: 1, dropped: 0"]


@pytest.mark.parametrize("name", ["send_all", "settle", "when_ready"])
def test_an_error_that_nobody_foresaw_is_said_once_and_loses_nothing(
    name: str,
    settings: Settings,
    logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As when a program has no descriptor left for a question to Kafka."""
    real, times = getattr(Outbox, name), iter(range(100))

    def failing(*args: Any) -> Any:
        if next(times) in {1, 2, 5}:
            raise OSError(24, "Too many open files")
        return real(*args)

    if name in {"send_all", "when_ready"}:  # which may be called once
        times = iter([1, 2, *[0] * 100])
    monkeypatch.setattr(Outbox, name, failing)
    attach(logger, handler(settings))
    for number in range(20):
        logger.info("%d", number)
    flush(logger)
    monkeypatch.undo()
    logger.handlers[0].close()
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert [each["message"] for each in got] == [str(number) for number in range(20)]
    said = ["KafkaLogHandler: retrying: OSError(24, 'Too many open files')"]
    assert capsys.readouterr().err.splitlines() == said


def test_a_thread_that_can_not_start_is_tried_again(
    settings: Settings,
    logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    attach(logger, handler(settings))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        logger.info("one")
        logger.info("two")
        logger.handlers[0].flush()
    logger.info("three")
    logger.handlers[0].close()
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert [each["message"] for each in got] == ["one", "two", "three"]
    said = ["""KafkaLogHandler: retrying: RuntimeError("can't start new thread")"""]
    assert capsys.readouterr().err.splitlines() == said


def test_what_the_deliverys_thread_logs_is_not_sent(
    settings: Settings, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever's logger it is: a warning of Python, or of a library that it uses."""
    real = Outbox.send_all

    def chatty(*args: Any) -> Any:
        logger.info("sending")
        return real(*args)

    monkeypatch.setattr(Outbox, "send_all", chatty)
    attach(logger, handler(settings))
    logger.info("mine")
    logger.handlers[0].close()
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert [each["message"] for each in got] == ["mine"]


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_nothing_is_said_when_there_is_no_stderr(
    stream: io.StringIO | None,
    logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(delivery, "EXIT", 0.1)
    attach(logger, KafkaLogHandler(kafka_bootstrap_servers="127.0.0.1:1", capacity=1, block=0))
    if stream:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in range(3):
        logger.info("x")
    logger.handlers[0].close()
    assert capsys.readouterr().out == ""


def test_it_can_be_closed_twice_and_takes_nothing_afterwards(
    settings: Settings, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    attach(logger, handler(settings))
    logger.info("mine")
    for _ in range(2):
        logger.handlers[0].close()
    threads = threading.active_count()
    for _ in range(2):
        logger.info("too late")
    logger.handlers[0].flush()
    assert threading.active_count() == threads
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert [each["message"] for each in got] == ["mine"]
    said = ["KafkaLogHandler: dropping records: the handler is closed"]
    assert capsys.readouterr().err.splitlines() == said


def test_a_handler_that_is_never_used_starts_nothing(settings: Settings) -> None:
    threads = threading.active_count()
    unused = handler(settings)
    unused.flush()
    assert threading.active_count() == threads
    unused.close()


SIGNALS = """\
import itertools, signal
numbers = itertools.count(1)
def on_signal(number, frame):
    logging.info("signal %d", next(numbers))  # another signal may come at any moment of this
signal.signal(signal.SIGALRM, on_signal)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0003)
for n in range(200): work(n)
signal.setitimer(signal.ITIMER_REAL, 0)
print(next(numbers) - 1)
"""


def test_a_signals_handler_that_logs_in_the_middle_of_logging(
    run_script: RunScript, environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    path = program(tmp_path, SIGNALS)
    Path(path).write_text(Path(path).read_text().replace("Handler()", "Handler(capacity=50_000)"))
    run = run_script(path, env=importing(environment))
    assert run.wait(120) == 0, run
    caught = int(run.output())
    assert caught > 100
    got = [
        each["message"] for each in arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    ]
    mine = {f"signal {number}" for number in range(1, caught + 1)}
    assert {text for text in got if text.startswith("signal")} == mine
    assert len(got) == 20_000 + caught
