"""Metrics of the archive: logs.txt, its rotated files, and the store."""

from collections.abc import Iterable
from pathlib import Path

from logpipeline.events.sink import Sink
from logpipeline.events.slices import Slice
from logpipeline.metrics import Instruments

BATCHES = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000)  # events


class ArchiveMetrics:
    """Its counters and gauges, among the `instruments` of a program."""

    def __init__(self, instruments: Instruments | None = None) -> None:
        make = instruments or Instruments("log_consumer")
        self._sink = Sink(make, "archive")
        self._bytes = make.counter("archive_bytes", "Bytes appended to logs.txt")
        self._batch = make.histogram("batch_events", "Events of a batch in logs.txt", BATCHES)
        self._checkpoint = make.gauge(
            "last_checkpoint_timestamp_seconds", "When logs.txt was last known to be on disk"
        )
        self.rotations = make.counter("rotations", "Times that logs.txt was rotated")
        self.append_failures = make.failures("append")
        self.keep_failures = make.failures("keep")
        self.ship_failures = make.failures("ship")
        self.up = make.up("archive", "1 while logs.txt can be appended to")
        self.store_up = make.up("store", "1 while ARCHIVE_URL takes rotated files")
        for up in (self.up, self.store_up):
            up.set(True)  # until the first problem
        self.rotated_files = make.gauge("rotated_files", "Rotated files that are kept here")
        self.rotated_bytes = make.gauge("rotated_bytes", "Bytes that these take on disk")
        self.shipped_files = make.counter("shipped_files", "Rotated files sent to ARCHIVE_URL")
        self.shipped_bytes = make.counter("shipped_bytes", "Bytes of these")
        self.unshipped_files = make.gauge(
            "unshipped_files", "Rotated files that are not in ARCHIVE_URL yet"
        )

    @property
    def events(self) -> int:
        """Events appended so far."""
        return self._sink.total

    def watch_checkpoint(self, path: Path) -> None:
        """Report this file's modification time as the checkpoint's: 0 when it is missing."""
        self._checkpoint.set_function(lambda: path.stat().st_mtime if path.exists() else 0)

    def appended(self, batch: Iterable[Slice], size: int) -> None:
        """Count what was appended to logs.txt, `size` in bytes."""
        events = 0
        for part in batch:
            events += len(part.lines)
            self._sink.got(part.counts)
            if part.times:
                self._sink.waited(part.times[0])
        self._bytes.inc(size)
        self._batch.observe(events)
