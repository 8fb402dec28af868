"""Measure what one collector.py takes, beside its Kafka and a consumer, on this machine.

    .venv/bin/python -m bench.collector          12 seconds for each kind: two minutes
    .venv/bin/python -m bench.collector 5 otlp   5 seconds, and the kinds that begin with "otlp"

The batches have 500 events with a service, a trace and three more fields each. The clients keep
their connections, and send the next request when the last one was answered; for the latency one
every 2 ms. The CPU time is the collector's own.
"""

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple
from urllib.request import urlopen

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bench.stage import Stage
from bench.usage import cpu_seconds, peak_megabytes
from logpipeline.localstack.server import free_port

ROOT = Path(__file__).resolve().parent.parent
BATCH = 500  # events
CONNECTIONS, OF_BATCHES = 100, 8
SECONDS = 12.0
WARM_UP = 2.0  # seconds
PACE = 0.002  # seconds between requests whose latency is measured
TRACE = "0af7651916cd43dd8448eb211c80319c"
AT = 1_711_234_567_890_000_000  # nanoseconds
PARTITIONS = 4


class Kind(NamedTuple):
    """A request, how many events it has, and how many clients send it."""

    name: str
    request: bytes
    events: int
    connections: int
    pace: float = 0.0


class Outcome(NamedTuple):
    """What became of a kind: requests, seconds, the collector's CPU seconds, each latency."""

    requests: int
    seconds: float
    cpu: float
    times: list[float]


def kinds() -> Iterator[Kind]:
    one = {"level": "ERROR", "message": "Payment failed", "timestamp": 1711234567.89}
    single = _request("/events", "application/json", _json(one | {"service": "shop"}))
    yield Kind("single events", single, 1, CONNECTIONS)
    yield Kind("single events, 500 a second", single, 1, CONNECTIONS, PACE)
    bodies = {
        "otlp, protobuf": ("/v1/logs", "application/x-protobuf", _otlp().SerializeToString()),
        "otlp, JSON": ("/v1/logs", "application/json", _otlp_json()),
        "bulk, @timestamp": ("/app/_bulk", "application/x-ndjson", _bulk(_logger)),
        "bulk, ECS": ("/app/_bulk", "application/x-ndjson", _bulk(_ecs)),
        "bulk, events as they are": ("/app/_bulk", "application/x-ndjson", _bulk(_event)),
        "loki, JSON": ("/loki/api/v1/push", "application/json", _loki()),
    }
    for name, (path, kind, body) in bodies.items():
        yield Kind(name, _request(path, kind, body), BATCH, OF_BATCHES)


def _request(path: str, kind: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _more(number: int) -> dict[str, object]:
    return {"order": number, "user": f"u{number % 97}", "method": "GET"}


def _otlp() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    for name, text in {"service.name": "shop", "host.name": "h1"}.items():
        logs.resource.attributes.add(key=name).value.string_value = text
    scope = logs.scope_logs.add()
    scope.scope.name = "shop.pay"
    for number in range(BATCH):
        record = scope.log_records.add(
            time_unix_nano=AT + 1_000 * number,
            severity_number=17,
            severity_text="ERROR",
            trace_id=bytes.fromhex(TRACE),
            span_id=bytes(range(8)),
        )
        record.body.string_value = f"payment {number} failed after 3 attempts"
        for name, value in _more(number).items():
            made = record.attributes.add(key=name).value
            if isinstance(value, int):
                made.int_value = value
            else:
                made.string_value = str(value)
    return request


def _otlp_json() -> bytes:
    def pairs(fields: dict[str, object]) -> list[object]:
        return [
            {"key": name, "value": {"intValue" if isinstance(each, int) else "stringValue": each}}
            for name, each in fields.items()
        ]

    records = [
        {
            "timeUnixNano": str(AT + 1_000 * number),
            "severityNumber": 17,
            "severityText": "ERROR",
            "body": {"stringValue": f"payment {number} failed after 3 attempts"},
            "attributes": pairs(_more(number)),
            "traceId": TRACE,
            "spanId": "0001020304050607",
        }
        for number in range(BATCH)
    ]
    resource = {"attributes": pairs({"service.name": "shop", "host.name": "h1"})}
    scope = {"scope": {"name": "shop.pay"}, "logRecords": records}
    return _json({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]})


def _logger(number: int) -> dict[str, object]:
    stated = {"@timestamp": "2024-03-23T22:56:07.890Z", "level": "error"}
    text = f"payment {number} failed after 3 attempts"
    return stated | {"message": text, "service": "shop", "trace_id": TRACE} | _more(number)


def _ecs(number: int) -> dict[str, object]:
    nested = {"log": {"level": "error", "offset": number}, "service": {"name": "shop"}}
    text = f"payment {number} failed after 3 attempts"
    stated = {"@timestamp": "2024-03-23T22:56:07.890Z", "message": text, "trace": {"id": TRACE}}
    return stated | nested | {"host": {"name": "h1"}} | _more(number)


def _event(number: int) -> dict[str, object]:
    stated = {"level": "ERROR", "message": f"payment {number} failed after 3 attempts"}
    more = {"timestamp": 1711234567.89, "service": "shop", "trace_id": TRACE}
    return stated | more | _more(number)


def _bulk(document: object) -> bytes:
    assert callable(document)
    return b"".join(b'{"create":{}}\n%b\n' % _json(document(number)) for number in range(BATCH))


def _loki() -> bytes:
    values = [
        [str(AT + number), f"payment {number} failed", {"trace_id": TRACE}]
        for number in range(BATCH)
    ]
    return _json({"streams": [{"stream": {"app": "shop", "level": "error"}, "values": values}]})


class Clients:
    """Connections to one port, of which each has one request in hand."""

    def __init__(self, port: int, kind: Kind) -> None:
        self._kind = kind
        self._selector = selectors.DefaultSelector()
        self._idle: deque[socket.socket] = deque()
        self._began: dict[socket.socket, float] = {}
        for _ in range(kind.connections):
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(connection, selectors.EVENT_READ)
            self._idle.append(connection)

    def run(self, seconds: float) -> list[float]:
        """Send for so long. Returns how long each answer took. Raises OSError."""
        times: list[float] = []
        pace, due = self._kind.pace, time.perf_counter()
        end = due + seconds
        while (now := time.perf_counter()) < end:
            while self._idle and due <= now:
                # A late request is timed from when it was due.
                self._send(self._idle.popleft(), due if pace else now)
                due += pace
            wait = max(0.0, due - time.perf_counter()) if pace and self._idle else 0.1
            for key, _ in self._selector.select(wait):
                times.append(self._receive(key.fileobj))
        while self._began:
            for key, _ in self._selector.select(20):
                self._receive(key.fileobj)
        return times

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._selector.close()

    def _send(self, connection: socket.socket, since: float) -> None:
        self._began[connection] = since
        connection.sendall(self._kind.request)

    def _receive(self, connection: object) -> float:
        assert isinstance(connection, socket.socket)
        answer = connection.recv(2**20)
        status = answer[:12]
        if status not in {b"HTTP/1.1 200", b"HTTP/1.1 204"}:
            raise OSError(f"{self._kind.name}: {answer[:300]!r}")
        head, _, body = answer.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        while len(body) < size:
            body += connection.recv(2**20)
        self._idle.append(connection)
        return time.perf_counter() - self._began.pop(connection)


def measure(port: int, pid: int, kind: Kind, seconds: float) -> Outcome:
    """Raises OSError for another answer than success."""
    clients = Clients(port, kind)
    try:
        clients.run(WARM_UP)
        began, before = time.perf_counter(), cpu_seconds(pid)
        times = clients.run(seconds)
        return Outcome(
            len(times), time.perf_counter() - began, cpu_seconds(pid) - before, sorted(times)
        )
    finally:
        clients.close()


@contextmanager
def program(name: str, env: dict[str, str], folder: Path) -> Iterator[int]:
    """A running program's process id."""
    with (folder / f"{name}.output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, name], cwd=ROOT, env=env, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def wait_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def row(kind: Kind, found: Outcome) -> str:
    events = found.requests * kind.events
    percentiles = quantiles(found.times, n=100)
    return (
        f"| {kind.name} | {found.requests / found.seconds:,.0f} | {events / found.seconds:,.0f} "
        f"| {found.cpu / events * 1e6:,.1f} | {found.cpu / found.seconds:.0%} "
        f"| {percentiles[49] * 1e3:,.1f} / {percentiles[98] * 1e3:,.1f} ms |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument("kind", nargs="?", default="", help="the beginning of a kind's name")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stage = stack.enter_context(Stage(folder).running())
        port = free_port()
        env = stage.environment(stage.topic(PARTITIONS)) | {"COLLECTOR_PORT": str(port)}
        stack.enter_context(program("consumer.py", env, folder))
        pid = stack.enter_context(program("collector.py", env, folder))
        wait_ready(port)
        print(f"load before the run {os.getloadavg()[0]:.1f}\n", flush=True)
        print("| requests | requests/s | events/s | µs CPU an event | of a core | p50 / p99 |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
        for kind in kinds():
            if kind.name.startswith(options.kind):
                print(row(kind, measure(port, pid, kind, options.seconds)), flush=True)
        print(f"\npeak memory {peak_megabytes(pid):.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
