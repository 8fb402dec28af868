"""The stack without Docker: its servers, its supervisor, and what shows the newest events."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from config import Settings
from logpipeline.events.shown import shown
from logpipeline.localstack import jars, server
from logpipeline.localstack.child import spawn
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import Server, ServerError, free_port
from logpipeline.terminal import printable
from tests.support.forked import Forked, completed_text
from tests.support.process import ROOT, Process
from tests.support.waiting import until

Start = Callable[[], Process]
Completed = subprocess.CompletedProcess[str]


def running_in(folder: Path) -> list[int]:
    """The processes whose working folder is `folder` or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.fixture
def stack_environment(tmp_path: Path) -> dict[str, str]:
    """What `python -m logpipeline.localstack` needs to run in `tmp_path`, on ports of its own."""
    return {
        **{k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields},
        "PYTHONPATH": str(ROOT),
        "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{free_port()}",
        "REDIS_URL": f"redis://localhost:{free_port()}/0",
        "METRICS_PORT": "0",
        "ALERTS_METRICS_PORT": "0",
        "ALERTS_FILE": str(ROOT / "alerts.toml"),
        "DASHBOARD_PORT": str(free_port()),
        "COLLECTOR_PORT": str(free_port()),
    }


@pytest.fixture
def start(tmp_path: Path, stack_environment: dict[str, str]) -> Iterator[Start]:
    """Start `python -m logpipeline.localstack`."""
    processes: list[Process] = []

    def run() -> Process:
        log_file = tmp_path / f"local-{len(processes)}.output"
        few = ["--rate", "1"]
        processes.append(Forked("logpipeline.localstack", few, log_file, stack_environment))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()


@pytest.fixture
def refused(tmp_path: Path, stack_environment: dict[str, str]) -> Callable[..., Completed]:
    """How it ends when it cannot start, with more variables: `refused(METRICS_PORT="9")`."""

    def run(**variables: str) -> Completed:
        return completed_text("logpipeline.localstack", [], tmp_path, stack_environment | variables)

    return run


@pytest.fixture
def formatted_here(tmp_path: Path, formatted: Path) -> None:
    """Spare a stack of the test the formatting of Kafka's storage."""
    shutil.copytree(formatted, tmp_path / ".local/kafka/data")


def test_kafka_keeps_its_data_over_a_stop_and_a_crash(own_kafka: Kafka) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=own_kafka.bootstrap)) as admin:
        admin.create_topics([NewTopic("kept", 1, 1)])

    def offset() -> int:
        with closing(KafkaProducer(bootstrap_servers=own_kafka.bootstrap)) as producer:
            return int(producer.send("kept", b"event").get(timeout=20).offset)

    assert offset() == 0
    for number, end in enumerate((own_kafka.stop, own_kafka.kill), 1):
        end()
        own_kafka.start()
        own_kafka.wait_ready()
        assert offset() == number


def test_redis_keeps_its_data_over_a_stop_and_a_crash(own_redis: Redis) -> None:
    for end in (own_redis.stop, own_redis.kill):
        with redis.Redis.from_url(own_redis.url) as client:
            client.rpush("kept", "event")
        end()
        own_redis.start()
        own_redis.wait_ready()
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.llen("kept") == 2


def test_a_paused_server_does_not_answer_and_can_be_stopped(own_redis: Redis) -> None:
    own_redis.pause()
    assert own_redis.status() is None
    assert not own_redis.ready()
    own_redis.resume()
    assert own_redis.ready()
    own_redis.pause()
    own_redis.stop()
    assert running_in(own_redis.folder) == []


@pytest.mark.server
def test_a_server_that_ends_at_once_reports_the_reason(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server: Server = Redis(tmp_path / "redis", taken.getsockname()[1])
        server.start()
        with pytest.raises(ServerError, match=r"redis ended with status 1: .+"):
            server.wait_ready()


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = free_port()
    monkeypatch.setattr(server, "PORTS", (begin, begin + 10))
    assert len({free_port() for _ in range(5)} - {begin}) == 5
    monkeypatch.setattr(server, "_given", deque(maxlen=1))
    assert begin not in [free_port(besides=begin) for _ in range(50)]


def test_jars_are_downloaded_once_and_again_when_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = tmp_path / "some.jar"
    fetched = []

    def fetch(folder: Path) -> list[str]:
        fetched.append(folder)
        jar.touch()
        return [str(jar)]

    monkeypatch.setattr(jars, "_fetch", fetch)
    assert jars.classpath(tmp_path) == jars.classpath(tmp_path) == str(jar)
    assert len(fetched) == 1
    jar.unlink()
    jars.classpath(tmp_path)
    assert len(fetched) == 2


def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = "from logpipeline.localstack.child import spawn; import time\n"
    code += "spawn(['sleep', '60']); time.sleep(60)"
    parent = spawn([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    until(lambda: len(running_in(tmp_path)) == 2, message="no child")
    until(lambda: b"sleep" in cmdlines(tmp_path), message="the launcher did not become sleep")
    parent.kill()
    parent.wait()
    until(lambda: not running_in(tmp_path), 3, "the child is still there")


def cmdlines(folder: Path) -> list[bytes]:
    """The first word of each process in the folder."""
    words = []
    for pid in running_in(folder):
        words.append(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])
    return words


@pytest.mark.server
def test_the_stack_restarts_what_dies_and_ctrl_c_leaves_nothing(
    start: Start, refused: Callable[..., Completed], tmp_path: Path
) -> None:
    first = start()
    first.wait_for("Ctrl-C", 90)
    first.wait_for("watching logs: error-share")
    second = refused()
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"local: make up is already running in {tmp_path / '.local'}\n"
    first.wait_for("the page is at", 60)
    identity = tmp_path / ".local/kafka/data/meta.properties"
    before = identity.read_text()

    for pid in running_in(tmp_path / ".local/redis"):
        os.kill(pid, signal.SIGKILL)
    first.wait_for("redis ended with SIGKILL, restarting it in 1 s")
    until(lambda: running_in(tmp_path / ".local/redis"), message="Redis was not started again")

    began = time.monotonic()
    first.signal(signal.SIGINT)
    assert first.wait() == 0
    assert time.monotonic() - began < 10
    assert running_in(tmp_path) == []
    assert first.output().endswith("stopped\n")

    again = start()
    again.wait_for("Ctrl-C", 60)
    assert identity.read_text() == before
    again.terminate()
    assert again.wait() == 0
    assert running_in(tmp_path) == []


# A signal while a child has been started, but nobody knows of it yet; then what is left of it.
SIGNALLED = """\
import os, signal
from pathlib import Path
from logpipeline.localstack import child
from logpipeline.localstack.settings import StackSettings
from logpipeline.localstack.stack import Stack

spawn = child.spawn
def signalled(command, **popen):
    process = spawn(command, **popen)
    os.kill(os.getpid(), signal.SIGTERM)
    return process

child.spawn = signalled
Stack(StackSettings(), Path(".local"), "1").run()
os.waitpid(-1, os.WNOHANG)
"""


@pytest.mark.server
@pytest.mark.usefixtures("formatted_here")
def test_a_signal_at_the_start_of_a_child_leaves_nothing(
    stack_environment: dict[str, str], tmp_path: Path
) -> None:
    done = completed_text("-c", [SIGNALLED], tmp_path, stack_environment)
    assert done.stdout.splitlines() == ["local     | stopping", "local     | stopped"]
    assert done.stderr.splitlines()[-1] == "ChildProcessError: [Errno 10] No child processes"


# A signal while a script has been started, but nothing reads its output yet.
SIGNALLED_EARLY = """\
import os, signal, threading
from pathlib import Path
from logpipeline.localstack.settings import StackSettings
from logpipeline.localstack.stack import Stack

class Reader(threading.Thread):
    def start(self):
        os.kill(os.getpid(), signal.SIGTERM)
        super().start()

threading.Thread = Reader
Stack._start = lambda stack: stack._begin(stack._producer)
Stack(StackSettings(), Path(".local"), "1").run()
"""


def test_a_signal_before_a_scripts_output_is_read_ends_the_stack_cleanly(
    stack_environment: dict[str, str], tmp_path: Path
) -> None:
    done = completed_text("-c", [SIGNALLED_EARLY], tmp_path, stack_environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "local     | stopping"
    assert done.stdout.splitlines()[-1] == "local     | stopped"
    assert running_in(tmp_path) == []


@pytest.mark.server
@pytest.mark.usefixtures("formatted_here")
def test_nothing_outlives_a_killed_stack(start: Start, tmp_path: Path) -> None:
    stack = start()
    stack.wait_for("Ctrl-C", 90)
    os.kill(stack.pid, signal.SIGKILL)
    stack.wait()
    until(lambda: not running_in(tmp_path), 3, "something is still there")


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:{}", "KAFKA_BOOTSTRAP_SERVERS=localhost:<other>"),
        ("REDIS_URL", "redis://127.0.0.1:{}", "REDIS_URL=redis://localhost:<other>/0"),
        ("METRICS_PORT", "{}", "METRICS_PORT=<other>"),
        ("DASHBOARD_PORT", "{}", "DASHBOARD_PORT=<other>"),
    ],
)
def test_a_used_port_is_named_with_its_setting_before_anything_starts(
    refused: Callable[..., Completed], tmp_path: Path, name: str, value: str, advice: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stack = refused(**{name: value.format(port)})
    assert stack.returncode == 1
    assert stack.stdout == ""
    assert stack.stderr == f"local: port {port} is in use: set {advice}\n"
    assert not (tmp_path / ".local/kafka").exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092", "must be one broker on localhost"),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            "localhost:9092,localhost:9093",
            "must be one broker on localhost",
        ),
        ("REDIS_URL", "redis://redis.example/0", "must be redis:// on localhost"),
        ("REDIS_URL", "redis://:secret@localhost/0", "must be empty for make up"),
        ("REDIS_PASSWORD", "secret", "must be empty for make up"),
        ("KAFKA_SECURITY_PROTOCOL", "SSL", "must be PLAINTEXT for make up"),
        ("KAFKA_PARTITIONS", "none", "KAFKA_PARTITIONS='none'"),
        ("REDACT", "emial", "REDACT='emial': must be some of"),
    ],
)
def test_a_setting_that_the_local_stack_cannot_serve_is_one_line(
    refused: Callable[..., Completed], name: str, value: str, words: str
) -> None:
    stack = refused(**{name: value})
    assert stack.returncode in (1, 2)
    assert stack.stdout == ""
    assert words in stack.stderr
    assert stack.stderr.count("\n") == 1
    assert "secret" not in stack.stderr


def show(environment: dict[str, str], *arguments: str) -> Completed:
    folder = Path(environment["LOG_FILE"]).parent
    return completed_text("logpipeline.recent", [*arguments], folder, environment | {"TZ": "UTC"})


def event(level: str, message: str, **fields: object) -> str:
    return json.dumps({"level": level, "message": message, "timestamp": 1711234567.89, **fields})


def test_show_prints_the_newest_last(settings: Settings, environment: dict[str, str]) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.lpush(settings.redis_key, event("info", "one"), event("Warn", "two", service="auth"))
        client.lpush(f"{settings.redis_key}:ERROR", event("ERROR", "three", code=7))
    stamp = "2024-03-23 22:56:07.890Z"
    everything = show(environment)
    assert everything.stderr == ""
    assert everything.stdout == f"{stamp} INFO     one\n{stamp} WARNING  auth two\n"
    assert show(environment, "--count", "1").stdout == f"{stamp} WARNING  auth two\n"
    for name in ("ERROR", "error", "err"):
        assert show(environment, "--level", name).stdout == f"{stamp} ERROR    three code=7\n"


def test_show_says_in_one_line_what_is_wrong(environment: dict[str, str]) -> None:
    empty = show(environment)
    assert (empty.returncode, empty.stdout) == (0, "")
    assert empty.stderr == f"no events in {environment['REDIS_KEY']} yet\n"

    away = show(environment | {"REDIS_URL": f"redis://:secret@localhost:{free_port()}/0"})
    assert (away.returncode, away.stderr.count("\n")) == (1, 1)
    assert "cannot be used" in away.stderr
    assert "secret" not in away.stderr

    for arguments in (["--level", "LOUD"], ["--count", "0"]):
        wrong = show(environment, *arguments)
        assert wrong.returncode == 2
        assert arguments[1] in wrong.stderr
        assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize(
    "nasty", ["\x1b]0;title\x07", "\x1b[2J", "a\r\nb", "\x9b31m", "\u202egnp.exe", "\ud800", "\0"]
)
def test_nothing_that_a_terminal_obeys_is_shown(nasty: str) -> None:
    for line in (
        event("INFO", nasty, service=nasty, **{nasty: nasty}),
        event("INFO", "ok", nested={"deep": [nasty]}),
        f"no event: {nasty}",
    ):
        text = shown(line.encode(errors="surrogatepass"), in_colour=False)
        assert text.isprintable(), ascii(text)
    assert printable("Grüße, 世界 🎉") == "Grüße, 世界 🎉"


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff", b"[]", b"{}", b'{"level":1,"message":2,"timestamp":"x"}']
    + [event("INFO", "m").replace("1711234567.89", t).encode() for t in ("1e999", "-1e18", "NaN")],
)
def test_what_is_no_event_is_shown_as_it_is(line: bytes) -> None:
    assert shown(line, in_colour=True) == printable(line.decode(errors="replace"))


def test_colour_is_for_terminals_that_want_it() -> None:
    line = event("ERROR", "boom", service="payments").encode()
    assert "\x1b[31mERROR   \x1b[0m" in shown(line, in_colour=True)
    assert "\x1b" not in shown(line, in_colour=False)
