"""Where the archive continues a partition: a table of what it knows and what Kafka has."""

import pytest

from logpipeline.consumer.resume_point import ResumePoint, resume_point


@pytest.mark.parametrize(
    ("archived", "committed", "first", "end", "expected"),
    [
        # nobody has read it yet
        (None, None, 0, 0, ResumePoint(0)),
        (None, None, 0, 9, ResumePoint(0)),
        (None, None, 5, 9, ResumePoint(5)),  # retention is nobody's loss then
        # this archive has read it
        (3, None, 0, 9, ResumePoint(3)),
        (0, None, 0, 0, ResumePoint(0)),
        (9, None, 0, 9, ResumePoint(9)),
        # another host's archive has read further, or less far
        (None, 4, 0, 9, ResumePoint(4)),
        (3, 4, 0, 9, ResumePoint(4)),
        (4, 3, 0, 9, ResumePoint(4)),
        # Kafka deleted records before they were read
        (3, None, 5, 9, ResumePoint(5, deleted=range(3, 5))),
        (None, 3, 5, 9, ResumePoint(5, deleted=range(3, 5))),
        (2, 3, 5, 5, ResumePoint(5, deleted=range(3, 5))),
        # Kafka lost records that are archived
        (12, None, 0, 9, ResumePoint(9, lost=range(9, 12))),
        (3, 12, 0, 9, ResumePoint(9, lost=range(9, 12))),
        (12, None, 9, 9, ResumePoint(9, lost=range(9, 12))),
    ],
)
def test_it_goes_by_what_is_archived_and_what_kafka_has(
    archived: int | None, committed: int | None, first: int, end: int, expected: ResumePoint
) -> None:
    assert resume_point(archived, committed, first, end) == expected
