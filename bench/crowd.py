"""Crowd: several consumers that share one group and one logs.txt."""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.contender import LOOK, PATIENCE, ROOT, ContenderError, Result, size
from bench.stage import Stage
from bench.usage import cpu_seconds, peak_megabytes
from logpipeline.localstack.child import spawn


def measure(stage: Stage, members: int, partitions: int, count: int) -> Result:
    """The speed at which `members` consumers write `count` events to logs.txt; `memory` is that of
    the largest. They join first, and are frozen while the topic is filled.

    Raises ContenderError, TimeoutError.
    """
    topic = stage.topic(partitions)
    environment = stage.environment(topic)
    log = Path(environment["LOG_FILE"])
    with ExitStack() as cleanup:
        processes = []
        for _ in range(members):
            command = [sys.executable, str(ROOT / "consumer.py")]
            process = spawn(command, env=environment, stderr=subprocess.DEVNULL)
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
            processes.append(process)
        stage.wait_for_group(environment["KAFKA_GROUP_ID"], members)
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        wanted = stage.fill(topic, count)
        busy = sum(cpu_seconds(process.pid) for process in processes)
        began = time.monotonic()
        for process in processes:
            process.send_signal(signal.SIGCONT)
        while size(log) < wanted:
            if time.monotonic() > began + PATIENCE:
                raise ContenderError(f"{members} consumers did not read {count} events")
            time.sleep(LOOK)
        took = time.monotonic() - began
        busy = sum(cpu_seconds(process.pid) for process in processes) - busy
        memory = max(peak_megabytes(process.pid) for process in processes)
    log.unlink()
    return Result(count / took, busy / count * 1e6, memory)
