"""Where the archive continues a partition: a table of what it knows and what Kafka has."""

import pytest

from logpipeline.consumer.resume_point import ResumePoint, parting, resume_point
from logpipeline.kafka.epoch_ends import EpochEnd


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
        (12, None, 0, 9, ResumePoint(9, lost=range(9, 12), certain=False)),
        (3, 12, 0, 9, ResumePoint(9, lost=range(9, 12), certain=False)),
        (12, None, 9, 9, ResumePoint(9, lost=range(9, 12), certain=False)),
    ],
)
def test_it_goes_by_what_is_archived_and_what_kafka_has(
    archived: int | None, committed: int | None, first: int, end: int, expected: ResumePoint
) -> None:
    assert resume_point(archived, committed, first, end) == expected


@pytest.mark.parametrize(
    ("archived", "committed", "first", "end", "parts", "expected"),
    [
        # Kafka has all that is archived, whatever its end is for a moment
        (50, None, 0, 120, (50, None), ResumePoint(50)),
        (50, None, 0, 40, (50, None), ResumePoint(50)),
        # it has lost some, and has others at their offsets
        (50, None, 0, 120, (20, None), ResumePoint(20, lost=range(20, 50))),
        (50, None, 0, 20, (20, None), ResumePoint(20, lost=range(20, 50))),
        (50, None, 30, 120, (20, None), ResumePoint(30, range(20, 30), range(20, 50))),
        # another host has read the new ones, or those that were lost
        (50, 120, 0, 120, (20, 120), ResumePoint(120, lost=range(20, 50))),
        (20, 50, 0, 120, (20, 20), ResumePoint(20, lost=range(20, 50))),
        (None, 50, 0, 120, (None, 20), ResumePoint(20, lost=range(20, 50))),
    ],
)
def test_it_resumes_where_kafkas_history_parts(
    archived: int | None,
    committed: int | None,
    first: int,
    end: int,
    parts: tuple[int | None, int | None],
    expected: ResumePoint,
) -> None:
    assert resume_point(archived, committed, first, end, *parts) == expected


def kafka(end: int, *epochs: tuple[int, int]) -> dict[int, EpochEnd]:
    """What a broker answers for each epoch, whose log ends at `end`, and has these epochs, each
    from its first offset."""
    answers = {}
    for asked in range(epochs[-1][0] + 1):
        after = next((start for epoch, start in epochs if epoch > asked), end)
        known = max((epoch for epoch, _ in epochs if epoch <= asked), default=asked)
        answers[asked] = EpochEnd(known, after)
    return answers


@pytest.mark.parametrize(
    ("epochs", "answers", "expected"),
    [
        # nothing was lost: the same leader, new ones, and after retention
        ([(0, 0)], kafka(50, (0, 0)), 50),
        ([(0, 0)], kafka(120, (0, 0), (2, 50)), 50),
        ([(0, 0), (2, 20)], kafka(120, (0, 0), (2, 20), (4, 90)), 50),
        ([(0, 0)], kafka(120, (4, 50)), 50),
        # the end of the last epoch, of all of it, and of all that there was
        ([(0, 0)], kafka(120, (0, 0), (2, 40)), 40),
        ([(0, 0), (2, 20)], kafka(120, (0, 0), (4, 20)), 20),
        ([(0, 0), (2, 20)], kafka(120, (0, 0), (4, 10)), 10),
        ([(0, 0), (2, 20)], kafka(120, (4, 0)), 0),
        ([(0, 0), (2, 20), (3, 40)], kafka(30, (0, 0), (2, 20)), 30),
        # a leader that had more of an old epoch than was ever committed
        ([(0, 0), (2, 20)], kafka(120, (0, 0), (4, 35)), 20),
        # and one with epochs in between that are not the archive's
        ([(0, 0), (3, 20)], kafka(120, (0, 0), (2, 15), (4, 30)), 15),
        # an older copy of everything: an epoch is used once more, and begins elsewhere
        ([(0, 0), (2, 30)], kafka(120, (0, 0), (2, 20)), 20),
        ([(0, 0), (2, 30), (4, 40)], kafka(120, (0, 0), (2, 20), (4, 70)), 20),
        # what cannot be known
        ([], kafka(120, (0, 0)), None),
        ([(0, 0)], {}, None),
    ],
)
def test_histories_part_where_an_epoch_ends_earlier_or_is_missing(
    epochs: list[tuple[int, int]], answers: dict[int, EpochEnd], expected: int | None
) -> None:
    """Of an archive of 50 records."""
    newest = max(answers, default=0)
    assert parting(50, epochs, lambda epoch: answers.get(min(epoch, newest))) == expected
