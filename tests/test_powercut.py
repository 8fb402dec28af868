"""make powercut: it finds nothing in the code as it is, and each step that is left out of it."""

import errno
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice, pairwise
from pathlib import Path, PurePath
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient

from config import Settings
from logpipeline import files
from logpipeline.archive import checkpoint, index, log_file, packing, retention, slots, store
from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.log_file import LogFile
from logpipeline.kafka import topics
from logpipeline.localstack.stack import variables
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.powercut.loop import UNKNOWN
from tests.powercut.recorder import Operation, Rename, Sync, Unlink
from tests.powercut.states import Run, folder_in_memory
from tests.powercut.workload import LIMITS, PARTITIONS
from tests.support.drain import lag
from tests.support.process import ROOT
from tests.support.topics import send
from tests.support.waiting import until

FEW = 400  # states
ENOUGH = 4_000  # within which each fault must show
SHORT = 6  # batches
PATIENCE = 60.0
SOON = 40  # states after a fault

Mutation = Callable[[pytest.MonkeyPatch], None]


def without(module: Any, name: str, mutate: pytest.MonkeyPatch) -> None:
    """Leave out the module's calls of a function."""
    mutate.setattr(module, name, lambda *_: None)


def original_deleted_at_once(mutate: pytest.MonkeyPatch) -> None:
    """Delete it while the name of the packed copy may not be on disk."""
    without(packing, "sync", mutate)
    without(retention, "sync", mutate)


def checkpoint_before_its_data(mutate: pytest.MonkeyPatch) -> None:
    """Save first, then append."""
    append, save, waiting = LogFile.append, Archive._save, list[bytes]()

    def save_first(archive: Archive, *arguments: Any) -> None:
        save(archive, *arguments)
        while waiting:
            append(archive._file, waiting.pop())

    mutate.setattr(LogFile, "append", lambda _, data: waiting.append(data))
    mutate.setattr(Archive, "_save", save_first)


def index_without_sync(mutate: pytest.MonkeyPatch) -> None:
    """Once it has its name, it is never made again."""

    def replace_unsynced(path: Path, data: bytes, mode: int | None) -> None:
        with pytest.MonkeyPatch.context() as unsynced:
            without(files, "sync_data", unsynced)
            files.replace_file(path, data, mode)

    mutate.setattr(index, "replace_file", replace_unsynced)


MUTATIONS: dict[str, Mutation] = {
    "no sync of logs.txt": partial(without, log_file, "sync_data"),
    "no sync of the checkpoint": partial(without, slots, "sync_data"),
    "no sync of the folder of a new logs.txt": partial(without, log_file, "sync"),
    "no sync of the folder of a rotated checkpoint": partial(without, checkpoint, "sync"),
    "no sync of the folder of a new checkpoint": partial(without, slots, "sync"),
    "no sync of the folder of a packed file": original_deleted_at_once,
    "no sync of the store's folder": partial(without, store, "sync"),
    "no sync of an index": index_without_sync,
    "the checkpoint before its data": checkpoint_before_its_data,
}


def first_problem(
    seed: int, states: int = FEW, since: Callable[[Sequence[Operation]], int] = lambda _: 0
) -> str:
    """Of so many states, from the operation `since` on; "" if there is none."""
    with folder_in_memory() as folder:
        run = Run(folder, seed)
        verdicts = islice(run.verdicts(since=since(run.recorder.operations)), states)
        return next((str(verdict) for verdict in verdicts if verdict.problem), "")


def deletion_of_a_file_in_the_store(operations: Sequence[Operation]) -> int:
    """The number of the first one, before which only the store's folder has to be on disk."""
    sent = {
        PurePath(done.to).name
        for done in operations
        if isinstance(done, Rename) and done.to.startswith("store/")
    }
    names = [done.name if isinstance(done, Unlink) else "" for done in operations]
    return next(number for number, name in enumerate(names) if name in sent)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_step_that_is_left_out_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[name](monkeypatch)
    since = {"no sync of the store's folder": deletion_of_a_file_in_the_store}
    assert first_problem(1, ENOUGH, since.get(name, lambda _: 0))


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_torn(seed: int) -> None:
    assert not first_problem(seed)


def test_a_packed_copy_is_on_disk_before_its_original_is_deleted() -> None:
    """Also when the sync after packing fails, or a kill comes before it."""
    with folder_in_memory() as folder:
        calls = Run(folder / "all", 1).recorder.calls
        packed = calls.index("unlink") - 2
        assert calls[packed - 1 : packed + 1] == ["replace", "fsync of the folder"]
        run = Run(folder / "failing", 1, fault=failing(packed, errno.EIO))
        names = [done.name for done in run.recorder.operations if isinstance(done, Unlink)]
        unlinked = run.recorder.operations.index(Unlink(names[0]))
        verdicts = islice(run.verdicts(since=unlinked), SOON)
        assert not [str(verdict) for verdict in verdicts if verdict.problem]


def failing(call: int, error: int) -> Callable[[int, str], int | None]:
    return lambda number, _: error if number == call else None


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_each_call_may_fail_once(error: int) -> None:
    """The run continues after it. A failed write of a full disk has written the half."""
    with folder_in_memory() as folder:
        calls = Run(folder / "all", 1, SHORT).recorder.calls
        for number in range(len(calls)):
            run = Run(folder / str(number), 1, SHORT, failing(number, error))
            assert len(run.recorder.calls) > number
            run.judge_end()
    assert {"write", "pwrite", "fdatasync", "fsync of the folder", "open", "rename"} <= {*calls}


def cut_at_once(mutate: pytest.MonkeyPatch) -> None:
    """Undo an append whose checkpoint failed, and may be on disk all the same."""
    save = Archive._save

    def save_or_undo(archive: Archive, known: Checkpoint) -> None:
        before = archive._read().length
        try:
            save(archive, known)
        except OSError:
            archive._file.cut(before)
            raise

    mutate.setattr(Archive, "_save", save_or_undo)


def build_on_what_failed(mutate: pytest.MonkeyPatch) -> None:
    """Believe a checkpoint that fdatasync has failed for."""
    write, save = slots._write_at, Archive._save

    def save_without_doubt(archive: Archive, known: Checkpoint) -> None:
        try:
            save(archive, known)
        finally:
            archive._is_doubtful = False

    mutate.setattr(slots, "_write_at", lambda fd, data, at: data.strip() and write(fd, data, at))
    mutate.setattr(Archive, "_save", save_without_doubt)


def problem_after_faults(seed: int, states: int) -> str:
    """A sync of the checkpoint fails, the run continues, and then there is a power cut."""
    with folder_in_memory() as folder:
        calls = Run(folder / "all", seed, SHORT).recorder.calls
        saves = [n for n, two in enumerate(pairwise(calls), 1) if two == ("pwrite", "fdatasync")]
        for number in saves:
            run = Run(folder / str(number), seed, SHORT, failing(number, errno.EIO))
            failed = next(n for n, done in enumerate(run.recorder.operations) if _failed(done))
            for verdict in islice(run.verdicts(since=failed), states):
                if verdict.problem:
                    return f"{number}: {verdict}"
    return ""


def _failed(done: Operation) -> bool:
    return isinstance(done, Sync) and done.failed


@pytest.mark.parametrize("mutation", [cut_at_once, build_on_what_failed])
def test_a_checkpoint_whose_sync_failed_is_not_trusted(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert problem_after_faults(3, FEW)


@pytest.mark.parametrize("seed", [1, 3])
def test_a_power_cut_after_a_failed_sync_of_the_checkpoint_is_harmless(seed: int) -> None:
    assert not problem_after_faults(seed, SOON)


@pytest.mark.needs("mount")
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.needs(f"mkfs.{kind}")) for kind in ("ext4", "xfs")],
)
def test_images_of_real_file_systems_are_recovered_from(kind: str, tmp_path: Path) -> None:
    command = ["unshare", "--mount", sys.executable, "-m", "tests.powercut.loop", kind]
    # The log of xfs takes longer in memory.
    with nullcontext(tmp_path) if kind == "xfs" else folder_in_memory() as folder:
        done = subprocess.run([*command, folder], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == UNKNOWN:
        pytest.skip(f"it needs loop devices: {done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " images, 0 broken" in done.stdout


CUTS = 5  # states that whole consumers recover from


def test_whole_consumers_recover(
    settings: Settings,
    kafka_admin: KafkaAdminClient,
    environment: dict[str, str],
    run_script: RunScript,
    tmp_path: Path,
) -> None:
    settings = settings.model_copy(update={"kafka_partitions": len(PARTITIONS)})
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    [described] = kafka_admin.describe_topics([settings.kafka_topic])
    run = Run(tmp_path / "run", 5, topic=(settings.kafka_topic, str(described["topic_id"])))
    for partition, records in run.kafka.records.items():
        send(settings.kafka_bootstrap_servers, settings.kafka_topic, records, partition)
    mine = settings.model_copy(
        update={
            "log_file": run.place.log_file,
            "log_max_bytes": LIMITS.bytes,
            "archive_url": run.place.settings.archive_url,
        }
    )
    scenarios = [each for each in run.scenarios() if "recovery" not in each.where]
    for scenario in scenarios[len(scenarios) // CUTS - 1 :: len(scenarios) // CUTS]:
        run.kafka.send({0: run.kafka.ends()[0] + 1})  # so that each has something to do
        send(mine.kafka_bootstrap_servers, mine.kafka_topic, run.kafka.records[0][-1:], 0)
        run.judge.build(scenario.state)
        consumer = run_script("consumer.py", env=environment | variables(mine))
        until(lambda: lag(mine, run.kafka.ends()) == 0, PATIENCE, scenario.where)
        consumer.terminate()
        assert consumer.wait() == 0
        run.place.keep()  # it may have stopped in the middle of packing
        run.judge.compare(run.kafka)
