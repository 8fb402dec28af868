"""Rivals: consumer.py and other readers of a topic, from the tutorials' loop to rsyslog."""

import shutil
import sys
from pathlib import Path

from redis import Redis

from bench.contender import ROOT, Contender, Filled
from bench.stage import Stage

OURS, TUTORIAL, BARE = "consumer.py", "tutorial loop", "bare kafka-python polling"
CONFLUENT, KCAT, RSYSLOG = "bare confluent-kafka polling", "kcat to /dev/null", "rsyslog"
SHARE = 0.02  # of the events for the tutorial loop: it is slow

CONF = """\
global(workDirectory="{folder}")
module(load="imkafka")
module(load="omhiredis")
template(name="line" type="string" string="%rawmsg%\\n")
template(name="raw" type="string" string="%rawmsg%")
ruleset(name="logs" queue.type="FixedArray" queue.size="100000" queue.dequeueBatchSize="4096") {{
  action(type="omfile" file="{log}" template="line" ioBufferSize="256k")
  action(type="omhiredis" server="127.0.0.1" serverport="{redis}" mode="publish" key="rsyslog"
         template="raw")
}}
input(type="imkafka" topic="{topic}" broker="{kafka}" consumergroup="{group}" ruleset="logs"
      confParam=["auto.offset.reset=earliest"])
"""


def all_here(stage: Stage, filled: Filled) -> list[Contender]:
    """All contenders, each with its own group, file and keys; rsyslog and kcat if installed."""
    found = [consumer(stage, filled), *loops(stage, filled)]
    if shutil.which("kcat"):
        found.append(kcat(stage, filled.topic))
    if has_rsyslog("imkafka", "omhiredis"):
        found.append(rsyslog(stage, filled.topic))
    return found


def consumer(stage: Stage, filled: Filled) -> Contender:
    """consumer.py with defaults, until the last event is in logs.txt and in Redis."""
    environment = stage.environment(filled.topic)
    command = [sys.executable, str(ROOT / "consumer.py")]
    log, key = Path(environment["LOG_FILE"]), f"{environment['REDIS_KEY']}:offsets"

    def finished() -> bool:
        with Redis.from_url(stage.redis.url) as client:
            return sum(map(int, client.hvals(key))) == filled.count

    return Contender(OURS, command, environment, log, finished)


def loops(stage: Stage, filled: Filled) -> list[Contender]:
    """The scripts in bench/loops."""
    python, topic, servers = [sys.executable, "-m"], filled.topic, stage.kafka.bootstrap
    bare = [topic, servers, str(filled.count)]
    log = stage.folder / f"{stage.new_name()}.txt"
    tutorial = [topic, servers, str(stage.redis.port), str(log)]
    return [
        Contender(TUTORIAL, [*python, "bench.loops.tutorial", *tutorial], log=log, share=SHARE),
        Contender(BARE, [*python, "bench.loops.bare", *bare], prints=True),
        Contender(CONFLUENT, [*python, "bench.loops.confluent", *bare], prints=True),
    ]


def kcat(stage: Stage, topic: str) -> Contender:
    """The floor: librdkafka in C, with checksums, which discards the events."""
    command = ["kcat", "-C", "-b", stage.kafka.bootstrap, "-t", topic, "-o", "beginning"]
    return Contender(KCAT, [*command, "-e", "-q", "-X", "check.crcs=true"])


def has_rsyslog(*wanted: str) -> bool:
    """Whether it is installed with these modules."""
    modules = {path.stem for path in Path("/usr/lib").glob("*/rsyslog/*.so")}
    return bool(shutil.which("rsyslogd")) and {*wanted} <= modules


def rsyslog(stage: Stage, topic: str) -> Contender:
    """rsyslog to a file and to Redis, without fsync, with larger batches than its defaults."""
    name = stage.new_name()
    log, conf = stage.folder / f"{name}.txt", stage.folder / f"{name}.conf"
    text = CONF.format(
        folder=stage.folder,
        log=log,
        redis=stage.redis.port,
        topic=topic,
        kafka=stage.kafka.bootstrap,
        group=name,
    )
    conf.write_text(text)
    command = ["rsyslogd", "-n", "-f", str(conf), "-i", str(conf.with_suffix(".pid"))]
    return Contender(RSYSLOG, command, log=log)
