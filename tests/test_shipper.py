"""Rotated files go to the store, and none is deleted here before it is there."""

import json
import signal
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import consumer
from config import Settings
from logpipeline.archive import retention, uploader
from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.index import index_path
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.retention import Retention
from logpipeline.archive.rotated import RotatedFile, rotated
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.archive.store import Store
from logpipeline.consumer.metrics import Metrics
from logpipeline.kafka import topics
from logpipeline.localstack.server import free_port
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.process import Process
from tests.support.records import event, events
from tests.support.seaweed import Seaweed
from tests.support.servers import MISSED_SOON
from tests.support.topics import send
from tests.support.waiting import until
from tests.test_archive import ID, TOPIC
from tests.test_metrics import samples
from tests.test_rotated import LINE

BESIDE = (".checkpoint", ".index")
SOON = MISSED_SOON | {
    "logpipeline.archive.retention.LOOK": 0.2,
    "logpipeline.archive.uploader.RETRY": 1.0,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.txt"


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    """A folder as the store."""
    (tmp_path / "nas").mkdir()
    return tmp_path / "nas"


def finish(path: Path, number: int) -> list[RotatedFile]:
    """Make so many rotated files of two events each."""
    with closing(Archive(path, TOPIC, limits=RotationPolicy(bytes=2 * LINE))) as archive:
        archive.open(ID)
        archive.append([events(0, 0, 2 * number + 1)])
    return rotated(path)


def keep(path: Path, nas: Path, **settings: Any) -> Metrics:
    """Let a keeper do once what there is to do."""
    metrics = Metrics()
    mine = Settings(_env_file=None, log_file=path, **settings)
    with closing(Retention(mine, metrics.archive, Store(f"file://{nas}"))) as keeper:
        keeper.tend()
    return metrics


def value(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(f"log_consumer_{name}")


def parts(file: RotatedFile) -> list[Path]:
    """What the store gets of it, in the order of their names."""
    return [file.sidecar, index_path(file), file.packed(".zst")]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_each_file_is_sent_once_with_its_checkpoint_and_index(path: Path, nas: Path) -> None:
    found = finish(path, 3)
    metrics = keep(path, nas)
    assert names(nas) == [path.name for file in found for path in parts(file)]
    for file in found:
        for part in parts(file):
            assert (nas / part.name).read_bytes() == part.read_bytes()
    assert value(metrics, "shipped_files_total") == 3
    assert value(metrics, "shipped_bytes_total") == sum(f.path().stat().st_size for f in found)
    before = [each.stat().st_ino for each in nas.iterdir()]
    assert value(keep(path, nas), "shipped_files_total") == 0
    assert [each.stat().st_ino for each in nas.iterdir()] == before


def test_nothing_is_deleted_before_it_is_there(
    path: Path, nas: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = finish(path, 4)
    nas.rmdir()
    metrics = keep(path, nas, log_keep_files=1)
    assert rotated(path) == found
    assert "cannot upload rotated files, keeping them: cannot use file://" in caplog.text
    assert (value(metrics, "store_up"), value(metrics, "unshipped_files")) == (0, 4)
    assert metrics.registry.get_sample_value("log_consumer_failures_total", {"step": "ship"}) == 1
    assert "store" not in metrics.missing(), "the store is not needed"
    nas.mkdir()
    metrics = keep(path, nas, log_keep_files=1)
    assert rotated(path) == found[-1:]
    assert names(nas) == [path.name for file in found for path in parts(file)]
    assert (value(metrics, "store_up"), value(metrics, "unshipped_files")) == (1, 0)


def test_a_store_that_comes_back_is_found_again(
    path: Path, nas: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(uploader, "RETRY", 0.1)
    monkeypatch.setattr(retention, "LOOK", 0.1)
    finish(path, 2)
    nas.rmdir()
    settings = Settings(_env_file=None, log_file=path)
    metrics = Metrics()
    with closing(Retention(settings, metrics.archive, Store(f"file://{nas}"))):
        failures = {"step": "ship"}
        get = metrics.registry.get_sample_value
        until(lambda: (get("log_consumer_failures_total", failures) or 0) >= 2, 30)
        nas.mkdir()
        until(lambda: len(names(nas)) == 6, 30)
        until(lambda: "uploading rotated files to file://" in caplog.text)
    assert caplog.text.count("cannot upload rotated files") == 1


def test_what_was_deleted_there_is_sent_again_before_it_is_deleted_here(
    path: Path, nas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOOK", 0.1)
    settings = Settings(_env_file=None, log_file=path, log_keep_files=1)
    found = finish(path, 1)
    with closing(Retention(settings, ArchiveMetrics(), Store(f"file://{nas}"))) as keeper:
        keeper.tend()
        sent = nas / found[0].path().name
        bytes_ = sent.read_bytes()
        sent.unlink()
        with closing(Archive(path, TOPIC, limits=RotationPolicy(bytes=2 * LINE))) as archive:
            archive.open(ID)
            archive.append([events(0, 3, 8)])
        until(lambda: len(rotated(path)) == 1, 30)
    assert sent.read_bytes() == bytes_


def test_another_ones_file_is_kept_and_ours_too_and_the_rest_goes_on(
    path: Path, nas: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = finish(path, 3)
    keep(path, nas.parent)  # packs, elsewhere
    theirs = nas / found[1].path().name
    theirs.write_bytes(bytes(found[1].path().stat().st_size))
    for _ in range(2):
        keep(path, nas, log_keep_files=1)
        assert rotated(path) == found[1:], "in order: what follows waits"
        assert set(theirs.read_bytes()) == {0}
        assert (nas / found[2].path().name).exists()
    assert f"has a {theirs.name} with other content" in caplog.text


def test_a_url_that_can_not_be_used_ends_the_consumer_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(SystemExit) as ended:
        consumer.main(["--archive-url", "az://container/x", "--metrics-port", "0"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "consumer.py: ARCHIVE_URL: cannot use az://container/x: "
        "Generic MicrosoftAzure error: Account must be specified\n",
    )


def archived(settings: Settings) -> int:
    """How many events the checkpoint accounts for."""
    checkpoint = Checkpoint.load(settings.log_file.with_name("logs.txt.checkpoint"))
    assert checkpoint
    partitions = checkpoint.topics[settings.kafka_topic].partitions
    return sum(known.next for known in partitions.values())


def test_consumers_and_store_fail_and_each_event_is_somewhere_once(
    settings: Settings,
    environment: dict[str, str],
    run_script: RunScript,
    seaweed: Seaweed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = seaweed.place(settings.kafka_topic)
    port = free_port()
    environment |= seaweed.variables() | {
        "ARCHIVE_URL": url,
        "LOG_MAX_BYTES": "20000",
        "LOG_KEEP_FILES": "1",
        "METRICS_PORT": str(port),
    }
    for name, text in seaweed.variables().items():
        monkeypatch.setenv(name, text)
    store = Store(url)
    sent = 0

    def emit(number: int) -> None:
        nonlocal sent
        values = [event(n) for n in range(sent, sent + number)]
        send(settings.kafka_bootstrap_servers, settings.kafka_topic, values)
        sent += number

    def rotated_there() -> int:
        return sum(not name.endswith(BESIDE) for name in store.sizes(""))

    def sent_at_least(number: int, runs: Process) -> bool:
        assert runs.running(), runs
        return rotated_there() >= number

    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    for _ in range(3):
        killed = run_script("consumer.py", constants=SOON)
        enough = rotated_there() + 2
        emit(2_000)
        until(partial(sent_at_least, enough, killed), 60)
        killed.signal(signal.SIGKILL)
        killed.wait()
    seaweed.stop()
    try:
        runs = run_script("consumer.py", constants=SOON)
        emit(3_000)
        runs.wait_for("cannot upload rotated files, keeping them: ", 60)
        until(lambda: len(rotated(settings.log_file)) > 5, 60)
        assert samples(port)["log_consumer_store_up"] == 0
    finally:
        seaweed.start()
        seaweed.wait_ready()
    until(lambda: len(rotated(settings.log_file)) == 1, 60, str(runs))
    assert samples(port)["log_consumer_store_up"] == 1
    assert runs.output().count("cannot upload rotated files") == 1
    seaweed.pause()
    try:
        emit(1_000)
        until(lambda: archived(settings) == sent, 60)
        runs.terminate()
        assert runs.wait(10) == 0, "a store that hangs does not hold it"
    finally:
        seaweed.resume()
        seaweed.wait_ready()
    here = {file.path().name: file.path() for file in rotated(settings.log_file)}
    folder = settings.log_file.parent / "back"
    folder.mkdir()
    there = store.sizes("")
    for name in there.keys() - here.keys():
        if not name.endswith(BESIDE):
            assert {name.removesuffix(".zst") + end for end in BESIDE} <= there.keys()
        store.get(name, folder / name)
    lines = settings.log_file.read_bytes().splitlines()
    for place in (folder, settings.log_file.parent):
        for file in rotated(place / settings.log_file.name):
            with file.open() as opened:
                lines += opened.read().splitlines()
    seen = Counter(json.loads(line)["message"] for line in lines)
    assert set(seen.values()) == {1}
    assert len(seen) == sent
    verified = run_script("verify.py")
    assert verified.wait(60) == 0, verified
