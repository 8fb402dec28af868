"""Interleaving against all that it may be given: right lines, and lines with damage."""

from collections import Counter, deque
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from logpipeline.verify.findings import Findings
from logpipeline.verify.interleaving import EventStream, Interleaving

CHECKED = settings(max_examples=300, deadline=None, derandomize=True)
Streams = list[list[bytes]]


def check(lines: list[bytes], streams: Streams) -> tuple[Findings, int]:
    """What is found, and how many lines nobody waits for. Streams come one event at a time."""
    coming = {f"t[{i}]": deque(enumerate(stream)) for i, stream in enumerate(streams)}

    def fill(stream: EventStream, count: int) -> None:
        while len(stream.offsets) < count and coming[stream.name]:
            offset, line = coming[stream.name].popleft()
            stream.offsets.append(offset)
            stream.hashes.append(hash(line))

    findings = Findings()
    interleaving = Interleaving([EventStream(name) for name in coming], findings, fill)
    for number, line in enumerate(lines):
        interleaving.take(line, number)
    interleaving.finish()
    return findings, interleaving.surplus_total


def is_right(lines: list[bytes], streams: Streams) -> bool:
    """By trying everything."""
    places = {tuple(0 for _ in streams)}
    for line in lines:
        places = {
            (*place[:i], place[i] + 1, *place[i + 1 :])
            for place, i in product(places, range(len(streams)))
            if place[i] < len(streams[i]) and streams[i][place[i]] == line
        }
    return tuple(map(len, streams)) in places


@st.composite
def interleaved(draw: st.DrawFn, twins: bool) -> tuple[list[bytes], Streams]:
    """Lines and the streams that they are of; `twins` lets some of them be identical."""
    lengths = draw(st.lists(st.integers(0, 7), min_size=1, max_size=3))
    total = sum(lengths)
    content = st.lists(st.integers(0, 3 if twins else 10**6), min_size=total, max_size=total)
    names = draw(content if twins else content.filter(lambda names: len({*names}) == len(names)))
    order = draw(st.permutations([i for i, length in enumerate(lengths) for _ in range(length)]))
    streams: Streams = [[] for _ in lengths]
    for i, name in zip(order, names, strict=True):
        streams[i].append(b"%d" % name)
    return [b"%d" % name for name in names], streams


@CHECKED
@given(interleaved(twins=True))
def test_right_lines_are_never_called_wrong(case: tuple[list[bytes], Streams]) -> None:
    findings, surplus = check(*case)
    assert (findings.counts, surplus) == ({}, 0)


@CHECKED
@given(interleaved(twins=True), st.data())
def test_wrong_lines_are_noticed_unless_a_twin_stands_in(
    case: tuple[list[bytes], Streams], data: st.DataObject
) -> None:
    lines, streams = case
    damaged = data.draw(st.permutations([*lines, *data.draw(st.permutations(lines))[:2]]))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    findings, surplus = check(damaged, streams)
    noticed = bool(findings.counts or surplus)
    if is_right(damaged, streams):
        assert not noticed
    elif len(streams) == 1 or Counter(damaged) != Counter(lines) or len({*lines}) == len(lines):
        assert noticed


@CHECKED
@given(interleaved(twins=False), st.data())
def test_what_is_missing_or_too_many_is_counted(
    case: tuple[list[bytes], Streams], data: st.DataObject
) -> None:
    lines, streams = case
    doubled = data.draw(st.lists(st.sampled_from(lines), max_size=3)) if lines else []
    kept = [line for line in lines if data.draw(st.booleans())]
    damaged = data.draw(st.permutations([*kept, *doubled]))
    findings, surplus = check(damaged, streams)
    assert findings.counts["missing"] == len({*lines} - {*damaged})
    assert surplus == len(damaged) - len({*damaged})
