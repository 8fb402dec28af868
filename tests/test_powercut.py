"""make powercut: it finds nothing in the code as it is, and each step that is left out of it."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import pytest

from logpipeline.archive import checkpoint, log_file, packing, slots, store
from logpipeline.archive.archive import Archive
from logpipeline.archive.log_file import LogFile
from tests.powercut.states import Run, folder_in_memory

FEW = 400  # states, within which each fault must show

Mutation = Callable[[pytest.MonkeyPatch], None]


def without(module: Any, name: str, mutate: pytest.MonkeyPatch) -> None:
    """Leave out the module's calls of a function."""
    mutate.setattr(module, name, lambda *_: None)


def checkpoint_before_its_data(mutate: pytest.MonkeyPatch) -> None:
    """Save first, then append."""
    append, save, waiting = LogFile.append, Archive._save, list[bytes]()

    def save_first(archive: Archive, *arguments: Any) -> None:
        save(archive, *arguments)
        while waiting:
            append(archive._file, waiting.pop())

    mutate.setattr(LogFile, "append", lambda _, data: waiting.append(data))
    mutate.setattr(Archive, "_save", save_first)


MUTATIONS: dict[str, Mutation] = {
    "no sync of logs.txt": partial(without, log_file, "sync_data"),
    "no sync of the checkpoint": partial(without, slots, "sync_data"),
    "no sync of the folder of a new logs.txt": partial(without, log_file, "sync"),
    "no sync of the folder of a rotated checkpoint": partial(without, checkpoint, "sync"),
    "no sync of the folder of a new checkpoint": partial(without, slots, "sync"),
    "no sync of the folder of a packed file": partial(without, packing, "sync"),
    "no sync of the store's folder": partial(without, store, "sync"),
    "the checkpoint before its data": checkpoint_before_its_data,
}


def first_problem(seed: int, states: int = FEW) -> str:
    """Of so many states; "" if there is none."""
    with folder_in_memory() as folder:
        verdicts = islice(Run(folder, seed).verdicts(), states)
        return next((str(verdict) for verdict in verdicts if verdict.problem), "")


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_step_that_is_left_out_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[name](monkeypatch)
    assert first_problem(1)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_torn(seed: int) -> None:
    assert not first_problem(seed)
