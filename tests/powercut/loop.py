"""Loop: the same on real file systems, each an image in a file that is copied at every operation.

    python -m tests.powercut.loop KIND FOLDER

The copy is what the disk has got by then. It is mounted, as after a power cut, and recovered from.
It takes root and loop devices; run it by `unshare --mount`, so that nothing stays mounted. Exit
status: 0 well, 1 broken, 2 when it cannot run.
"""

import logging
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.powercut import workload
from tests.powercut.judge import Broken, Judge, clear
from tests.powercut.recorder import Acknowledged, Operation, Recorder
from tests.powercut.workload import Kafka, Place

SIZE = {"ext4": "32M", "xfs": "300M", "btrfs": "128M"}  # xfs takes no less
QUIET = {"ext4": ["-q", "-F"], "xfs": ["-q"], "btrfs": ["-q"]}
BATCHES = 6
SEED = 1
WELL, BROKEN, UNKNOWN = 0, 1, 2


class Copier(Recorder):
    """Copies the image after each operation, instead of noting it."""

    def __init__(self, folder: Path, pool: Path, image: Path) -> None:
        super().__init__(folder, pool, real=True)
        self.copies: list[tuple[Path, str, dict[int, int]]] = []
        self._image = image
        self._acknowledged: dict[int, int] = {}

    def note(self, operation: Operation) -> None:
        if isinstance(operation, Acknowledged):
            self._acknowledged = operation.next
        copy = self._image.with_name(f"{len(self.copies)}.img")
        command("cp", "--sparse=always", str(self._image), str(copy))
        self.copies.append((copy, type(operation).__name__, self._acknowledged))


def main(kind: str, folder: Path) -> int:
    logging.disable()
    image, mounted = folder / "disk.img", folder / "disk"
    mounted.mkdir(parents=True)
    kafka = Kafka(SEED)
    try:
        command("mount", "--make-rprivate", "/")
        command("truncate", "-s", SIZE[kind], str(image))
        command(f"mkfs.{kind}", *QUIET[kind], str(image))
        copies = record(image, mounted, kafka)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"cannot run: {error}")
        return UNKNOWN
    broken = 0
    for number, (copy, name, acknowledged) in enumerate(copies):
        with mounted_at(copy, mounted):
            judge = Judge(Place(mounted / "files"), mounted / "pool")
            try:
                mine = kafka.copy()
                judge.recover(acknowledged, mine, lost=False)
                judge.compare(mine)
            except Broken as problem:
                broken += 1
                print(f"{kind}, after operation {number}, {name}: {problem}")
        copy.unlink()
    print(f"{kind}: {len(copies)} images, {broken} broken")
    return BROKEN if broken else WELL


def record(image: Path, mounted: Path, kafka: Kafka) -> list[tuple[Path, str, dict[int, int]]]:
    """Run, and copy. Raises OSError, CalledProcessError."""
    with mounted_at(image, mounted):
        place, pool = Place(mounted / "files"), mounted / "pool"
        clear(place.folder)
        pool.mkdir()
        command("sync", "-f", str(mounted))
        copier = Copier(place.folder, pool, image)
        acknowledge = lambda position: copier.note(Acknowledged(position))  # noqa: E731
        with copier.on():
            workload.run(place, kafka, random.Random(SEED), BATCHES, acknowledge)
        return copier.copies


@contextmanager
def mounted_at(image: Path, folder: Path) -> Iterator[None]:
    command("mount", "-o", "loop", str(image), str(folder))
    try:
        yield
    finally:
        command("umount", str(folder))


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
