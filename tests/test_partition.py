"""What a checkpoint knows of a partition of which Kafka loses records and reuses their offsets."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import EPOCHS, Checkpoint, Partition
from logpipeline.archive.rotated import rotated
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.events.slices import Place, Slice
from logpipeline.verify.files import ArchiveFiles, File
from tests.support.records import events


def read(*spans: tuple[int, int, int]) -> Partition:
    """A partition from offset 0 with records (from, to, leader epoch)."""
    partition = Partition(0, 0)
    for start, end, epoch in spans:
        partition.take(start, end, epoch)
    return partition


def test_epochs_are_noted_where_they_begin_and_the_newest_are_kept() -> None:
    partition = read((0, 10, 3), (10, 20, 3), (20, 50, 5))
    assert partition.epochs == [(3, 0), (5, 20)]
    assert partition.place == Place(50, 5)
    many = read(*((n, n + 1, n) for n in range(100)))
    assert many.epochs == [(n, n) for n in range(100 - EPOCHS, 100)]


def test_records_without_an_epoch_leave_it_unknown() -> None:
    partition = read((0, 10, 3), (10, 20, -1))
    assert partition.place == Place(20, -1)
    assert not partition.contradicts(0, 10, 7)


def test_a_gap_leaves_the_epoch_unknown_unless_it_is_given() -> None:
    partition = read((0, 10, 3))
    partition.advance(20)
    assert (partition.gaps, partition.place) == ([(10, 20)], Place(20, -1))
    partition.advance(30, 5)
    assert (partition.gaps, partition.place) == ([(10, 20), (20, 30)], Place(30, 5))


def test_what_kafka_has_lost_stays_accounted_for() -> None:
    partition = read((0, 20, 1), (20, 50, 2))
    partition.advance(30)
    assert (partition.place, partition.lost) == (Place(30, 2), [(30, 50)])
    partition.take(30, 60, 4)
    partition.advance(10)
    assert (partition.place, partition.lost) == (Place(10, 1), [(30, 50), (10, 60)])
    assert partition.parted == [(30, 2), (10, 4)]
    assert partition.epochs == [(1, 0)]


def test_a_gap_among_the_lost_is_none_of_the_lost_nor_of_those_that_follow() -> None:
    partition = read((0, 20, 1))
    partition.advance(30)
    partition.take(30, 50, 2)
    partition.advance(25)
    assert partition.gaps == [(20, 25)]
    assert partition.lost == [(30, 50)]
    partition.advance(10)
    assert partition.gaps == []
    assert partition.lost == [(30, 50), (10, 20)]


def test_a_loss_of_what_is_in_older_files_goes_back_before_this_one() -> None:
    partition = Partition(40, 40)
    partition.take(40, 50, 2)
    partition.advance(20)
    assert (partition.first, partition.next, partition.lost) == (20, 20, [(40, 50)])


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        (Place(15, 1), 15),
        (Place(50, 2), 30),
        (Place(25, 2), 25),
        (Place(60, 4), 40),
        (Place(40, 4), 40),
        (Place(70, 5), 70),
        (Place(50, -1), 50),
    ],
)
def test_a_reader_of_an_older_generation_goes_back_to_where_it_parted(
    place: Place, kept: int
) -> None:
    """At 30 that up to epoch 2 was lost, at 40 that up to epoch 4."""
    partition = Partition(0, 80, parted=[(30, 2), (40, 4)], epochs=[(5, 40)])
    assert partition.kept(place) == kept


def test_records_of_another_history_are_known_by_their_epoch() -> None:
    partition = read((0, 20, 1), (20, 50, 2))
    assert partition.contradicts(30, 60, 4)  # reused offsets
    assert partition.contradicts(50, 60, 1)  # those of a consumer that woke up late
    assert not partition.contradicts(50, 60, 4)
    assert not partition.contradicts(40, 60, 2)
    assert not partition.contradicts(0, 20, 1)


@pytest.mark.parametrize("parts", [0, 17, 30, 49])
def test_all_files_together_have_what_kafka_lost_twice(tmp_path: Path, parts: int) -> None:
    """Whichever of the files have the lost records, and those of the gap among them."""

    def batch(start: int, end: int, epoch: int) -> Slice:
        return replace(events(0, start, end), epoch=epoch)

    limits = RotationPolicy(bytes=600)
    path = tmp_path / "logs.txt"
    with closing(Archive(path, "logs", limits=limits)) as archive:
        archive.open("id")
        archive.append([batch(0, 35, 1)])
        archive.begin(0, 40, 1)
        archive.append([batch(40, 50, 2)])
        archive.begin(0, parts)
        archive.append([batch(parts, 80, 4)])
    checkpoint = Checkpoint.load(path.with_name("logs.txt.checkpoint"))
    assert checkpoint
    newest = File("logs.txt", checkpoint.length, lambda: path.open("rb"))
    assert len(rotated(path)) > 5
    files = ArchiveFiles.of(rotated(path), newest, checkpoint)
    known = files.checkpoint.topics["logs"].partitions[0]
    assert (known.first, known.next, files.holes) == (0, 80, [])
    assert known.gaps == ([(35, 40)] if parts > 35 else [])
    lost = {offset for a, b in known.lost for offset in range(a, b)}
    assert lost == {*range(parts, 50)} - {*range(35, 40)}
    assert sum(b - a for a, b in known.lost) == len(lost)
