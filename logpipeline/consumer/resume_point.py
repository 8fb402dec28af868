"""Resume point: the offset at which the archive continues a partition, and what Kafka lacks."""

from typing import NamedTuple


class ResumePoint(NamedTuple):
    """The next offset to read. `deleted` are offsets that Kafka deleted before they were read,
    `lost` those that the archive has and Kafka has no longer."""

    offset: int
    deleted: range = range(0)
    lost: range = range(0)


def resume_point(archived: int | None, committed: int | None, first: int, end: int) -> ResumePoint:
    """Decide by the next offsets of this archive, and of another host's that committed to the
    group (None: unknown), and by the offsets that Kafka has, from `first` to `end` - 1."""
    known = [offset for offset in (archived, committed) if offset is not None]
    if not known:
        return ResumePoint(first)
    wanted = max(known)
    if wanted > end:
        return ResumePoint(end, lost=range(end, wanted))
    offset = max(wanted, first)
    return ResumePoint(offset, deleted=range(wanted, offset))
