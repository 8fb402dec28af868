"""aiokafka's decoder against our own, where both can decode a batch."""

import random
from itertools import pairwise
from typing import Any

import pytest
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecordsBuilder

from logpipeline.events.columns import Columns
from logpipeline.kafka import native, payload
from logpipeline.kafka.payload import Payload


def a_batch(chance: random.Random, count: int, gaps: bool = False) -> DefaultRecordBatch:
    builder = MemoryRecordsBuilder(2, chance.choice((0, 1, 2, 3, 4)), 2**30)
    for _ in range(count):
        key, value = (
            chance.choice((None, chance.randbytes(chance.choice((0, 5, 63, 64, 200)))))
            for _ in range(2)
        )
        headers = [("name", chance.choice((b"", b"value", None)))] * chance.choice((0, 0, 1, 3))
        builder.append(chance.randrange(10**12), key, value, headers)
        if gaps:
            builder.skip(chance.choice((0, 0, 1, 1_000)))
    builder.close()
    return DefaultRecordBatch(memoryview(bytes(builder.buffer())))


def decoded(batch: DefaultRecordBatch, by: Any, monkeypatch: pytest.MonkeyPatch) -> list[Columns]:
    with monkeypatch.context() as patched:
        patched.setattr(payload, "decode_all", by)
        return list(Payload(batch))


def test_the_version_that_is_installed_is_the_one_that_is_known() -> None:
    """Otherwise nothing here, and no consumer, would use it."""
    assert native._decoder() is not None


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_both_decoders_find_the_same(
    seed: int, gaps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    batch = a_batch(chance, chance.randrange(1, 300), gaps)
    used: list[Columns | None] = []

    def spied(*arguments: Any) -> Columns | None:
        used.append(native.decode_all(*arguments))
        return used[-1]

    ours = decoded(batch, lambda *_: None, monkeypatch)
    theirs = decoded(batch, spied, monkeypatch)
    assert Columns.of(ours) == Columns.of(theirs)
    assert [found is not None for found in used] == [True]
    assert all(earlier < later for earlier, later in pairwise(Columns.of(theirs).offsets))


@pytest.mark.parametrize("seed", range(300))
def test_damaged_batches_are_decoded_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes changed, missing or added, as another producer's fault or malice leaves them."""
    chance = random.Random(seed)
    builder = MemoryRecordsBuilder(2, 0, 2**30)
    for number in range(20):
        builder.append(number, b"key", chance.randbytes(chance.randrange(100)), [])
    builder.close()
    data = bytearray(builder.buffer())
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(native.HEADER, len(data))
        change = chance.choice(("set", "cut", "add"))
        if change == "set":
            data[at] = chance.randrange(256)
        elif change == "cut":
            del data[at : at + chance.randrange(1, 30)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 30))
    batch = DefaultRecordBatch(memoryview(bytes(data)))
    ours = Columns.of(decoded(batch, lambda *_: None, monkeypatch))
    theirs = Columns.of(decoded(batch, native.decode_all, monkeypatch))
    assert ours == theirs


@pytest.mark.parametrize("size", [2**31 - 1, 2**62, 2**63 - 1])
def test_an_absurd_size_is_not_believed(size: int) -> None:
    """It would be added to a position in C, where it may wrap."""
    from kafka.record.util import encode_varint

    for place in range(3):  # of the record, its key, its value
        record = bytearray()
        numbers = [size if place == 0 else 20, 0, 0, 0, size if place == 1 else 0]
        for number in [*numbers, size if place == 2 else 0, 0]:
            encode_varint(number, record.append)
        builder = MemoryRecordsBuilder(2, 0, 2**30)
        builder.append(0, b"", b"", [])
        builder.close()
        batch = DefaultRecordBatch(memoryview(bytes(builder.buffer())))
        assert native.decode_all(batch, bytes(record)) is None
