"""Recovery: makes logs.txt and its checkpoint agree, after a crash or another program's change.

Nothing is cut before the checkpoint that accounts for what is left is on disk: a save that failed
may have got there all the same, and must not come true afterwards.
"""

import logging
from collections.abc import Callable
from contextlib import closing

from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.cut_lines import CutFile, CutLines
from logpipeline.archive.log_file import LogFile
from logpipeline.archive.rotated import moved_to
from logpipeline.events.event import is_event

log = logging.getLogger(__name__)


def first_checkpoint(file: LogFile) -> Checkpoint:
    """That of a logs.txt without one. Raises OSError."""
    if size := file.size:
        log.warning(
            "%s has %d bytes but no checkpoint: appending at its end, from Kafka's commit; "
            "the batch after that commit may be in it twice",
            *(file.path, size),
        )
    return Checkpoint.new(file.end_of_last_line(), file.inode)


def mend(
    file: LogFile, checkpoint: Checkpoint, cut_file: CutFile, save: Callable[[], object]
) -> None:
    """Make them agree on the file and its length, losing no whole line.

    `save` puts the checkpoint on disk. Raises OSError.
    """
    if (file.inode, file.size) == (checkpoint.inode, checkpoint.length):
        return
    save()
    if _is_accounted_for(file, checkpoint):
        _cut(file, checkpoint, cut_file, save)
    else:
        _follow(file, checkpoint, cut_file, save)
    checkpoint.inode = file.inode
    save()


def _is_accounted_for(file: LogFile, checkpoint: Checkpoint) -> bool:
    """Whether it is the checkpoint's file, or a copy of it, such as a restored backup."""
    moved = file.inode != checkpoint.inode and file.size < checkpoint.length
    return not moved and file.is_end_of_line(checkpoint.length)


def _follow(
    file: LogFile, checkpoint: Checkpoint, cut_file: CutFile, save: Callable[[], object]
) -> None:
    """Note that logs.txt is another file, or has lost lines; whole ones that it has stay."""
    moved = moved_to(file.path, checkpoint.inode)
    if moved:
        with closing(LogFile(moved)) as renamed:
            renamed.open()
            _cut(renamed, checkpoint, cut_file, save)
        log.info("%s was rotated to %s", file.path, moved)
    else:
        log.warning(
            "%s was moved, truncated or deleted by another program: it had %d bytes, and has %d; "
            "appending the events that were not yet in it",
            *(file.path, checkpoint.length, file.size),
        )
    checkpoint.length = file.end_of_last_line()
    if not checkpoint.length:
        checkpoint.begin_file(file.inode)
    save()
    file.cut(checkpoint.length)


def _cut(
    file: LogFile, checkpoint: Checkpoint, cut_file: CutFile, save: Callable[[], object]
) -> None:
    """Cut what the checkpoint does not account for, once its whole lines are set aside."""
    size, length = file.size, checkpoint.length
    if size <= length:
        return
    lines = [line for line in file.read(length, size - length).split(b"\n")[:-1] if is_event(line)]
    if lines:
        checkpoint.cut = checkpoint.cut or CutLines()
        cut_file.add(lines, checkpoint.cut, file.mode)
        _wait(checkpoint, checkpoint.cut, size - length)
        save()
    file.cut(length)
    file.sync()
    aside = f"; {len(lines)} whole lines are in {cut_file.path} until Kafka sends them again"
    log.warning(
        "%s: cut %d bytes after byte %d that no checkpoint accounts for%s",
        *(file.path, size - length, length, aside if lines else ""),
    )


def _wait(checkpoint: Checkpoint, cut: CutLines, size: int) -> None:
    """Wait for all partitions. If none is known, all may send the lines: wait for ever."""
    topics = checkpoint.topics.items()
    known = [(name, partition) for name, topic in topics for partition in topic.partitions]
    for name, partition in known or [("", 0)]:
        cut.wait_for(name, partition, size)
