"""The fuzzer itself: it finds what is planted, keeps it, and throws it again; and its corpus."""

import threading
import time
from collections.abc import Sequence
from mmap import PAGESIZE, mmap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz import __main__ as fuzz
from tests.fuzz import batches, reference, saved
from tests.fuzz.saved import Unreadable
from tests.fuzz.target import MIB, Target, hold, pure
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import judged
from tests.support.forked import completed_text

SERVERS = {"redis", "locked", "page", "socket", "endpoint"}  # targets that start programs
CORPUS = [
    pytest.param(target, given, id=f"{target.name}-{number}")
    for target in TARGETS
    if target.name not in SERVERS
    for number, given in enumerate(target.corpus)
]


INPUTS = st.binary(max_size=50)


def planted(
    check: Any,
    corpus: Sequence[Any] = (),
    inputs: st.SearchStrategy[Any] = INPUTS,
    **bounds: Any,
) -> Target:
    return Target("planted", "it is well", inputs, pure(check), corpus, **bounds)


def hunted(*targets: Target) -> dict[str, saved.Failure]:
    with fuzz.opened(targets) as hunts:
        fuzz.run(hunts, 0.0, seed=7)
        return {place: each for hunt in hunts for place, each in hunt.failures.items()}


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("target", "given"), CORPUS)
def test_what_was_harmful_once_is_not(target: Target, given: Any, tmp_path: Path) -> None:
    with target.open(tmp_path) as aim:
        judged(target, aim, given)


@pytest.mark.server
@pytest.mark.parametrize(
    "target", [pytest.param(each, id=each.name) for each in TARGETS if each.name in SERVERS]
)
def test_what_was_harmful_once_to_a_program_is_not(target: Target, tmp_path: Path) -> None:
    with fuzz.opened([target]) as [hunt]:
        hunt.corpus()
        assert {failure.words for failure in hunt.failures.values()} == set()
        assert hunt.examples >= len(target.corpus)


def test_a_fault_is_found_and_made_small() -> None:
    def check(given: bytes) -> None:
        hold(len(given) < 4, "four bytes are more than it can bear")

    [(place, failure)] = hunted(planted(check)).items()
    assert place.startswith("four bytes are more than it can bear at tests/test_fuzz.py:")
    assert failure.given == bytes(4)


def test_two_faults_of_one_target_are_told_apart() -> None:
    def check(given: bytes) -> None:
        hold(b"a" not in given, "no a")
        hold(b"b" not in given, "no b")

    found = hunted(planted(check, corpus=[b"xxa", b"xxb", b"xa", b"yyb"]))
    assert sorted(place[:4] for place in found) == ["no a", "no b"]


def test_cpu_time_is_watched() -> None:
    def check(given: bytes) -> None:
        began = time.thread_time()
        while given == b"slow" and time.thread_time() - began < 0.1:
            pass

    [place] = hunted(planted(check, corpus=[b"slow"], seconds=0.05))
    assert place.startswith("slow: # s of CPU time")


def test_an_input_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(given: bytes) -> None:
        while given == b"for ever":
            pass

    monkeypatch.setattr("tests.fuzz.watch.HANGS", 0.2)
    [place] = hunted(planted(check, corpus=[b"for ever"], seconds=0.05))
    assert place.startswith("slow: given up")


def test_memory_is_watched() -> None:
    def check(given: bytes) -> None:
        if given == b"bomb":  # not of a bytearray: that may reuse what earlier tests have freed
            with mmap(-1, 64 * MIB) as memory:
                memory[::PAGESIZE] = bytes(64 * MIB // PAGESIZE)

    [place] = hunted(planted(check, corpus=[b"bomb"], bytes=32 * MIB))
    assert place.startswith("large: # MiB more memory")


def test_what_only_prepares_or_compares_does_not_count() -> None:
    def spend() -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.1:
            pass

    def check(given: bytes) -> Any:
        return spend

    target = Target("planted", "it is well", st.just(b""), pure(check, lambda given: spend()),
                    [b""], seconds=0.05)  # fmt: skip
    assert hunted(target) == {}


def test_the_exit_status_and_the_report_say_what_broke(capsys: pytest.CaptureFixture[str]) -> None:
    def check(given: bytes) -> None:
        hold(given != b"bad", "it is bad")

    with fuzz.opened([planted(check, corpus=[b"bad"])]) as hunts:
        fuzz.run(hunts, 0.0, seed=7)
    assert fuzz.report(hunts) == fuzz.BROKEN
    [path] = Path(".local/fuzz").iterdir()
    assert saved.load(path) == ("planted", b"bad")
    said = capsys.readouterr().out
    assert f"make fuzz INPUT={path}" in said.replace(str(Path.cwd()) + "/", "")
    assert "promise: it is well" in said
    with fuzz.opened([planted(lambda given: None, corpus=[b"bad"])]) as hunts:
        fuzz.run(hunts, 0.0, seed=7)
    assert fuzz.report(hunts) == fuzz.KEPT
    assert "every promise was kept" in capsys.readouterr().out


def test_a_saved_input_is_thrown_again(capsys: pytest.CaptureFixture[str]) -> None:
    thrown: list[Any] = []
    target = planted(thrown.append)
    given = [("\ud800\x1b", b"\xff", None, 2**70, 1.5, True)]
    path = saved.Failure("planted", "somewhere", "bad\nvery \ud800", given).save()
    assert fuzz.again(path, {"planted": target}) == fuzz.KEPT
    assert thrown == [given]
    assert "kept: " in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "# lines\nimport os", "# lines\n(", "# nothing\n1"])
def test_a_file_that_is_no_input_is_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "input.txt"
    path.write_text(text)
    assert fuzz.again(path, {"lines": TARGETS[0]}) == fuzz.UNUSABLE
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(Unreadable):
        saved.load(tmp_path / "missing")


def test_every_input_can_be_saved() -> None:
    for target in TARGETS:
        for given in target.corpus:
            path = saved.Failure(target.name, "x", "y", given).save()
            assert saved.load(path) == (target.name, given)


def test_targets_have_names_of_their_own_that_fit_into_the_table() -> None:
    names = [target.name for target in TARGETS]
    assert len(set(names)) == len(names)
    assert all(len(target.name) < 10 and target.promise for target in TARGETS)


def test_make_fuzz_throws_a_saved_input(tmp_path: Path) -> None:
    path = saved.Failure("letters", "x", "y", [("source.topic", b"logs")]).save(tmp_path)
    done = completed_text("tests.fuzz", ["--input", str(path)], tmp_path, {})
    assert done.returncode == 0, done.stderr
    assert "kept: " in done.stdout


@pytest.mark.parametrize(
    ("value", "nesting"),
    [(b"[]", 1), (b'{"a":[1]}', 2), (b'"[[["', 0), (b'"\\"[["', 0), (b"[[][]]", 2), (b"]][", 0)],
)
def test_the_reference_counts_nesting_outside_strings(value: bytes, nesting: int) -> None:
    assert reference.nesting(value) == nesting


def test_deep_down_the_stack_is_nearly_full() -> None:
    def sink(frames: int) -> int:
        return frames if frames == 0 else sink(frames - 1)

    assert reference.deep_down(lambda: sink(reference.ROOM // 2)) == 0
    with pytest.raises(RecursionError):
        reference.deep_down(lambda: sink(reference.ROOM * 2))


@pytest.mark.parametrize("compression", batches.CODECS)
def test_batches_are_those_of_kafka_python(compression: int) -> None:
    from kafka.record import MemoryRecords

    given = [batches.Record(b"k", b"v" * 300, [(b"h", None)]), batches.Record(None, None)]
    records = MemoryRecords(batches.batch(given, compression, 5))
    found = list(records.next_batch())
    assert [(each.offset, each.key, each.value) for each in found] == [
        (5, b"k", b"v" * 300),
        (6, None, None),
    ]
    assert found[0].headers == [("h", None)]


def test_a_turn_ends_in_time() -> None:
    with fuzz.opened([planted(lambda given: None)]) as [hunt]:
        hunt.longest = 0.0
        hunt.turn(7, 100)
        assert hunt.examples <= 1


def test_a_turn_ends_also_where_no_input_is_made() -> None:
    made: list[object] = []
    slow = st.builds(lambda: made.append(threading.Event().wait(20)))
    with fuzz.opened([planted(lambda given: None, inputs=slow)]) as [hunt]:
        hunt.longest = hunt.shrinking = 0.05
        hunt.turn(7, 100)
    assert not made


def test_what_broke_is_kept_at_once() -> None:
    def check(given: bytes) -> None:
        hold(given != b"bad", "it is bad")

    with fuzz.opened([planted(check, corpus=[b"bad"])]) as [hunt]:
        hunt.corpus()
        [path] = saved.FOLDER.iterdir()
    assert saved.load(path)[1] == b"bad"
