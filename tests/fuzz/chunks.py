"""Chunks: lines converted together must become the same events as one by one.

    .venv/bin/python -m tests.fuzz.chunks            30,000 chunks with a new seed: a few minutes
    .venv/bin/python -m tests.fuzz.chunks 1000 42    repeats those of seed 42

The lines are the examples of all formats, of real logs and of loggers: shuffled, with other digits,
cut and spoiled.
"""

import random
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from unittest.mock import patch

from logpipeline.events import formats, times
from logpipeline.events.joining import Joiner
from logpipeline.events.lines import Lines
from logpipeline.events.wrappers import unwrapped
from logpipeline.producer.conversion import Conversion

DATA = Path(__file__).parents[1] / "data" / "lines"
USUAL = (
    b'10.0.0.9 - - [23/Mar/2024:22:56:07 +0100] "GET /pay HTTP/1.1" 502 1893 "-" "curl" rt=0.120',
    b'2001:db8::1 - bob [23/Mar/2024:22:56:07 +0000] "POST /a\\"b HTTP/1.1" 404 - "-" "x y"',
    b'{"level":"INFO","message":"order 17 placed","timestamp":1711234567.25,"service":"shop"}',
    b'{"level":30,"time":1711234567890,"pid":6,"hostname":"web","req":{"id":1,"method":"GET",'
    b'"url":"/pay"},"responseTime":12,"msg":"request completed"}',
    b'{"level":"warn","ts":"2024-03-23T22:56:07.123Z","msg":"slow \\u00e9","n":[1,{"a":2}]}',
    b'{"level":"info","message":"done","timestamp":"2024-03-23T22:56:07+01:00","method":"GET",'
    b'"path":"/x","status":200,"duration":0.25}',
    b'{"timestamp": "2024-03-23T22:56:07.123456Z", "level": "info", "event": "paid \\"17\\"", '
    b'"user": null, "n": [1, {"a": -2.50e3}], "tags": {}, "method": "GET"}',
    b'{"ts":1711234567.25,"level":"error","logger":"http","msg":"handled \\/x","request":{"id":"x",'
    b'"remote_ip":"10.0.0.9","method":"GET","uri":"/pay?a=1","headers":{"A":["b","c"]}},'
    b'"bytes_read":0,"duration":0.0123,"size":12,"status":502}',
    b'{"status":"404","size":17,"path":"/a","level":"INFO","timestamp":"2024-03-23T22:56:07.5Z",'
    b'"duration_ms":1.50,"message":"gone","method":"POST","service":"web","Level":3,"@l":7}',
    b'{"severity":4,"msg":"x","time":"23/Mar/2024:22:56:07 +0000","req":{"method":"GET","url":"/"},'
    b'"res":{"statusCode":200,"size":"12","took":null},"elapsed":"1.5ms","facility":1}',
    b"2024-03-23 22:56:07,890 WARN [main] com.example.shop.Order: order 17 is late",
    b"2024-03-23T22:56:07Z nothing to see",
    b"Mar 23 22:56:07 combo sshd(pam_unix)[19939]: authentication failure; uid=0",
)
PIECES = (
    *(b"\r", b"\r\r", b"\xff", b"\xef\xbb\xbf", b"\\", b'"', b"{", b"}", b"[", b"\t", b" ", b"\0"),
    *(b"\x1b[31m", "é".encode(), "\ufffd".encode(), "\u2028".encode(), "٣".encode(), b"\x85"),
    *(b"\\u00e9", b"\\ud800", b"1e999", b"-", b"0", b"Z", b" ERROR ", b"[info]", b" 5ms", b"|"),
    *(b"01", b"1.", b"1e5", b"null", b"\\/", b"\\u0041", b'"a":1,', b"{}", b"[{}]", b"\x7f", b'""'),
    *(b"request_time=0.012 ", b": ", b"x" * 9_000, b'"level":', b"}{", b"[" * 70, b"\x0b"),
)
SIZES = (1, 5, 20, 60, 200)
STEPS = (97, 1_000, 2**18)


class Chunks:
    """Endless chunks of lines, the same for each `seed`."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        tables = (*formats.FORMATS, *formats.TAILS)
        self._lines = [*USUAL, *(form.example.encode() for form in tables)]
        for path in sorted(DATA.iterdir()):
            self._lines += path.read_bytes().split(b"\n")[:100]

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self._chunk()

    def _chunk(self) -> bytes:
        dice = self.dice
        few = USUAL if dice.random() < 0.5 else self._lines
        kinds = [dice.choice(few) for _ in range(dice.choice((1, 1, 2, 3, 10)))]
        other, spoilt = dice.choice((0.0, 0.01, 0.1)), dice.choice((0.0, 0.02, 0.3))
        lines = []
        for _ in range(dice.choice(SIZES)):
            line = self._with_other_digits(dice.choice(kinds), other)
            lines.append(self._spoilt(line) if dice.random() < spoilt else line)
        return b"\n".join(lines) + dice.choice((b"\n", b""))

    def _with_other_digits(self, line: bytes, share: float) -> bytes:
        if not share:
            return line
        dice = self.dice
        return bytes(
            48 + dice.randrange(10) if 48 <= each <= 57 and dice.random() < share else each
            for each in line
        )

    def _spoilt(self, line: bytes) -> bytes:
        dice, made = self.dice, bytearray(line)
        for _ in range(dice.choice((1, 1, 2, 4))):
            at = dice.randrange(len(made) + 1)
            how = dice.randrange(5)
            if how < 2:
                made[at:at] = dice.choice(PIECES)
            elif how == 2:
                del made[at : at + dice.choice((1, 8, 10_000))]
            elif how == 3:
                made[at : at + 1] = dice.randbytes(1)
            else:
                made[at:at] = dice.choice(self._lines)[: dice.randrange(100)]
        return bytes(made).replace(b"\n", b" ")


class OneByOne(Joiner):
    """It takes each line by itself."""

    @property
    def is_quiet(self) -> bool:
        return False


def compare(data: bytes, dice: random.Random) -> tuple[int, int]:
    """Raises AssertionError unless both ways agree. Returns the lines, and those converted
    together."""
    service = dice.choice(("", "shop", 'a"b'))
    assert _converted(data, service, Joiner) == _converted(data, service, OneByOne)
    lines = [line for line in data.split(b"\n") if unwrapped(line) is None]
    together, alone = Lines(service), Lines(service)
    values = together.separate(lines)
    for value, line in zip(values, lines, strict=True):
        assert value == alone.event(line, len(line)), line
    assert _counts(together) == _counts(alone)
    return len(lines), together.together


def _converted(data: bytes, service: str, joiner: type[Joiner]) -> object:
    """The events, where each begins, and the counts."""
    again = random.Random(len(data))
    lines = Lines(service)
    conversion = Conversion(lines, joiner(again.choice(("auto", "off"))))
    conversion.begin("utf-8")
    made, at = [], 0
    while at < len(data):
        step = again.choice(STEPS)
        made += conversion.events(data[at : at + step])
        at += step
    made += conversion.last_events()
    starts = []
    while not conversion.is_acknowledged:
        starts.append(conversion.offset)
        conversion.acknowledge()
    return made, starts, conversion.offset, _counts(lines)


def _counts(lines: Lines) -> tuple[int, ...]:
    return lines.count, lines.cut, lines.replaced, lines.blank


def run(count: int, seed: int) -> float:
    """Compare so many chunks. Returns the share of their lines that were converted together."""
    chunks = Chunks(seed)
    with patch.object(times, "now", lambda: "1.000000"):
        counts = [compare(data, chunks.dice) for data in islice(chunks, count)]
    lines, together = map(sum, zip(*counts, strict=True))
    return together / lines


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.getrandbits(32)
    print(f"{count:,} chunks of seed {seed}", flush=True)
    print(f"all alike; {run(count, seed):.0%} of the lines were converted together")
