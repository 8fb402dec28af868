"""Whose a commit is, by what Kafka keeps of it."""

import pytest
from kafka import OffsetAndMetadata

from logpipeline.kafka.commit import Commit


def test_a_commit_comes_back_from_kafka_as_it_was_made() -> None:
    commit = Commit(7, "archive", "topic", 3)
    assert Commit.of(commit.for_kafka()) == commit


@pytest.mark.parametrize(
    ("metadata", "archive", "is_of"),
    [
        ("archive topic", "archive", True),
        ("archive earlier", "archive", False),
        ("archive", "archive", True),  # of an older version
        ("", "", True),  # of kafka-consumer-groups.sh
        (None, "", True),
    ],
)
def test_whose_it_is(metadata: str | None, archive: str, is_of: bool) -> None:
    commit = Commit.of(OffsetAndMetadata(7, metadata, -1))
    assert commit.epoch == -1
    assert (commit.offset, commit.archive, commit.is_of("topic")) == (7, archive, is_of)
