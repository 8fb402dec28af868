"""Measure the cost of reading log lines: shipping a file against sending ready-made events.

    .venv/bin/python -m bench.lines            a million lines, three rounds: about four minutes
    .venv/bin/python -m bench.lines 200000 1

Each round sends, in its own process, events that were converted beforehand, and then ships the file
as `producer.py --input` does. It prints the ratio of their rates, which should be 0.5 or more. It
needs `make install`; it starts its own Kafka on a free port.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from bench.usage import cpu_seconds
from config import Settings
from logpipeline.events.lines import Lines
from logpipeline.kafka.encoding import Pair
from logpipeline.kafka.outbox import Outbox
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import free_port
from logpipeline.producer.input import Input
from logpipeline.producer.input_process import InputProcess
from logpipeline.producer.source import Source
from logpipeline.shutdown import Shutdown

TOGETHER = 2_000  # ready-made events
START = datetime(2015, 10, 18, 18, 1, 47, tzinfo=UTC)
KINDS = (
    "{0:%y%m%d %H%M%S} 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_{1}",
    "{0:%Y-%m-%d %H:%M:%S},978 WARN [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: {1}",
    "{0:%y/%m/%d %H:%M:%S} INFO executor.CoarseGrainedExecutorBackend: Got assigned task {1}",
    "{0:%Y-%m-%d %H:%M:%S},536 - INFO  [main:QuorumPeerConfig@101] - Reading configuration {1}",
    "{0:%Y-%m-%d %H:%M:%S}, Info                  CBS    Loaded Servicing Stack v6.1.{1}",
    "{0:%b %d %H:%M:%S} combo sshd(pam_unix)[{1}]: authentication failure; logname= uid=0 euid=0",
    "{0:%m-%d %H:%M:%S}.811  1702  2395 D WindowManager: printFreezingDisplayLogs{1}",
    "{0:%Y%m%d-%H:%M:%S}:606|Step_LSC|30002312|onStandStepChanged {1}",
    "[{0:%a %b %d %H:%M:%S %Y}] [error] mod_jk child workerEnv in error state {1}",
    "[{0:%m.%d %H:%M:%S}] chrome.exe - proxy.cse.cuhk.edu.hk:5070 open through proxy {1} HTTPS",
    "nova.log.1 {0:%Y-%m-%d %H:%M:%S}.008 25746 INFO nova.osapi_compute [req-{1}] status: 200",
    '10.1.2.3 - - [{0:%d/%b/%Y:%H:%M:%S} +0000] "GET /cart/{1} HTTP/1.1" 502 1893 "-" "curl/8"',
    '{{"level":30,"time":{2}890,"pid":657,"hostname":"web-1","req":{{"id":{1}}},"msg":"done"}}',
    '{{"level":"INFO","message":"order {1} placed","timestamp":{2}.25,"service":"shop"}}',
    "    at com.example.shop.Order.place(Order.java:{1})",
)


def lines(count: int) -> Iterator[str]:
    """Lines of all kinds in turn, forty for each second of the log's time."""
    for number in range(count):
        now = START + timedelta(seconds=number // 40)
        yield KINDS[number % len(KINDS)].format(now, number, int(now.timestamp()))


def ready(log: Path) -> list[Pair]:
    """The events of the file, all converted before the first one is sent."""
    made = Lines(log.stem)
    with log.open("rb") as file:
        return [(b"key", made.event(line[:-1], len(line) - 1) or b"") for line in file]


def batches(kind: str, log: Path, source: Source, outbox: Outbox) -> Iterator[Sequence[Pair]]:
    if kind == "ready":
        pairs = ready(log)
        return (pairs[at : at + TOGETHER] for at in range(0, len(pairs), TOGETHER))
    return (batch.pairs for batch in source.bursts(outbox))


def send(kind: str, log: Path, settings: Settings) -> tuple[float, float]:
    """Seconds, and CPU seconds, from the first event to Kafka's last acknowledgement."""
    stop = Shutdown()
    with closing(InputProcess(Input([str(log)], None), stop, None)) as source:
        outbox = Outbox.when_ready(settings, stop)
        assert outbox
        given = batches(kind, log, source, outbox)
        start, cpu = time.monotonic(), cpu_seconds(os.getpid())
        with closing(outbox):
            for pairs in given:
                outbox.send_all(pairs)
        return time.monotonic() - start, cpu_seconds(os.getpid()) - cpu


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.lines")
    parser.add_argument("count", nargs="?", type=int, default=1_000_000)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--send", nargs=3, metavar=("KIND", "FILE", "SERVERS"))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.send:
        kind, log, servers = options.send
        settings = Settings(kafka_bootstrap_servers=servers, kafka_topic=f"bench-{kind}")
        print(*send(kind, Path(log), settings))
        return
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "shop.log"
        log.write_text("".join(f"{line}\n" for line in lines(options.count)))
        broker = Kafka(Path(folder) / "kafka", free_port())
        broker.start()
        try:
            broker.wait_ready()
            compare(log, broker.bootstrap, options.count, options.rounds)
        finally:
            broker.stop()


def compare(log: Path, servers: str, count: int, rounds: int) -> None:
    ratios = []
    for number in range(1, rounds + 1):
        seconds, cpu = {}, {}
        for kind in ("ready", "shipped"):
            command = [sys.executable, "-m", "bench.lines", "--send", kind, str(log), servers]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[kind], cpu[kind] = map(float, done.stdout.split())
        ratios.append(seconds["ready"] / seconds["shipped"])
        print(
            f"round {number}: ready-made {count / seconds['ready']:7,.0f} lines/s, "
            f"shipped {count / seconds['shipped']:7,.0f} lines/s, ratio {ratios[-1]:.2f}; "
            f"CPU {cpu['ready'] / count * 1e6:.1f} and {cpu['shipped'] / count * 1e6:.1f} µs a line"
        )
    print(f"ratio, median of {rounds}: {median(ratios):.2f}")


if __name__ == "__main__":
    main()
