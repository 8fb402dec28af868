"""Judge: builds a state on a real disk, recovers from it by the real code, and compares.

Kafka sends what comes after the archive's position: the same records, or, in every other state,
others, as the power cut has taken Kafka's last ones, too.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from logpipeline.archive.checkpoint import CheckpointError
from logpipeline.archive.packing import unpacked
from logpipeline.archive.rotated import rotated
from logpipeline.events.event import is_event
from logpipeline.verify.findings import Findings
from logpipeline.verify.indexes import audit_indexes
from tests.powercut.disk import State
from tests.powercut.workload import PARTITIONS, Kafka, Place

TURNS = 60
MORE = 6  # records of each partition that come after the cut


class Broken(Exception):  # noqa: N818 - a verdict
    """The state lost, doubled or tore something; str() says what."""


class Judge:
    """Of one run, the inodes of which are in `pool`."""

    def __init__(self, place: Place, pool: Path) -> None:
        self.place = place
        self._pool = pool

    def build(self, state: State) -> None:
        """Put the state into the folder."""
        clear(self.place.folder)
        written: set[int] = set()
        for name, (inode, data) in state.items():
            pooled = self._pool / str(inode)
            if inode not in written:
                pooled.write_bytes(data)
                pooled.chmod(0o640)
                written.add(inode)
            os.link(pooled, self.place.folder / name)

    def whole_lines(self, state: State, name: str = "logs.txt") -> list[bytes]:
        """The events that the file has in the state."""
        data = state[name][1] if name in state else b""
        return [line for line in data.split(b"\n")[:-1] if is_event(line)]

    def recover(self, acknowledged: dict[int, int], kafka: Kafka, lost: bool) -> None:
        """Recover, and continue until nothing waits for Kafka. Raises Broken."""
        try:
            self._recover(acknowledged, kafka, lost)
        except (OSError, CheckpointError) as error:
            raise Broken(f"cannot recover: {error}") from error

    def _recover(self, acknowledged: dict[int, int], kafka: Kafka, lost: bool) -> None:
        place = self.place
        with closing(place.archive()) as archive:
            at = archive.position().next
            for partition, end in acknowledged.items():
                if at.get(partition, 0) < end:
                    raise Broken(
                        f"lost: partition {partition} was acknowledged up to {end}, "
                        f"and the checkpoint is at {at.get(partition, 0)}"
                    )
            place.begin(archive)
            if lost:
                kafka.lose(at)
            for _ in range(TURNS):
                archive.append(kafka.batch(archive.position().next))
                if not self._cut_file.exists():
                    break
                kafka.send(kafka.ends(MORE))
        place.keep()

    def compare(
        self, kafka: Kafka, kept: Sequence[bytes] = (), maybe: Sequence[bytes] = ()
    ) -> None:
        """The files with what Kafka has, what it had before, and what it may have had.

        Raises Broken.
        """
        lines = kafka.events()
        archived = list(self._archived())
        wanted = Counter(lines) | Counter(kept)
        found = Counter(archived)
        extra = found - (wanted | Counter(maybe))
        for kind, odd in ("lost", wanted - found), ("doubled or torn", extra):
            if odd:
                raise Broken(f"{kind}: {odd.total()} lines, such as {next(iter(odd))[:90]!r}")
        _compare_order(archived, lines)
        for file in rotated(self.place.log_file):
            known = file.checkpoint()
            with file.open() as contents:
                if not known or known.length != len(contents.read()):
                    raise Broken(f"{file.path().name} has no checkpoint that fits")
        indexes = Findings()
        audit_indexes(self.place.log_file, indexes)
        if indexes.counts or indexes.notes:
            raise Broken(f"an index that is here is not right: {indexes}")
        left = [
            path.name for path in self.place.folder.rglob("*") if path.suffix in (".cut", ".tmp")
        ]
        if left:
            raise Broken(f"left behind: {left}")

    def _archived(self) -> Iterator[bytes]:
        """The lines of all files, here or in the store, oldest first. Raises Broken."""
        log_file, files = self.place.log_file, dict[str, bytes]()
        store = [*(self.place.folder / "store").glob("logs-*.txt.zst")]
        for path in [*store, *(file.path() for file in rotated(log_file))]:
            with unpacked(path) as contents:
                data = contents.read()
            stamp = path.name.partition(".txt")[0]
            if files.setdefault(stamp, data) != data:
                raise Broken(f"{path.name} differs from its copy")
        for name in sorted(files):
            yield from _lines(name, files[name])
        yield from _lines(log_file.name, log_file.read_bytes())

    @property
    def _cut_file(self) -> Path:
        return self.place.log_file.with_name("logs.txt.cut")


def _compare_order(archived: list[bytes], lines: list[bytes]) -> None:
    """Raises Broken. The lines that Kafka has are in its order."""
    number = {line: n for n, line in enumerate(lines)}
    reached = dict.fromkeys(PARTITIONS, -1)
    for line in archived:
        partition = msgspec.json.decode(line)["partition"]
        if number.get(line, len(lines)) < reached[partition]:
            raise Broken(f"out of order: {line[:90]!r}")
        reached[partition] = number.get(line, reached[partition])


def _lines(name: str, data: bytes) -> list[bytes]:
    *lines, rest = data.split(b"\n")
    if rest:
        raise Broken(f"torn: {name} ends in {rest[-90:]!r}")
    return lines


def clear(folder: Path) -> None:
    """Empty it, but for the store's folder, which is on disk since long ago."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "store").mkdir(parents=True)
