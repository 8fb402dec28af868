"""The suite itself: what it leaves out, and what its workers share."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.process import ROOT
from tests.support.sharing import shared
from tests.support.waiting import until

GROUPED = """\
import os

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(9))
def test_in_a_group(number):
    with open("workers", "a") as workers:
        print(os.environ["PYTEST_XDIST_WORKER"], file=workers)
"""


@pytest.mark.parametrize(
    ("ci", "status", "verdict"), [("", 0, "1 skipped"), ("true", 1, "1 error")]
)
def test_what_needs_a_missing_program_is_left_out_and_fails_in_ci(
    ci: str, status: int, verdict: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--servers=local"]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'inner'}", "tests/test_recipes.py", "-k", "kcat"],
        env=os.environ | {"PATH": str(tmp_path), "CI": ci},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert verdict in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tests that need ")]
    assert "kcat" in line.partition(";")[0]
    assert "apt-get install" in line
    assert done.stdout.index(line) < done.stdout.index("collected")


def test_tests_of_a_group_are_run_by_one_worker(tmp_path: Path) -> None:
    """pytest-xdist 3.8 groups by a private name of pytest's, which pytest 9.2 has no more."""
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_group.py").write_text(GROUPED)
    workers = ["-p", "xdist", "--numprocesses=2", "--dist=loadgroup", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *workers, f"--basetemp={tmp_path / 'inner'}"]
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set((tmp_path / "workers").read_text().split())) == 1


def test_a_shared_server_is_started_once_and_stopped_when_the_last_has_left(tmp_path: Path) -> None:
    did: list[str] = []

    @contextmanager
    def start() -> Iterator[str]:
        did.append("start")
        yield f"address {did.count('start')}"
        did.append("stop")

    def use(leave: threading.Event) -> None:
        with shared(tmp_path, "server", start) as address:
            did.append(address)
            leave.wait(20)

    first, second = threading.Event(), threading.Event()
    threads = [threading.Thread(target=use, args=(first,))]
    threads[0].start()
    until(lambda: did == ["start", "address 1"])
    threads.append(threading.Thread(target=use, args=(second,)))
    threads[1].start()
    until(lambda: did == ["start", "address 1", "address 1"])
    first.set()
    threads[0].join(0.2)
    assert threads[0].is_alive(), "it stops what another uses"
    second.set()
    for thread in threads:
        thread.join(20)
    assert did == ["start", "address 1", "address 1", "stop"]
    with shared(tmp_path, "server", start) as address:
        assert address == "address 2"
