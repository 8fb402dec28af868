"""The consumer is killed at every step between poll and commit in turn, and nothing shows.

A consumer recovers from the kill of the one before it, and is killed at the next step itself.
"""

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from redis import Redis as RedisClient

from config import Settings
from logpipeline.archive.rotated import rotated
from logpipeline.events.event import parse
from logpipeline.kafka import topics
from logpipeline.localstack.stack import variables
from logpipeline.locks import locked
from logpipeline.shutdown import Shutdown
from tests.support.forked import Forked
from tests.support.process import Process
from tests.support.records import event
from tests.support.servers import MISSED_SOON
from tests.support.topics import read_all, send
from tests.support.waiting import until

CHAINS = 12  # side by side
PATIENCE = 90.0
NOW = int(time.time())  # Redis counts only recent events
HALF = 10  # events; a batch has twice as many, and so has a file
BAD = b"no event"
LAST = ("__call__", "commit_async")  # of Redis' thread and of the other


def numbered(number: int, level: str = "WARN") -> bytes:
    """An event as long as all others."""
    return event(1_000 + number, level=level, timestamp=NOW)


class Chain:
    """Topics, Redis keys and a folder for consumers that run one after the other, beside those of
    other chains."""

    def __init__(
        self, settings: Settings, environment: dict[str, str], folder: Path, number: int
    ) -> None:
        name = f"{settings.kafka_topic}-{number}"
        self.folder = folder / name
        self.folder.mkdir()
        self.settings = settings.model_copy(
            update={
                "kafka_topic": name,
                "kafka_group_id": name,
                "kafka_dead_letter_topic": f"{name}.dead-letter",
                "kafka_partitions": 1,
                "redis_key": name,
                "log_file": self.folder / "logs.txt",
                "log_max_bytes": 2 * HALF * (len(numbered(0)) + 1),
            }
        )
        self.environment = environment | variables(self.settings)
        assert topics.ensure(self.settings, Shutdown(), topics.to_read(self.settings))
        self.started = 0
        self.events = [numbered(number, "INFO") for number in range(HALF)]
        self.letters: set[bytes] = set()
        self._send(self.events)

    def steps(self) -> list[str]:
        """Those of a batch, in a consumer that is not killed."""
        with ExitStack() as cleanup:
            consumer = self._start("", cleanup)
            self._check()
            self._send_batch()
            for last in LAST:
                consumer.wait_for(f" return {last} 1\n", PATIENCE)
        lines = consumer.output().splitlines()
        return [line.removeprefix("step ") for line in lines if line.startswith("step ")]

    def run(self, steps: list[str]) -> None:
        """Kill a consumer at each step, of a batch of its own. Check after each recovery."""
        with ExitStack() as cleanup:
            for step in steps:
                consumer = self._start(step, cleanup)
                self._check()
                self._send_batch()
                assert consumer.wait(PATIENCE) == -signal.SIGKILL, consumer
            self._start(None, cleanup)
            self._check()
            self._send_batch()
            self._check()
        mine = self.settings
        letters = read_all(mine.kafka_bootstrap_servers, mine.kafka_dead_letter_topic)
        assert {letter.value for letter in letters} == self.letters

    def _start(self, step: str | None, cleanup: ExitStack) -> Process:
        """A consumer that will be killed at this step of the next batch, or at none."""
        self.started += 1
        output = self.folder / f"{self.started}.output"
        program, arguments = "consumer.py", []
        if step is not None:
            program, arguments = "tests.support.crash", [step, str(self._offset())]
        consumer = Forked(program, arguments, output, self.environment, constants=MISSED_SOON)
        cleanup.callback(consumer.kill)
        return consumer

    def _send_batch(self) -> None:
        """In its middle, where the file is full, is a bad record, which is unlike all others: if it
        gets lost, the last look at the dead letters shows it."""
        next_ones = range(len(self.events), len(self.events) + 2 * HALF)
        events, bad = [numbered(number) for number in next_ones], BAD + b" %d" % len(self.letters)
        self._send([*events[:HALF], bad, *events[HALF:]])
        self.events += events
        self.letters.add(bad)

    def _send(self, values: list[bytes]) -> None:
        send(self.settings.kafka_bootstrap_servers, self.settings.kafka_topic, values)

    def _offset(self) -> int:
        return len(self.events) + len(self.letters)

    def _check(self) -> None:
        """Once Redis, which comes last, has all that was sent."""
        mine, key = self.settings, self.settings.redis_key
        end = b"%d" % self._offset()
        counts: Counter[bytes] = Counter()
        with RedisClient.from_url(mine.redis_url) as redis:
            until(lambda: redis.hget(f"{key}:offsets", "0") == end, PATIENCE, f"{self.folder}")
            assert redis.lrange(key, 0, -1) == self.events[::-1]
            assert redis.lrange(f"{key}:WARNING", 0, -1) == self.events[: HALF - 1 : -1]
            for minute in redis.scan_iter(f"{key}:counts:*", count=10_000):
                counts.update({level: int(n) for level, n in redis.hgetall(minute).items()})
        assert counts == Counter(parse(value).level.encode() for value in self.events)
        assert self._lines() == self.events

    def _lines(self) -> list[bytes]:
        """Those of all files, oldest first."""
        log, lines = self.settings.log_file, b""
        with locked(log.with_name("logs.txt.keeper.lock")):  # nobody packs one meanwhile
            for file in rotated(log):
                with file.open() as its_lines:
                    lines += its_lines.read()
            return (lines + log.read_bytes()).splitlines()


def test_a_kill_at_any_step_between_poll_and_commit_loses_and_doubles_nothing(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    chains = [Chain(settings, environment, tmp_path, number) for number in range(CHAINS)]
    steps = Chain(settings, environment, tmp_path, CHAINS).steps()
    for what in ("c_return write", "c_return fdatasync", "c_call pwrite", "c_call rename"):
        assert f"MainThread {what} 1" in steps
    assert {"MainThread return commit_async 1", "recent return __call__ 1"} <= {*steps}
    with ThreadPoolExecutor(CHAINS) as pool:
        for killing in [pool.submit(each.run, steps[n::CHAINS]) for n, each in enumerate(chains)]:
            killing.result()
