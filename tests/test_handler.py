"""KafkaLogHandler in Python programs, on real Kafka."""

import json
import logging
import logging.config
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from local.kafka import Kafka
from pipeline import event
from pipeline.handler import BLOCK, EXIT, JOIN, KafkaLogHandler
from pipeline.lines import MOST
from tests.conftest import RunScript
from tests.process import ROOT
from tests.topics import records
from tests.waiting import until


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
        kafka_dead_letter_topic=settings.kafka_dead_letter_topic,
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
        "class": "pipeline.handler.KafkaLogHandler",
        "level": "INFO",
        "service": "shop",
        "kafka_topic": settings.kafka_topic,
        "kafka_dead_letter_topic": settings.kafka_dead_letter_topic,
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


class Nasty:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_whatever_is_logged_is_an_event_and_raises_nothing(
    settings: Settings, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    attach(logger, handler(settings))
    circular: list[Any] = []
    circular.append(circular)
    logger.info("%d", "no number")
    logger.info("half \ud800")
    logger.info("circular", extra={"it": circular, "fine": 1})
    logger.info("objects", extra={"path": Path("/tmp"), "big": 2**70, "nan": float("nan")})  # noqa: S108
    logger.info("x" * 3 * MOST, extra={"big": "y" * MOST})
    logger.log(25, "between")
    logger.log(1, "below", exc_info=(None, None, None))
    logger.info("nasty", extra={"it": Nasty()})
    logger.handlers[0].close()
    got = arrived(settings.kafka_bootstrap_servers, settings.kafka_topic)
    found = {each["message"][:12]: each for each in got}
    assert set(found) == {
        *("%d ('no numb", "half \ufffd", "circular", "objects", "x" * 12, "between"),
    }
    assert found["circular"]["fine"] == 1
    assert found["objects"]["path"] == "/tmp"  # noqa: S108
    assert found["between"]["level"] == "INFO"
    assert f"[cut: the line has {3 * MOST:,} bytes]" in found["x" * 12]["message"]
    assert "RuntimeError: no text" in capsys.readouterr().err


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
    settings: Settings, logger: logging.Logger, own_kafka: Kafka
) -> None:
    mine = on(settings, own_kafka)
    own_kafka.kill()
    attach(logger, handler(mine))
    logger.info("before Kafka")
    time.sleep(1)
    own_kafka.start()
    own_kafka.wait_ready()
    logger.info("after")
    flush(logger)
    own_kafka.pause()
    logger.info("while it is away")
    own_kafka.resume()
    flush(logger)
    got = arrived(own_kafka.bootstrap, settings.kafka_topic)
    assert [each["message"] for each in got] == ["before Kafka", "after", "while it is away"]


def flush(logger: logging.Logger) -> None:
    [delivery] = [each._delivery for each in logger.handlers if isinstance(each, KafkaLogHandler)]
    until(lambda: delivery._settled == delivery._accepted, 60, "Kafka has not everything")


def test_beyond_its_bound_it_drops_counts_and_tells_but_never_waits_long(
    settings: Settings,
    logger: logging.Logger,
    own_kafka: Kafka,
    capsys: pytest.CaptureFixture[str],
) -> None:
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
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "KafkaLogHandler: dropping records: 50 are waiting for Kafka",
        "KafkaLogHandler: 0 records were not delivered, 950 were dropped",
    ]


def _told(kafka: Kafka, settings: Settings) -> bool:
    got = arrived(kafka.bootstrap, settings.kafka_topic)
    return any(each["level"] == "WARNING" for each in got)


def test_records_of_kafka_python_are_not_sent_again(
    settings: Settings, logger: logging.Logger
) -> None:
    kafka = handler(settings)
    roots = [logging.getLogger("kafka"), logging.getLogger("pipeline")]
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
from pipeline.handler import KafkaLogHandler

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
    start = time.monotonic()
    run = run_script(program(tmp_path, "work('a')"), env=env)
    assert run.wait(60) == 0, run
    assert time.monotonic() - start < EXIT + JOIN + 10
    assert "KafkaLogHandler: 100 records were not delivered, 0 were dropped" in run.output()
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
        ({"topic": "x"}, TypeError, "topic: allowed are the names of settings"),
        ({"capacity": 0}, ValueError, "capacity=0: allowed is 1 to 50000"),
        ({"kafka_topic": "a b"}, ValueError, "kafka_topic"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        KafkaLogHandler(**options)
