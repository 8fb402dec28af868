"""Letters: the headers of records in the dead-letter topic, which others can write."""

from typing import Any

from hypothesis import strategies as st
from kafka import TopicPartition

from logpipeline.archive.checkpoint import Partition
from logpipeline.kafka.topic_reader import TopicRecord
from logpipeline.replay import letters
from logpipeline.verify.letters import DeadLetterIndex
from tests.fuzz.hostile import plain, some_bytes
from tests.fuzz.target import Target, hold, pure

SPANS = {TopicPartition("logs", 0): (0, 1_000)}
HEADERS = (
    *("source.topic", "source.partition", "source.offset", "source.topic_id"),
    *("source.leader_epoch", "error"),
)
WHOLE = [
    ("source.topic", b"logs"),
    ("source.partition", b"0"),
    ("source.offset", b"7"),
    ("source.topic_id", b"id"),
    ("source.leader_epoch", b"3"),
]

given_values = (
    st.none() | some_bytes | plain | st.sampled_from([b"logs", b"0", b"-1", b"9" * 5_000])
)
headers = st.lists(st.tuples(st.sampled_from(HEADERS) | st.text(max_size=3), given_values))


def marked(given: Any) -> None:
    """Look where a letter says that it is from: for verify.py, and for replay.py."""
    bits = DeadLetterIndex.__new__(DeadLetterIndex)
    bits._spans, bits._ids, bits.doubled = SPANS, {"logs": "id"}, 0
    bits._known = {at: Partition(*span, parted=[(5, 2)]) for at, span in SPANS.items()}
    bits._marks = {at: bytearray((end - start) // 8 + 1) for at, (start, end) in SPANS.items()}
    bits._mark(list(given))
    record = TopicRecord("logs.dead-letter", 0, 3, 1_700_000_000.0, None, b"{}", list(given))
    original = letters._original(record, "id")
    hold(len(original.mark) < 1_000, "a mark that is long")


TARGETS = (
    Target(
        "letters",
        "whatever headers a dead letter has, verify.py and replay.py go on",
        headers,
        pure(marked),
        [
            *([(n, v) for n, v in WHOLE if n != name] + [(name, None)] for name, _ in WHOLE),
            *([(n, v) for n, v in WHOLE if n != name] + [(name, b"\xff" * 9)] for name, _ in WHOLE),
            [("source.partition", b"9" * 5_000)],
        ],
    ),
)
