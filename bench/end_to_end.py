"""End to end: a file that producer.py ships and consumer.py archives at the same time."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from bench import senders
from bench.contender import LOOK, LOOK_AT_MEMORY, PATIENCE, ROOT, ContenderError, Result
from bench.stage import Stage
from bench.usage import cpu_seconds, peak_megabytes
from logpipeline.localstack.child import spawn


def measure(stage: Stage, count: int) -> Result:
    """From the first event in Kafka until all are in logs.txt and in Redis; CPU time and memory of
    both programs. The consumer joins first.

    Raises ContenderError, TimeoutError.
    """
    lines = senders.log_of(stage, "access log", count)
    topic = stage.topic(4)
    environment = stage.environment(topic)
    arrived, done = stage.arrived(topic), f"{environment['REDIS_KEY']}:offsets"
    with ExitStack() as cleanup:
        client = cleanup.enter_context(Redis.from_url(stage.redis.url))

        def started(*argv: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, *argv]
            process = spawn(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
            return process

        programs = [started("consumer.py")]
        stage.wait_for_group(environment["KAFKA_GROUP_ID"], 1)
        programs.append(started("producer.py", "--input", str(lines)))
        deadline = time.monotonic() + PATIENCE
        while not (first := arrived()):
            time.sleep(LOOK)
        began, busy = time.monotonic(), _cpu(programs)
        memory, due = 0.0, 0.0
        while sum(map(int, client.hvals(done))) < count:
            if time.monotonic() > due:
                memory = max(memory, sum(peak_megabytes(each.pid) for each in programs))
                due = time.monotonic() + LOOK_AT_MEMORY
            if time.monotonic() > deadline:
                raise ContenderError(f"{count} lines were not archived")
            time.sleep(LOOK)
        took, busy = time.monotonic() - began, _cpu(programs) - busy
    Path(environment["LOG_FILE"]).unlink()
    return Result((count - first) / took, busy / (count - first) * 1e6, memory)


def _cpu(programs: list[subprocess.Popen[bytes]]) -> float:
    return sum(cpu_seconds(each.pid) for each in programs)
