"""A program starts fast: it imports what it uses, and nothing that takes long and is not used."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from logpipeline.archive.indexing import index
from logpipeline.archive.packing import pack
from logpipeline.archive.rotated import RotatedFile
from tests.support.forked import completed
from tests.support.process import ROOT
from tests.support.records import event

# What each of these takes is 10 ms or more of a start that takes 140 ms, or 500 ms.
SETTINGS = {"pydantic_settings", "dotenv"}
OF_OTHERS = {"asyncio", "kafka", "redis", "prometheus_client", "apprise", "uvicorn", "duckdb"}
OF_RARE_USES = {"numpy", "obstore", "tqdm", "multiprocessing", "concurrent.futures.process"}
NOT_OF_FIND = SETTINGS | OF_OTHERS | OF_RARE_USES
MAIN = """
import sys
import find
for line in sys.stdin:
    assert find.main(eval(line)) == 0, line
sys.stdout.flush()
print(*sys.modules, file=sys.stderr)
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """One that is indexed, with bitmaps, one that is packed in one frame, and logs.txt."""
    lines = [event(n, trace_id=TRACE if n == 7 else f"{n:032x}") + b"\n" for n in range(100)]
    files = [
        RotatedFile(stamp, tmp_path / f"logs-{stamp}.txt")
        for stamp in ("20260921T000000.000000Z", "20260922T000000.000000Z")
    ]
    files[0].plain.write_bytes(b"".join(lines[:50]))
    pack(files[0].plain, files[0].packed(".zst"), threading.Event())
    files[0].plain.unlink()
    index(files[0], small=0)
    files[1].packed(".zst").write_bytes(zstandard.compress(b"".join(lines[50:80])))
    log_file = tmp_path / "logs.txt"
    log_file.write_bytes(b"".join(lines[80:]))
    return log_file


def imported(folder: Path, searches: Sequence[Sequence[str]]) -> set[str]:
    """All that a process has imported that makes these searches."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input="".join(f"{search}\n" for search in searches),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {*done.stderr.split()}


def test_find_imports_nothing_that_a_search_does_not_use(log_file: Path) -> None:
    modules = imported(
        log_file.parent,
        [
            [TRACE],
            ["--where", f"trace_id={TRACE}", "--context", "2"],
            ["event", "--newest", "3"],
            ["--level", "INFO", "--count"],
        ],
    )
    assert "pydantic" in modules  # else it looks at something else
    assert not NOT_OF_FIND & modules


def test_no_program_reads_its_settings_by_a_library_that_takes_long(tmp_path: Path) -> None:
    code = "import sys; print(*sys.modules)"  # in a process that has imported all programs
    modules = completed("-c", [code], tmp_path, {**os.environ}).stdout.decode().split()
    assert {"consumer", "dashboard", "producer"} <= {*modules}
    assert "pydantic_settings" not in modules
