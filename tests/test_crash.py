"""The consumer is killed at every step between poll and commit in turn, and nothing shows."""

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
from logpipeline.shutdown import Shutdown
from tests.support.forked import Forked
from tests.support.process import Process
from tests.support.records import event
from tests.support.topics import read_all, send
from tests.support.waiting import until

AT_ONCE = 16
PATIENCE = 90.0
NOW = int(time.time())  # Redis counts only recent events
FIRST = [event(number, timestamp=NOW) for number in range(5)]
SECOND = [event(number, level="WARN", timestamp=NOW) for number in range(5, 25)]
BAD = b"no event"
LAST = ("__call__", "commit_async")  # of Redis' thread and of the other
ROTATED = 1_000  # bytes: in the middle of the second batch


class Case:
    """Topics, Redis keys and a folder for one step, beside the other steps'."""

    def __init__(self, settings: Settings, folder: Path, step: int) -> None:
        name = f"{settings.kafka_topic}-{step}"
        folder.mkdir()
        self.step = step
        self.settings = settings.model_copy(
            update={
                "kafka_topic": name,
                "kafka_group_id": name,
                "kafka_dead_letter_topic": f"{name}.dead-letter",
                "kafka_partitions": 1,
                "redis_key": name,
                "log_file": folder / "logs.txt",
                "log_max_bytes": ROTATED,
            }
        )
        self.folder = folder

    def run(self, environment: dict[str, str]) -> Process:
        """Kill at the step, start again, check. Returns the killed process."""
        mine = self.settings
        assert topics.ensure(mine, Shutdown(), topics.to_read(mine))
        environment = environment | variables(mine)
        output = self.folder / "killed.output"
        with ExitStack() as cleanup:
            killed = Forked("tests.support.crash", [str(self.step)], output, environment)
            cleanup.callback(killed.kill)
            self._send(FIRST)
            self._reach(len(FIRST))
            self._send([*SECOND[:10], BAD, *SECOND[10:]])
            if self.step:
                killed.wait(PATIENCE)
                again = Forked("consumer.py", [], self.folder / "again.output", environment)
                cleanup.callback(again.kill)
            self._reach(len(FIRST + SECOND) + 1)
            if not self.step:
                for last in LAST:
                    killed.wait_for(f" return {last}\n", PATIENCE)
        self._check()
        return killed

    def _send(self, values: list[bytes]) -> None:
        send(self.settings.kafka_bootstrap_servers, self.settings.kafka_topic, values)

    def _reach(self, offset: int) -> None:
        """Wait until Redis, which comes last, is at the offset."""
        key = f"{self.settings.redis_key}:offsets"
        with RedisClient.from_url(self.settings.redis_url) as redis:
            until(lambda: redis.hget(key, "0") == b"%d" % offset, PATIENCE, f"step {self.step}")

    def _check(self) -> None:
        mine, events = self.settings, FIRST + SECOND
        lines = []
        for file in rotated(mine.log_file):
            with file.open() as rotated_lines:
                lines += rotated_lines.read().splitlines()
        lines += mine.log_file.read_bytes().splitlines()
        assert lines == events, f"step {self.step}"
        letters = read_all(mine.kafka_bootstrap_servers, mine.kafka_dead_letter_topic)
        assert {letter.value for letter in letters} == {BAD}
        counts: Counter[bytes] = Counter()
        with RedisClient.from_url(mine.redis_url) as redis:
            assert redis.lrange(mine.redis_key, 0, -1) == events[::-1]
            assert redis.lrange(f"{mine.redis_key}:WARNING", 0, -1) == SECOND[::-1]
            for key in redis.scan_iter(f"{mine.redis_key}:counts:*"):
                counts.update({level: int(n) for level, n in redis.hgetall(key).items()})
        assert counts == Counter(parse(value).level.encode() for value in events)


def test_a_kill_at_any_step_between_poll_and_commit_loses_and_doubles_nothing(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    def run(step: int) -> Process:
        return Case(settings, tmp_path / f"step-{step}", step).run(environment)

    steps = [line for line in run(0).output().splitlines() if line.startswith("step ")]
    there = {step.split(maxsplit=2)[2] for step in steps}
    assert {"c_return write", "c_return fdatasync", "c_call pwrite", "c_call rename"} <= there
    assert "return __call__" in there
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for killed in pool.map(run, range(1, len(steps) + 1)):
            assert killed.popen.returncode == -signal.SIGKILL, killed
