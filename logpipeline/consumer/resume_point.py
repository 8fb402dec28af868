"""Resume point: the offset at which the archive continues a partition, and what Kafka lacks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from logpipeline.kafka.epoch_ends import EpochEnd


class ResumePoint(NamedTuple):
    """The next offset to read. `deleted` are offsets that Kafka deleted before they were read,
    `lost` those that an archive has and whose records Kafka has no longer. If not `certain`,
    Kafka's end is below what was read, which a new leader may report for a moment."""

    offset: int
    deleted: range = range(0)
    lost: range = range(0)
    certain: bool = True


def resume_point(
    archived: int | None,
    committed: int | None,
    first: int,
    end: int,
    archive_parts: int | None = None,
    commit_parts: int | None = None,
) -> ResumePoint:
    """Decide by the next offsets of this archive, and of another host's that committed to the
    group (None: unknown), and by the offsets that Kafka has, from `first` to `end` - 1.

    Kafka's history parts from the archive's at `archive_parts`, and from the other's at
    `commit_parts`. If these are unknown (None), only an end that is too low shows a loss.
    """
    claims = [(archived, archive_parts), (committed, commit_parts)]
    known = [(n, end if parts is None else parts) for n, parts in claims if n is not None]
    if not known:
        return ResumePoint(first)
    wanted = max(min(n, parts) for n, parts in known)
    lost = [range(parts, n) for n, parts in known if parts < n]
    certain = all(parts is not None or (n or 0) <= end for n, parts in claims)
    offset = max(wanted, first)
    deleted = range(wanted, offset)
    return ResumePoint(offset, deleted, lost[0] if lost else range(0), certain)


def parting(
    next_: int, epochs: Sequence[tuple[int, int]], end_of: Callable[[int], EpochEnd | None]
) -> int | None:
    """The offset at which Kafka's history parts from that of records before `next_`: `next_` itself
    if Kafka has them all, None if that cannot be known.

    `epochs` are these records' (leader epoch, first offset), the newest last. `end_of` asks Kafka
    for the end of an epoch, or of the newest that it has before it. All are compared: a broker
    whose disk was put back to an older copy uses the newest ones once more.
    """
    parts = end = next_
    for epoch, start in reversed(epochs):
        found = end_of(epoch)
        if found is None:
            return None
        if found.epoch < epoch:  # Kafka has none of its records
            end = start
        if found.epoch < epoch or found.offset < end:
            parts = min(parts, end, found.offset)
        end = start
    return parts if epochs else None
