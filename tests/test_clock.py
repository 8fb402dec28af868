"""consumer.py keeps its promises while its clock jumps, and when events' times are hours off."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis as RedisClient

from config import Settings
from logpipeline.archive.rotated import rotated
from logpipeline.kafka import topics
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.clock import Clock
from tests.support.process import ROOT
from tests.support.records import event
from tests.support.topics import send
from tests.support.waiting import until

PATIENCE = 60.0  # seconds; this machine may be busy with something else
JUMPS = (5, -5, 30, -30, 0)  # hours
STEP = 20  # events


@pytest.mark.needs("cc")
@pytest.mark.parametrize("rotates", ["", "hour"])
def test_a_clock_that_jumps_by_hours_loses_and_doubles_nothing(
    run_script: RunScript,
    environment: dict[str, str],
    settings: Settings,
    tmp_path: Path,
    rotates: str,
) -> None:
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    clock, port = Clock(tmp_path), free_port()
    changed = {"METRICS_PORT": str(port), "LOG_ROTATE_EVERY": rotates, "LOG_COMPRESS": "none"}
    consumer = run_script("consumer.py", env=environment | clock.variables | changed)
    sent: list[bytes] = []

    def arrive(*hours: float) -> None:
        """Send events whose times are so many hours off, and wait for them."""
        now = time.time()
        made = [event(n, timestamp=now + 3600 * hours[n % len(hours)]) for n in range(STEP)]
        made = [line.replace(b"event ", b"%d: event " % len(sent)) for line in made]
        send(settings.kafka_bootstrap_servers, settings.kafka_topic, made, partition=0)
        sent.extend(made)
        until(lambda: archived(settings) == sent, PATIENCE, str(consumer))
        with RedisClient.from_url(settings.redis_url) as redis:
            until(lambda: newest(redis, settings) == sent[::-1], PATIENCE, str(consumer))

    arrive(0)
    for jump in JUMPS:
        clock.jump(jump)
        arrive(0)
        arrive(0, -3, 3, -30, 30)
    expected = counted(sent[:STEP] + sent[-2 * STEP :])
    with RedisClient.from_url(settings.redis_url) as redis:
        found = counts(redis, settings)
    now = int(time.time() // 60)
    assert all(found[at] >= n for at, n in expected.items() if at <= now), "with the right clock"
    assert found <= counted(sent)
    # Those that a clock 30 hours behind has counted 30 hours ago expire at once.
    most = len(sent) - found.total()
    until(lambda: most - STEP <= uncounted(port) <= most, PATIENCE, f"not about {most}")
    assert len(rotated(settings.log_file)) <= (len(JUMPS) if rotates else 0)
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    text = consumer.output()
    assert not [word for word in ("unavailable", "Traceback", "cannot") if word in text], text
    done = subprocess.run(
        [sys.executable, str(ROOT / "verify.py")],
        env=os.environ | variables(settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def archived(settings: Settings) -> list[bytes]:
    """The lines of all files, oldest first."""
    path = settings.log_file
    with ExitStack() as files:
        opened = [files.enter_context(file.open()) for file in rotated(path)]
        if path.exists():
            opened.append(files.enter_context(path.open("rb")))
        return [line for file in opened for line in file.read().splitlines()]


def newest(redis: RedisClient, settings: Settings) -> list[bytes | str]:
    return redis.lrange(settings.redis_key, 0, -1)


def counts(redis: RedisClient, settings: Settings) -> Counter[int]:
    """Minute → events that Redis has counted."""
    found: Counter[int] = Counter()
    for name in redis.scan_iter(f"{settings.redis_key}:counts:*"):
        found[int(name.rpartition(b":")[2])] += sum(map(int, redis.hvals(name.decode())))
    return found


def counted(lines: list[bytes]) -> Counter[int]:
    """Minute → events, of the last day."""
    times = [json.loads(line)["timestamp"] for line in lines]
    return Counter(int(at // 60) for at in times if at > time.time() - 24 * 3600)


def uncounted(port: int) -> int:
    """What the consumer says that it has left out of the counts."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    [number] = re.findall(r"^log_consumer_uncounted_events_total (\S+)$", text, re.MULTILINE)
    return int(float(number))
