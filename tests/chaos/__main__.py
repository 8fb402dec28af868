"""Chaos: a pipeline under load in which everything dies, freezes and fills up; then verify.py.

A producer sends events, some of them broken, and three consumers share one logs.txt. By a plan
that follows from the seed, consumers are killed (SIGKILL), paused (SIGSTOP, also for longer than
Kafka waits for them), stopped (SIGTERM) and started again, Redis is killed, paused and emptied,
Kafka is killed and paused, the disk is full, and its calls fail (EIO, ENOSPC); logs.txt is rotated
all the time. Then everything is mended and read to the end, and verify.py decides.

With --hosts each consumer has a logs.txt and partitions of its own. At the end each of them works
alone for a moment, and verify.py compares all their files.
"""

import argparse
import math
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from operator import itemgetter
from pathlib import Path

from kafka.errors import KafkaError

from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.localstack.server import ServerError
from tests.chaos.docker import DockerPipeline
from tests.chaos.faults import Blow, plan
from tests.chaos.hosts import HostsPipeline
from tests.chaos.local import Failed, LocalPipeline, Program
from tests.support.drain import end_offsets

CONSUMERS = 3
RATE = 3_000  # events a second
ROTATE = "10s"  # LOG_ROTATE_EVERY
MALFORMED = 0.01  # share of them
PATIENCE = 120.0  # seconds until what must come about has come about
LOOK = 0.01  # seconds
GROWTH = 8.0  # seconds in which the archive should grow before a consumer is hit all the same
WELL, BROKEN, UNKNOWN = 0, 1, 2  # exit status
SENT = re.compile(r"sent ([\d,]+) events .* 0 undelivered")
EXAMPLES = """\
examples:
  make chaos SECONDS=60
  make chaos SECONDS=300 SEED=7
  make chaos SECONDS=3600 RATE=5000 ROTATE=minute
  make chaos DOCKER=1
  make chaos HOSTS=3 SECONDS=600

exit status: 0 when nothing was lost, doubled, torn or out of order, 1 when something was (the
folder with everything is kept then), 2 when it can't run
"""


class Chaos:
    """One run: `pipeline` under load, and what is done to it."""

    def __init__(
        self, pipeline: LocalPipeline | DockerPipeline, folder: Path, seed: int, rate: float
    ) -> None:
        self._pipeline = pipeline
        self._folder = folder
        self._settings = pipeline.settings
        load = ["--rate", str(rate), "--malformed", str(MALFORMED), "--seed", str(seed)]
        self._producer = Program("producer", "producer.py", load, self._settings, folder)
        self._began = time.monotonic()
        self._stormed = 0  # records that were archived at the last blow
        self._mending: list[tuple[float, Blow]] = []  # when, and what
        self.done: Counter[str] = Counter()
        self.records = 0
        self.share = 0.0  # of them that was archived before the last blow

    def start(self) -> None:
        """Raises Failed, ServerError, OSError."""
        self._pipeline.start()
        self._producer.start()
        archives = self._pipeline.archives
        self._until(lambda: all(path.exists() for path in archives), "no events come")
        self._began = time.monotonic()

    def run(self, blows: list[Blow], seconds: float) -> None:
        """Break and mend the parts. Raises Failed, ServerError, OSError."""
        late = 0.0
        for blow in blows:
            late += self._hit(blow, late)
            if self.seconds() > seconds:
                break
        self._stormed = self._archived()
        self._wait(lambda: not self._mending)

    def let_each_work_alone(self) -> None:
        """Kill all consumers but one, for each of them. Raises Failed, ServerError."""
        self._pipeline.wait_ready()
        names = [consumer.name for consumer in self._pipeline.consumers]
        for alone, path in zip(names, self._pipeline.archives, strict=True):
            others = [name for name in names if name != alone]
            for name in others:
                self._do(name, "kill")
            before = self._archived_in(path)
            self._until(lambda: self._archived_in(path) > before, f"{alone} needs another")  # noqa: B023
            for name in others:
                self._do(name, "start")

    def settle(self) -> None:
        """Let all events get where they should be. Raises Failed, ServerError, KafkaError."""
        self._pipeline.wait_ready()
        before = sum(end_offsets(self._settings).values())
        self._until(lambda: sum(end_offsets(self._settings).values()) > before, "no events come")
        self._producer.stop(PATIENCE)
        if self._producer.status() != 0:
            raise Failed(f"the producer ended with status {self._producer.status()}")
        ends = end_offsets(self._settings)
        self.records = sum(ends.values())
        sent = SENT.search(self._producer.log_file.read_text())
        if not sent or int(sent[1].replace(",", "")) != self.records:
            raise Failed(f"Kafka has {self.records:,} records, the producer {sent and sent[0]}")
        self._until(lambda: self._archived() >= self.records, "not everything is read")
        self.share = self._stormed / self._archived()

    def stop(self) -> None:
        """Stop the consumers in good order. Raises Failed."""
        for consumer in self._pipeline.consumers:
            consumer.terminate()
        for consumer in self._pipeline.consumers:
            consumer.wait_stopped()

    def verify(self, when: str) -> None:
        """Raises Failed."""
        arguments = []
        if len(archives := self._pipeline.archives) > 1:
            arguments = [flag for path in archives for flag in ("--archive", str(path))]
        run = Program(f"verify {when}", "verify.py", arguments, self._settings, self._folder)
        run.start()
        status = run.wait()
        self.say(f"verify.py {when}: status {status}\n{run.log_file.read_text()}")
        if status:
            raise Failed("verify.py says so")

    def seconds(self) -> float:
        """Since the first events."""
        return time.monotonic() - self._began

    def totals(self) -> str:
        """What was done, and to how many records."""
        done = ", ".join(f"{count} {words}" for words, count in sorted(self.done.items()))
        return f"{self.records:,} records, {self.share:.0%} of them stored meanwhile; {done}"

    def say(self, text: str) -> None:
        print(f"{self.seconds():6.1f} s  {text}", flush=True)

    def close(self) -> None:
        self._producer.kill()

    def _watch(self) -> None:
        """Raises Failed when something has ended by itself."""
        if self._producer.status():
            raise Failed(f"the producer ended with status {self._producer.status()}")
        for consumer in self._pipeline.consumers:
            if not consumer.broken and consumer.status() is not None:
                raise Failed(f"{consumer.name} ended by itself, status {consumer.status()}")

    def _hit(self, blow: Blow, late: float) -> float:
        """Hit a part; a consumer while it works. Returns how long that had to be waited for."""
        self._wait(lambda: self.seconds() >= blow.at + late)
        waited = 0.0
        if blow.target.startswith("consumer"):
            size = self._archived()
            waited = self._wait(lambda: self._archived() > size, GROWTH)
        self._do(blow.target, blow.fault.verb)
        if blow.fault.undo:
            self._mending.append((self.seconds() + blow.seconds, blow))
        return waited

    def _wait(self, condition: Callable[[], bool], most: float = math.inf) -> float:
        """Until it is true, or `most` seconds; what is due is mended meanwhile.

        Returns the seconds it took. Raises Failed, ServerError.
        """
        began = self.seconds()
        while not condition() and self.seconds() - began < most:
            for due in sorted(self._mending, key=itemgetter(0)):
                if due[0] <= self.seconds():
                    self._mending.remove(due)
                    self._do(due[1].target, due[1].fault.undo)
            self._watch()
            time.sleep(LOOK)
        return self.seconds() - began

    def _until(self, condition: Callable[[], bool], problem: str) -> None:
        """Raises Failed with `problem`."""
        if self._wait(condition, PATIENCE) >= PATIENCE:
            raise Failed(f"{problem}, {PATIENCE:.0f} s long")

    def _do(self, target: str, verb: str) -> None:
        self.say(f"{verb} {target}")
        self.done[f"{verb} {target.partition('-')[0]}"] += 1
        getattr(self._pipeline.parts[target], verb)()

    def _archived(self) -> int:
        """Records up to the checkpoint, or the checkpoints."""
        return sum(self._archived_in(path) for path in self._pipeline.archives)

    def _archived_in(self, path: Path) -> int:
        checkpoint = Checkpoint.load(path.with_name(f"{path.name}.checkpoint"))
        topic = checkpoint.topics.get(self._settings.kafka_topic) if checkpoint else None
        return sum(known.next for known in topic.partitions.values()) if topic else 0


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(UNKNOWN))
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    status = UNKNOWN
    try:
        status = run(options, folder)
    except (ServerError, KafkaError, OSError) as error:
        print(f"chaos: can't run: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
    finally:
        if status != BROKEN:
            shutil.rmtree(folder)
    return status


def run(options: argparse.Namespace, folder: Path) -> int:
    """Returns the exit status. Raises ServerError, KafkaError, OSError when it can't run."""
    command = f"make chaos SECONDS={options.seconds:g} SEED={options.seed} RATE={options.rate:g}"
    command += f" ROTATE={options.rotate}"
    command += " DOCKER=1" if options.docker else ""
    command += f" HOSTS={options.hosts}" if options.hosts else ""
    print(f"{command}   in {folder}", flush=True)
    kind = DockerPipeline if options.docker else HostsPipeline if options.hosts else LocalPipeline
    count = options.hosts or CONSUMERS
    pipeline: LocalPipeline | DockerPipeline = kind(folder, count, options.rotate)
    if "disk" not in pipeline.parts:
        print("no small disk of its own (that takes Linux, root, and no Docker)", flush=True)
    with closing(pipeline), closing(Chaos(pipeline, folder, options.seed, options.rate)) as chaos:
        failure = None
        try:
            chaos.start()
            chaos.run(plan(options.seed, options.seconds, pipeline.parts), options.seconds)
            if options.hosts:
                chaos.let_each_work_alone()
            chaos.settle()
            chaos.verify("beside consumers")
            chaos.stop()
            chaos.verify("at the end")
        except Failed as problem:
            failure = problem
            pipeline.keep(folder)
    print(f"seed {options.seed}: {chaos.totals()}")
    if failure:
        print(f"FAILED: {failure}; everything is in {folder}; to repeat: {command}")
        return BROKEN
    print("nothing was lost, doubled, torn or out of order")
    return WELL


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chaos",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=positive, default=60.0, metavar="N", help="default: 60")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(1_000_000),
        metavar="N",
        help="repeat the plan of this seed (default: a new one)",
    )
    parser.add_argument(
        "--rate",
        type=positive,
        default=RATE,
        metavar="N",
        help=f"events a second (default: {RATE})",
    )
    parser.add_argument(
        "--rotate", default=ROTATE, metavar="T", help=f"LOG_ROTATE_EVERY (default: {ROTATE})"
    )
    parser.add_argument(
        "--docker", action="store_true", help="the same in containers, by docker-compose.yml"
    )
    parser.add_argument(
        "--hosts",
        type=int,
        choices=range(2, 10),
        metavar="N",
        help="as many hosts, 2 to 9, each with a logs.txt and partitions of its own",
    )
    options = parser.parse_args()
    if options.hosts and options.docker:
        parser.error("--hosts cannot be used with --docker")
    return options


def positive(text: str) -> float:
    """Raises argparse.ArgumentTypeError."""
    try:
        if 0 < float(text) < 1e6:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r}: it must be a number above 0")


if __name__ == "__main__":
    sys.exit(main())
