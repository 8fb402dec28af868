"""Recovery: makes logs.txt and its checkpoint agree, after a kill or another program's change."""

import logging
import os

from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.log_file import LogFile
from logpipeline.archive.rotated import moved_to
from logpipeline.files import open_file

log = logging.getLogger(__name__)


def first_checkpoint(file: LogFile) -> Checkpoint:
    """That of a logs.txt without one. Raises OSError."""
    if size := file.size:
        log.warning(
            "%s has %d bytes but no checkpoint: appending at its end, from Kafka's commit; "
            "the batch after that commit may be in it twice",
            *(file.path, size),
        )
    return Checkpoint.new(file.end_of_last_line())


def mend(file: LogFile, checkpoint: Checkpoint) -> bool:
    """Make them agree on the length, losing no whole line that the checkpoint accounts for.

    Returns whether the checkpoint was changed, and must be saved. Raises OSError.
    """
    size = file.size
    if size > checkpoint.length:
        log.warning(
            "%s: cut %d bytes after byte %d that no checkpoint accounts for",
            *(file.path, size - checkpoint.length, checkpoint.length),
        )
        file.cut(checkpoint.length)
    if size >= checkpoint.length:
        return False
    _cut_moved(file, checkpoint)
    checkpoint.length = file.end_of_last_line()
    file.cut(checkpoint.length)
    if not checkpoint.length:
        checkpoint.begin_file()
    return True


def _cut_moved(file: LogFile, checkpoint: Checkpoint) -> None:
    """Log where logs.txt went, and cut what no checkpoint accounts for in that file."""
    moved = moved_to(file.path, checkpoint.inode)
    if moved:
        with os.fdopen(open_file(moved, os.O_RDWR), "r+b") as renamed:
            if os.fstat(renamed.fileno()).st_size > checkpoint.length:
                renamed.truncate(checkpoint.length)
        log.info("%s was rotated to %s", file.path, moved)
        return
    log.warning(
        "%s was moved, truncated or deleted by another program: it had %d bytes, and has %d; "
        "appending the events that were not yet in it",
        *(file.path, checkpoint.length, file.size),
    )
