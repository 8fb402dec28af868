"""The batches that we make against those of kafka-python's builder, byte for byte."""

import itertools
import random

import pytest
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from logpipeline.kafka import outgoing
from logpipeline.kafka.encoding import COMMON, OVERHEAD, PIECE, VARINT, Pair
from logpipeline.kafka.outgoing import OutgoingBatch

AT = TopicPartition("topic", 0)
LZ4 = 3
LARGE = 2**30
# Where the varint of a size or of a place becomes longer, and where it is not kept.
EDGES = (0, 1, 62, 63, 64, 65, 127, 128, 8_180, 8_191, 8_192, COMMON - 1, COMMON, 100_000)


class Times:
    """Stands for `time`: each call has the next of these milliseconds."""

    def __init__(self, milliseconds: list[int]) -> None:
        self._left = iter(milliseconds)

    def time(self) -> float:
        return next(self._left) / 1000


def pairs(chance: random.Random) -> list[Pair]:
    def text(sizes: tuple[int, ...]) -> bytes:
        size = chance.choice(sizes) if chance.random() < 0.3 else chance.randrange(200)
        return chance.randbytes(size) if chance.random() < 0.5 else bytes(size)

    return [(text(EDGES[:6]), text(EDGES)) for _ in range(chance.randrange(1, 40))]


@pytest.mark.parametrize("compression", [0, 2, LZ4, 4])  # gzip's bytes have the time
@pytest.mark.parametrize("seed", range(30))
def test_random_batches_have_the_librarys_bytes(
    compression: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"{compression} {seed}")
    calls = [pairs(chance) for _ in range(chance.randrange(1, 6))]
    # The clock may also be set back, far or not at all.
    times = [1_700_000_000_000 + chance.choice((0, 1, -1, 500, -(10**9), 10**11)) for _ in calls]
    monkeypatch.setattr(outgoing, "time", Times(times))
    state = (chance.randrange(2**62), chance.randrange(2**15), chance.randrange(2**31), False)
    ours = OutgoingBatch(AT, compression, LARGE).records
    theirs = MemoryRecordsBuilder(2, compression, LARGE)
    for call, milliseconds in zip(calls, times, strict=True):
        ours.add([*itertools.chain(*call)], 0)
        for key, value in call:
            assert theirs.append(milliseconds, key, value)
    for records in (ours, theirs):
        records.set_producer_state(*state)
        records.close()
    assert ours.buffer() == theirs.buffer()
    assert ours.next_offset() == theirs.next_offset()
    for name in ("producer_id", "producer_epoch", "base_sequence"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_batch_of_several_pieces_has_the_librarys_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose times get longer and shorter within a piece, and at its end."""
    counts = [PIECE - 1, 1, 30, PIECE, 2 * PIECE + 1, 7]
    times = [1_000_000 + since for since in (0, 63, 64, 8_191, 8_192, -1)]
    monkeypatch.setattr(outgoing, "time", Times(times))
    ours, theirs = OutgoingBatch(AT, 0, LARGE).records, MemoryRecordsBuilder(2, 0, LARGE)
    for count, milliseconds in zip(counts, times, strict=True):
        call = [(b"key %d" % (n % 3), bytes(n % 200)) for n in range(count)]
        ours.add([*itertools.chain(*call)], 0)
        for key, value in call:
            assert theirs.append(milliseconds, key, value)
    for records in (ours, theirs):
        records.set_producer_state(1, 2, 3, False)
        records.close()
    assert ours.buffer() == theirs.buffer()


def test_a_batch_of_more_records_than_common_numbers_has_the_librarys_bytes() -> None:
    many = [(b"key", b"%d" % number) for number in range(COMMON + 5)]
    ours = OutgoingBatch(AT, LZ4, LARGE).records
    ours.add([*itertools.chain(*many)], 0)
    ours.close()
    [batch] = MemoryRecords(bytes(ours.buffer()))
    assert [(record.offset, record.key, record.value) for record in batch] == [
        (number, *pair) for number, pair in enumerate(many)
    ]
    assert len(VARINT) == COMMON


@pytest.mark.parametrize("size", EDGES)
def test_a_record_never_takes_more_than_was_reckoned(size: int) -> None:
    for key, value in itertools.product((b"", bytes(size)), repeat=2):
        records = OutgoingBatch(AT, 0, LARGE).records
        before = LARGE - records.room()
        reckoned = before + len(key) + len(value) + OVERHEAD
        records.add([key, value], len(key) + len(value) + OVERHEAD)
        assert LARGE - records.room() == reckoned
        records.close()
        assert len(records.buffer()) <= reckoned


def test_a_sealed_batch_gets_its_producer_and_sequence_later() -> None:
    """As the library does when it sends the batch, which may be long after it was full."""
    buffers = []
    for sealed in (True, False):
        records = OutgoingBatch(AT, LZ4, LARGE).records
        records.add([b"key", b"value" * 100] * 50, 30_000)
        records._builder._first_timestamp = records._builder._max_timestamp = 0
        assert not records.is_full()
        if sealed:
            builder = records.fill_up()
            assert builder
            builder.seal()
            assert records.is_full()
            assert records.room() == 0
            assert records.size_in_bytes() < 1_000  # what a request is filled by
        records.set_producer_state(7, 1, 99, False)
        records.close()
        assert records.is_full()
        buffers.append(records.buffer())
    assert buffers[0] == buffers[1]


def test_the_library_finds_all_that_it_asks_of_its_own_batches() -> None:
    """None of ours is missing what an update may use: its attributes are those of the library's."""
    theirs = ProducerBatch(AT, MemoryRecordsBuilder(2, LZ4, LARGE), now=0.0)
    ours = OutgoingBatch(AT, LZ4, LARGE)
    assert {*vars(theirs)} - {*vars(ours)} == {"_record_futures"}
    assert ours.split is None
