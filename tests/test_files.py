"""Files in a folder that others write to: what they put there is neither followed nor filled."""

import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.retention import Retention
from logpipeline.archive.rotated import rotated
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.archive.store import Store
from logpipeline.events.lines import Lines
from logpipeline.files import own_target, remove_drafts, replace_file
from logpipeline.kafka import topics
from logpipeline.producer.follow import Follow
from logpipeline.producer.tail import Tail, TailError
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.process import ROOT
from tests.support.records import event, events
from tests.support.topics import send
from tests.support.waiting import until
from tests.test_archive import ID, TOPIC, messages, numbered

PATIENCE = 60.0
SECRET = b"of somebody else\n"
# What may stand for a plain file of ours.
Trap = Callable[[Path], Path]


def link(path: Path) -> Path:
    """To a file, which it returns."""
    target = path.parent / "somebody else's"
    target.write_bytes(SECRET)
    path.symlink_to(target)
    return target


def dangling(path: Path) -> Path:
    """To where a file could be made."""
    target = path.parent / "not there"
    path.symlink_to(target)
    return target


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


TRAPS = pytest.mark.parametrize("trap", [link, dangling, pipe])
BESIDE = (".checkpoint", ".lock")
EXPLAINED = r"(is a symbolic link, which is not followed|is not a regular file): remove it"


def untouched(target: Path) -> bool:
    if target.is_fifo():
        return True
    return target.read_bytes() == SECRET if target.exists() else target.name == "not there"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.txt"


@pytest.fixture
def watchdog() -> Iterator[None]:
    """A test that hangs at a pipe that nobody writes to ends with a failure, not never."""
    timer = threading.Timer(30, lambda: os._exit(70))
    timer.start()
    yield
    timer.cancel()


@TRAPS
@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.usefixtures("watchdog")
def test_what_stands_where_a_file_of_the_archive_belongs_is_said(
    path: Path, trap: Trap, name: str
) -> None:
    target = trap(path.with_name(path.name + name))
    with closing(Archive(path, TOPIC)) as archive:
        with pytest.raises(OSError, match=f"logs.txt{re.escape(name)} {EXPLAINED}"):
            archive.open(ID)
        assert untouched(target)
        path.with_name(path.name + name).unlink()
        archive.open(ID)
        archive.append([events(0, 0, 2)])
    assert messages(path) == numbered(0, 1)


@TRAPS
@pytest.mark.usefixtures("watchdog")
def test_what_comes_in_the_place_of_logs_txt_is_said(path: Path, trap: Trap) -> None:
    with closing(Archive(path, TOPIC)) as archive:
        archive.open(ID)
        path.unlink()
        target = trap(path)
        with pytest.raises(OSError, match=f"logs.txt {EXPLAINED}"):
            archive.append([events(0, 0, 2)])
        assert untouched(target)
        path.unlink()
        archive.append([events(0, 0, 2)])
    assert messages(path) == numbered(0, 1)


@TRAPS
@pytest.mark.usefixtures("watchdog")
def test_a_draft_that_can_be_guessed_stops_nothing(path: Path, trap: Trap) -> None:
    target = trap(path.with_name("logs.txt.checkpoint.tmp"))
    with closing(Archive(path, TOPIC)) as archive:
        archive.open(ID)
        archive.append([events(0, 0, 2)])
    assert messages(path) == numbered(0, 1)
    assert target.is_fifo() or not target.exists() or target.read_bytes() == SECRET
    assert Checkpoint.load(path.with_name("logs.txt.checkpoint"))


def finished(path: Path, number: int = 2) -> None:
    """Rotated files of an event each."""
    size = len(events(0, 0, 1).lines[0]) + 1
    with closing(Archive(path, TOPIC, limits=RotationPolicy(bytes=size))) as archive:
        archive.open(ID)
        archive.append([events(0, 0, number + 1)])


def keep(path: Path, **settings: Any) -> None:
    """Let a keeper do once what there is to do."""
    with closing(
        Retention(Settings(_env_file=None, log_file=path, **settings), ArchiveMetrics())
    ) as keeper:
        keeper.tend()


@TRAPS
@pytest.mark.usefixtures("watchdog")
def test_the_keepers_lock_is_not_followed(path: Path, trap: Trap) -> None:
    finished(path)
    target = trap(path.with_name("logs.txt.keeper.lock"))
    with pytest.raises(OSError, match=f"logs.txt.keeper.lock {EXPLAINED}"):
        keep(path)
    assert untouched(target)
    path.with_name("logs.txt.keeper.lock").unlink()
    keep(path)
    assert all(file.path().suffix == ".zst" for file in rotated(path))


def test_a_link_among_rotated_files_is_neither_packed_nor_deleted(path: Path) -> None:
    finished(path)
    trap = path.with_name("logs-20200101T000000.000000Z.txt")
    target = link(trap)
    for name in ("logs-20300101T000000.000000Z.txt.zst.tmp", "logs.txt.zst.tmp"):
        path.with_name(name).symlink_to(target)
    keep(path, log_keep_files=1)
    assert trap.is_symlink()
    assert untouched(target)
    assert [file.path().suffix for file in rotated(path)] == [".txt", ".zst"]


def test_a_link_by_logrotates_name_is_not_cut(path: Path) -> None:
    """It has the inode of logs.txt, on another file system or after that was deleted."""
    with closing(Archive(path, TOPIC)) as archive:
        archive.open(ID)
        archive.append([events(0, 0, 2)])
        target = path.with_name("elsewhere")
        path.rename(target)
        with target.open("ab") as file:
            file.write(b"more than the checkpoint accounts for")
        before = target.read_bytes()
        path.with_name("logs.txt.1").symlink_to(target)
        archive.append([events(0, 2, 4)])
    assert target.read_bytes() == before
    assert messages(path) == numbered(2, 3)


def test_a_keeper_lets_the_files_of_other_logs_alone(path: Path) -> None:
    """Their names may begin as those of rotated files do."""
    finished(path)
    others = [
        path.with_name(name)
        for name in ("logs-1.txt.checkpoint", "logs-1.txt.zst.tmp", "logs-1.txt", "a-b.txt.zst.tmp")
    ]
    for other in others:
        other.write_bytes(SECRET)
    keep(path, log_keep_files=1)
    finished(path.with_name("*.txt"))
    keep(path.with_name("*.txt"), log_keep_files=1)
    assert all(other.read_bytes() == SECRET for other in others)


@pytest.mark.parametrize("name", ["*.txt", "logs[1].txt", 'it\'s "mine".txt', "events", ".hidden"])
def test_a_log_of_any_name_is_rotated_packed_and_cleared(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / ".." / name
    finished(path, 4)
    left = path.with_name(f"{path.stem}-20200101T000000.000000Z{path.suffix}.zst.{'0' * 16}.tmp")
    left.touch()
    keep(path, log_keep_files=3)
    files = rotated(path)
    assert [file.path().suffix for file in files] == [".zst"] * 3
    assert [file.path().exists() and file.sidecar.exists() for file in files] == [True] * 3
    assert not left.exists()
    with closing(Archive(path, TOPIC)) as archive:
        archive.open(ID)
        assert len(archive.tail(10**6).lines) == 4


def test_drafts_that_a_kill_left_are_gone_after_the_next_start(path: Path, tmp_path: Path) -> None:
    finished(path)
    state = tmp_path / "state.json"
    mine = [
        path.with_name(f"{name}.{'a' * 16}.tmp")
        for name in ("logs.txt.checkpoint", f"{rotated(path)[0].sidecar.name}", "state.json")
    ]
    others = [
        path.with_name(name)
        for name in (f"other.txt.checkpoint.{'a' * 16}.tmp", "logs.txt.checkpoint.backup.tmp")
    ]
    for left in (*mine, *others):
        left.touch()
    with closing(Archive(path, TOPIC)) as archive:
        archive.open(ID)
    Tail(tmp_path / "app.log", state, Lines()).close()
    assert not any(left.exists() for left in mine)
    assert all(other.exists() for other in others)


def test_a_draft_that_cant_be_removed_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / f"it.{'a' * 16}.tmp").mkdir()
    remove_drafts(tmp_path, lambda name: name == "it")
    replace_file(tmp_path / "it", b"")


@TRAPS
@pytest.mark.usefixtures("watchdog")
@pytest.mark.parametrize("name", ["state.json", "follow.lock"])
def test_a_follower_follows_no_link_for_its_position(tmp_path: Path, trap: Trap, name: str) -> None:
    target = trap(tmp_path / name)
    with pytest.raises((OSError, TailError), match=f"{re.escape(name)} {EXPLAINED}"):
        Tail(tmp_path / "app.log", tmp_path / "state.json", Lines())
    assert untouched(target)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_events_are_for_their_owner_and_group(path: Path, tmp_path: Path) -> None:
    finished(path)
    keep(path)
    replace_file(tmp_path / "state.json", b"{}")
    found = {each.name: mode(each) for each in tmp_path.iterdir()}
    beside = [".zst", ".checkpoint", ".index"]
    names = [name for file in rotated(path) for name in (file.plain.name + end for end in beside)]
    names += [path.name + end for end in ("", ".checkpoint", ".lock", ".keeper.lock")]
    assert found.keys() == {*names, "state.json"}
    assert set(found.values()) == {0o640}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("chosen", [0o600, 0o644, 0o664])
def test_the_mode_of_logs_txt_is_kept_and_that_of_all_that_comes_of_it(
    path: Path, chosen: int
) -> None:
    path.touch()
    path.chmod(chosen)
    finished(path)
    keep(path)
    made = [each for each in path.parent.iterdir() if each.suffix != ".lock"]
    ends = sorted(each.suffix for each in made)
    assert ends == [".checkpoint"] * 3 + [".index"] * 2 + [".txt"] + [".zst"] * 2
    assert {mode(each) for each in made} == {chosen}


@pytest.mark.usefixtures("umask")
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    replace_file(file, b"1")
    file.chmod(0o604)
    replace_file(file, b"2")
    assert (mode(file), file.read_bytes()) == (0o604, b"2")
    os.umask(0o077)
    replace_file(tmp_path / "other", b"1")
    assert mode(tmp_path / "other") == 0o600


def test_a_link_that_the_setting_names_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "target.txt"
    (tmp_path / "logs.txt").symlink_to(target)
    path = Settings(_env_file=None, log_file=tmp_path / "logs.txt").log_file
    assert path == target
    finished(path)
    assert (tmp_path / "logs.txt").read_bytes() == events(0, 2, 3).lines[0] + b"\n"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["logs.txt"]


def test_a_link_of_somebody_else_is_not_the_settings_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "logs.txt"
    path.symlink_to(tmp_path / "target")
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    else:
        os.lchown(path, 54_321, 54_321)
    with pytest.raises(ValueError, match="a symbolic link of another user"):
        own_target(path)


@pytest.mark.parametrize("target", ["/dev/full", "logs.txt", "/"])
def test_a_link_to_what_is_no_file_is_refused_in_one_line(
    run_script: RunScript, tmp_path: Path, target: str
) -> None:
    (tmp_path / "logs.txt").symlink_to(target)
    consumer = run_script("consumer.py", "--log-file", "logs.txt")
    assert consumer.wait() == 2
    assert consumer.output().startswith("consumer.py: LOG_FILE='logs.txt'")
    assert consumer.output().count("\n") == 1


def test_links_in_a_shared_folder_are_said_once_and_the_consumer_goes_on_without_them(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    path = settings.log_file
    target = tmp_path / "somebody else's"
    target.write_bytes(SECRET)
    traps = [
        path.with_name(path.name + end)
        for end in (".checkpoint", ".lock", ".keeper.lock", ".checkpoint.tmp")
    ]
    for trap in traps:
        trap.symlink_to(target)
    (path.parent / "logs-20200101T000000.000000Z.txt").touch()
    consumer = run_script("consumer.py")
    send(settings.kafka_bootstrap_servers, settings.kafka_topic, [event(n) for n in range(5)])
    consumer.wait_for("logs.txt.lock is a symbolic link, which is not followed", PATIENCE)
    consumer.wait_for("logs.txt.keeper.lock is a symbolic link, which is not followed", PATIENCE)
    traps[1].unlink()
    consumer.wait_for("logs.txt.checkpoint is a symbolic link, which is not followed", PATIENCE)
    for trap in traps[::2]:
        trap.unlink()
    until(lambda: path.exists() and len(path.read_bytes().splitlines()) == 5, PATIENCE)
    traps[2].unlink(missing_ok=True)
    consumer.wait_for("packing and deleting rotated files again", PATIENCE)
    consumer.terminate()
    assert consumer.wait() == 0, consumer
    assert target.read_bytes() == SECRET
    assert "Traceback" not in consumer.output()
    assert consumer.output().count("logs.txt.lock is a symbolic link") == 1


ODD = ['it\'s "mine"; $(x) `y` %41 #1', "[a-z]*?{1,2}", "naïve 日本 \\ & |", "-rf", "..x", "~"]


@pytest.mark.parametrize("name", ODD)
def test_every_path_setting_takes_any_name_and_a_way_up(
    run_script: RunScript, environment: dict[str, str], settings: Settings, name: str
) -> None:
    top = settings.log_file.parent
    folder = top / name
    folder.mkdir()
    up = Path(name) / ".." / name  # from where the scripts run
    store = (folder / "store").resolve()
    store.mkdir()
    (folder / "password").write_text("secret-pass\n")
    (folder / "rules.toml").write_text((ROOT / "alerts.toml").read_text())
    log = folder / f"{name}.log"
    log.write_text("one\ntwo\n")
    path = folder / f"{name}.txt"
    finished(path, 3)
    odd = {
        "LOG_FILE": str(up / f"{name}.txt"),
        "STATE_DIR": str(up / "state"),
        "ALERTS_FILE": str(up / "rules.toml"),
        "DASHBOARD_PASSWORD_FILE": str(up / "password"),
        "ARCHIVE_URL": store.as_uri().replace("~", "%7E"),
        "LOG_KEEP_FILES": "1",
    }
    env = environment | odd
    del env["DASHBOARD_PASSWORD"]
    producer = run_script("producer.py", f"--follow={up / log.name}", env=env)
    consumer = run_script("consumer.py", env=env)
    alerts = run_script("alerts.py", env=env)
    until(lambda: path.exists() and b"two" in path.read_bytes(), PATIENCE, str(consumer))
    until(lambda: len(list(store.iterdir())) == 9, PATIENCE, str(consumer))
    until(lambda: len(rotated(path)) == 1, PATIENCE, str(consumer))
    alerts.wait_for("watching", PATIENCE)
    for process in (producer, consumer, alerts):
        process.terminate()
        assert process.wait() == 0, process
        assert "Traceback" not in process.output()
    assert len(list((folder / "state").glob("*.json"))) == 1
    assert {each.name for each in folder.iterdir()} >= {path.name, "store", "state"}


def test_the_position_of_a_log_whose_name_is_as_long_as_can_be(
    tmp_path: Path, settings: Settings
) -> None:
    log = tmp_path / ("日" * 85)
    log.write_text("one\n")
    mine = settings.model_copy(update={"state_dir": tmp_path / "state"})
    with closing(Follow([str(log)], None, mine, Shutdown())):
        pass
    assert len(list((tmp_path / "state").glob("*.json"))) == 1


def test_what_is_sent_to_a_folder_has_the_mode_of_what_is_here(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    here = tmp_path / "logs-1.txt"
    for chosen in (0o600, 0o640):
        here.write_bytes(b"%o" % chosen)
        here.chmod(chosen)
        Store(f"file://{tmp_path}/store").put(here)
        there = tmp_path / "store" / here.name
        assert mode(there) == chosen
        there.unlink()
