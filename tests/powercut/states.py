"""States: a recorded run, what a power cut in it may leave on disk, and the verdicts."""

import errno
import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.powercut import workload
from tests.powercut.disk import Disk, State
from tests.powercut.judge import Broken, Judge, clear
from tests.powercut.recorder import Acknowledged, Fault, Operation, Recorder
from tests.powercut.workload import Kafka, Place

BATCHES = 14
MORE = 6  # states by the dice after each operation, beside the plain ones
AGAIN = 50  # the recovery of one state of so many is cut, too
FAILING = 0.03  # share of the calls
MEMORY = Path("/dev/shm")  # noqa: S108 - nothing waits for a disk there


@dataclass(frozen=True)
class Scenario:
    """What is on disk after a power cut, and what Kafka has then: if `lost`, nothing from the
    archive's position on. `kept` are lines that Kafka had lost before, as `maybe` are others."""

    where: str
    state: State
    acknowledged: dict[int, int]
    kafka: Kafka
    lost: bool
    kept: Sequence[bytes] = ()
    maybe: Sequence[bytes] = ()


@dataclass(frozen=True)
class Verdict:
    """On the state of this number; `problem` is empty if it is well."""

    number: int
    where: str
    problem: str = ""


class Run:
    """A recorded run, which follows from its `seed`. `fault` may make calls fail; `topic` is a name
    and an id."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        batches: int = BATCHES,
        fault: Fault = lambda *_: None,
        topic: tuple[str, str] = ("logs", "topic-id"),
    ) -> None:
        self.seed = seed
        self._pool = folder / "pool"
        self._pool.mkdir(parents=True)
        self.place = Place(folder / "files", *topic)
        clear(self.place.folder)
        self.judge = Judge(self.place, self._pool)
        self.kafka = Kafka(seed)
        self._seen: set[int] = set()
        self.recorder = recorder = Recorder(self.place.folder, self._pool, fault)
        acknowledge = lambda position: recorder.note(Acknowledged(position))  # noqa: E731
        with recorder.on():
            workload.run(self.place, self.kafka, random.Random(seed), batches, acknowledge)

    def verdicts(self, since: int = 0) -> Iterator[Verdict]:
        """On each state from this operation on."""
        for number, scenario in enumerate(self.scenarios(since)):
            problem = ""
            try:
                self._recover(scenario)
            except Broken as broken:
                problem = str(broken)
            yield Verdict(number, scenario.where, problem)

    def judge_end(self) -> None:
        """Compare what the run itself has left, without a power cut. Raises Broken."""
        self.judge.compare(self.kafka)

    def scenarios(self, since: int = 0) -> Iterator[Scenario]:
        """What a power cut may leave after each operation from this one on."""
        dice, disk, operations = random.Random(self.seed), Disk(), self.recorder.operations
        for operation in operations[:since]:
            disk.apply(operation)
        for number, scenario in enumerate(self._cuts(disk, operations[since:], dice)):
            yield scenario
            if number % AGAIN == 0:
                yield from self._cuts_of_recovery(scenario, dice)

    def _cuts(
        self, disk: Disk, operations: Sequence[Operation], dice: random.Random
    ) -> Iterator[Scenario]:
        """The different states after each operation."""
        for number, operation in enumerate(operations):
            disk.apply(operation)
            where = f"operation {number}, {type(operation).__name__}"
            for state in disk.states(dice, MORE):
                key = hash((*disk.acknowledged.items(), *state.items()))
                if key not in self._seen:
                    self._seen.add(key)
                    lost = dice.random() < 0.5
                    acknowledged = dict(disk.acknowledged)
                    yield Scenario(where, state, acknowledged, self.kafka.copy(), lost)

    def _cuts_of_recovery(self, first: Scenario, dice: random.Random) -> Iterator[Scenario]:
        recorder = Recorder(self.place.folder, self._pool)
        kafka = first.kafka.copy()
        with suppress(Broken):  # which is this scenario's own verdict
            self._recover(replace(first, kafka=kafka), recorder)
        kept, maybe = self._had(first)
        disk = Disk(first.state)
        disk.acknowledged = first.acknowledged
        for second in self._cuts(disk, recorder.operations, dice):
            where = f"{first.where}, then {second.where} of its recovery"
            yield replace(
                second, where=where, kafka=kafka.copy(), lost=False, kept=kept, maybe=maybe
            )

    def _recover(self, scenario: Scenario, recorder: Recorder | None = None) -> None:
        """Raises Broken."""
        self.judge.build(scenario.state)
        kafka = scenario.kafka
        with recorder.on() if recorder else nullcontext():
            self.judge.recover(scenario.acknowledged, kafka, scenario.lost)
        self.judge.compare(kafka, *self._had(scenario))

    def _had(self, scenario: Scenario) -> tuple[list[bytes], list[bytes]]:
        """Lines that must stay and lines that may, though Kafka has lost them."""
        kept, maybe = [*scenario.kept], [*scenario.maybe]
        if scenario.lost:
            kept += self.judge.whole_lines(scenario.state)
            maybe += self.judge.whole_lines(scenario.state, "logs.txt.cut")
        return kept, maybe


def some_fail(seed: int) -> Fault:
    """Calls of every third seed's run may fail, each once in a while."""
    dice = random.Random(seed)

    def fault(number: int, function: str) -> int | None:
        failing = seed % 3 == 0 and dice.random() < FAILING
        return dice.choice([errno.EIO, errno.ENOSPC]) if failing else None

    return fault


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder where nothing waits for a disk, if this machine has one. Recovery logs nothing."""
    logging.disable()
    try:
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
            yield Path(name)
    finally:
        logging.disable(logging.NOTSET)
