"""Senders: producer.py and other programs that fill a topic, from events or from a file's lines."""

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path

from bench.contender import ROOT, Contender
from bench.rivals import has_rsyslog
from bench.stage import Stage, events

TOGETHER, OUTBOX = "producer.py's outbox, 500 together", "producer.py's outbox"
PRODUCE, KCAT = "confluent-kafka's produce", "kcat -P -l"
LIBRARY, BARE = "KafkaProducer.send, as reliable", "bare KafkaProducer.send"
SIMULATED = "producer.py --rate 0"
SHIPPED, RSYSLOG = "producer.py --input", "rsyslog, imfile to omkafka"
SLOW = 0.2  # of the events for those who need their time
LOOPS = {
    TOGETHER: ("together", 1.0),
    OUTBOX: ("outbox", SLOW),
    PRODUCE: ("produce", 1.0),
    LIBRARY: ("library", SLOW),
    BARE: ("send", SLOW),
}
STARTS = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {
    "access log": '203.0.113.{2} - - [{0:%d/%b/%Y:%H:%M:%S} +0000] "GET /product/{1} HTTP/1.1" 200 '
    '{1} "https://shop.example/cart" "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"',
    "pino": '{{"level":30,"time":{3}{4:03},"pid":657,"hostname":"web-{2}","req":{{"id":{1},'
    '"method":"GET","url":"/product/{1}"}},"responseTime":{2},"msg":"request completed"}}',
    "own JSON": '{{"level":"INFO","message":"order {1} placed by user {2}","timestamp":{3}.{4:03},'
    '"service":"shop","host":"shop-{2}","duration_ms":{2}.5}}',
}

CONF = """\
global(workDirectory="{folder}")
module(load="imfile")
module(load="omkafka")
template(name="raw" type="string" string="%msg%")
ruleset(name="ship" queue.type="FixedArray" queue.size="100000" queue.dequeueBatchSize="4096") {{
  action(type="omkafka" broker="{kafka}" topic="{topic}" template="raw"
         confParam=["compression.codec=lz4", "acks=all", "linger.ms=5",
                    "queue.buffering.max.messages=200000"])
}}
input(type="imfile" file="{lines}" tag="bench" ruleset="ship" readTimeout="0")
"""


def of_events(stage: Stage, count: int) -> list[Contender]:
    """Those that send events made beforehand, and the simulator, each with its own topic."""
    found = [loop(stage, name, count) for name in LOOPS]
    if shutil.which("kcat"):
        found.insert(3, kcat(stage, ready(stage, count), "-K", "\t"))
    argv = ["--rate", "0", "--count", str(count), "--seed", "1"]
    return [*found, producer(stage, SIMULATED, *argv)]


def of_lines(stage: Stage, lines: Path) -> list[Contender]:
    """Those that send each line of a file."""
    found = [producer(stage, SHIPPED, "--input", str(lines))]
    if shutil.which("kcat"):
        found.append(kcat(stage, lines))
    if has_rsyslog("imfile", "omkafka"):
        found.append(rsyslog(stage, lines))
    return found


def loop(stage: Stage, name: str, count: int) -> Contender:
    """One of the scripts in bench/loops."""
    script, share = LOOPS[name]
    argv = [stage.topic(4), stage.kafka.bootstrap, str(int(count * share))]
    command = [sys.executable, "-m", f"bench.loops.{script}", *argv]
    return Contender(name, command, prints=True, share=share)


def producer(stage: Stage, name: str, *argv: str) -> Contender:
    """producer.py with defaults."""
    topic = stage.topic(4)
    command = [sys.executable, str(ROOT / "producer.py"), *argv]
    return Contender(name, command, stage.environment(topic), arrived=stage.arrived(topic))


def kcat(stage: Stage, lines: Path, *options: str) -> Contender:
    """librdkafka in C, as reliable as producer.py."""
    topic = stage.topic(4)
    settings = ("compression.codec=lz4", "acks=all", "enable.idempotence=true", "linger.ms=5")
    command = ["kcat", "-P", "-b", stage.kafka.bootstrap, "-t", topic, *options]
    command += [part for setting in settings for part in ("-X", setting)]
    return Contender(KCAT, [*command, "-l", str(lines)], arrived=stage.arrived(topic))


def rsyslog(stage: Stage, lines: Path) -> Contender:
    """rsyslog, which remembers its position in the file."""
    topic, conf = stage.topic(4), stage.folder / f"{stage.new_name()}.conf"
    folder = stage.folder / stage.new_name()
    folder.mkdir()
    conf.write_text(
        CONF.format(folder=folder, kafka=stage.kafka.bootstrap, topic=topic, lines=lines)
    )
    command = ["rsyslogd", "-n", "-f", str(conf), "-i", str(conf.with_suffix(".pid"))]
    return Contender(RSYSLOG, command, arrived=stage.arrived(topic))


def ready(stage: Stage, count: int) -> Path:
    """A file with the events, each on a line after its key and a tab."""
    path = stage.folder / f"ready-{count}.tsv"
    if not path.exists():
        with path.open("wb") as file:
            file.writelines(b"%b\t%b\n" % pair for pair in islice(cycle(events()), count))
    return path


def log_of(stage: Stage, kind: str, count: int) -> Path:
    """A file with that many lines of one of KINDS."""
    path = stage.folder / f"{kind.replace(' ', '-')}-{count}.log"
    if not path.exists():
        with path.open("w") as file:
            file.writelines(f"{line}\n" for line in _lines(KINDS[kind], count))
    return path


def _lines(kind: str, count: int) -> Iterator[str]:
    """A thousand for each second of the log's time."""
    for number in range(count):
        now = STARTS + timedelta(milliseconds=number)
        yield kind.format(now, number, number % 250, int(now.timestamp()), number % 1_000)
