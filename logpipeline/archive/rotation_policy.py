"""Rotation policy: when logs.txt is rotated, and how full its disk may get."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from logpipeline.archive.settings import RotationSettings


@dataclass(frozen=True)
class RotationPolicy:
    """A logs.txt has at most `bytes`, and events of one period of `seconds` alone; `free` bytes
    are left on its disk. 0 means no limit."""

    bytes: int = 0
    seconds: int = 0
    free: int = 0

    @classmethod
    def of(cls, settings: RotationSettings) -> Self:
        return cls(settings.log_max_bytes, settings.log_rotate_seconds, settings.log_min_free_bytes)

    def over(self, begun: float, now: float) -> bool:
        """Whether the period in which a file was `begun` is over. Periods are those of UTC."""
        return bool(self.seconds) and now // self.seconds > begun // self.seconds

    def check_room(self, folder: Path) -> None:
        """Raises OSError when the disk has too little space left."""
        if self.free and shutil.disk_usage(folder).free < self.free:
            raise OSError(f"its disk has less than LOG_MIN_FREE_BYTES={self.free} left")
