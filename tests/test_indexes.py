"""verify.py compares the indexes of rotated files with the files."""

from pathlib import Path
from random import Random

import msgspec
import pytest

from logpipeline.archive.index import index_path, save_index
from logpipeline.archive.indexing import made_of
from logpipeline.archive.rotated import rotated
from logpipeline.verify.findings import Findings
from logpipeline.verify.indexes import audit_indexes
from tests.support import haystack


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Five files of every kind, of which one has a torn index, and two have none."""
    return haystack.archive(tmp_path, haystack.lines(Random(3), 200), 6)


def test_right_indexes_agree_and_a_torn_one_is_noted(log_file: Path) -> None:
    findings = Findings()
    audit_indexes(log_file, findings)
    assert not findings.counts
    assert "1 indexes cannot be used" in findings.notes[0]


def test_an_index_that_would_hide_events_is_found(log_file: Path) -> None:
    file = rotated(log_file)[0]
    table, bitmaps = made_of(file, with_bitmaps=True)
    block = msgspec.structs.replace(table.blocks[0], last=table.blocks[0].first)
    wrong = msgspec.structs.replace(table, blocks=[block, *table.blocks[1:]])
    save_index(index_path(file), wrong, bitmaps, None)
    findings = Findings()
    audit_indexes(log_file, findings)
    assert dict(findings.counts) == {"index differs from its file": 1}
