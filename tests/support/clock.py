"""Clock: a program whose clock jumps, while the machine's stays as it is.

A library that is loaded before the program's others adds a number of seconds to what the system's
calls return for the time of day, as a clock that was set does. Other clocks do not jump.
"""

import mmap
import struct
import subprocess
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *ahead;

__attribute__((constructor)) static void begin(void) {
  int fd = open(getenv("CLOCK_AHEAD"), O_RDONLY);
  ahead = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
  if (ahead == MAP_FAILED) abort();
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += *ahead;
  return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  now->tv_sec = at.tv_sec;
  now->tv_usec = at.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *there) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  if (there) *there = at.tv_sec;
  return at.tv_sec;
}
"""


class Clock:
    """`variables` are the environment of the programs whose clock it is."""

    def __init__(self, folder: Path) -> None:
        source, library, ahead = (folder / f"clock.{end}" for end in ("c", "so", "ahead"))
        source.write_text(SOURCE)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        ahead.write_bytes(struct.pack("@l", 0))
        with ahead.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), 0)
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(ahead)}

    def jump(self, hours: float) -> None:
        """Set it to so many hours from the machine's."""
        self._ahead[:] = struct.pack("@l", int(hours * 3600))
