"""Rotation as loggers do it: each line once, whatever the file is called and whoever renames it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from config import Settings
from logpipeline.events import event
from logpipeline.kafka.outbox import Outbox
from logpipeline.producer import follow, log_files, tail
from logpipeline.producer.follow import Follow
from logpipeline.shutdown import Shutdown
from tests.support.rotations import PATTERNS, ROTATIONS, Writer

QUIET = 3  # rounds without an event after which all is read


class Reader:
    """Follows logs; each event is acknowledged at once, as by a Kafka without delay."""

    def __init__(self, patterns: Sequence[str], settings: Settings) -> None:
        self.got: list[str] = []
        self.keys: dict[bytes, list[str]] = {}
        self.status = True
        self._patterns = patterns
        self._settings = settings
        self._quiet = 0
        self._steps: Iterator[Callable[[], None]] = iter(())
        self._stop = Shutdown()

    def run(self, *steps: Callable[[], None]) -> list[str]:
        """Start, do a step whenever all is read, and stop. Returns what it has got meanwhile."""
        before = len(self.got)
        self._steps, self._stop, self._quiet = iter(steps), Shutdown(), 0
        source = Follow(self._patterns, None, self._settings, self._stop)
        with closing(source):
            for key, value, acknowledge in source.events(cast(Outbox, self)):  # type: ignore[misc]
                self._quiet = 0
                message = event.parse(value).message
                self.got.append(message)
                self.keys.setdefault(key, []).append(message)
                assert acknowledge
                acknowledge()
        self.status = source.complete
        return self.got[before:]

    def settle(self) -> int:
        """Called by Follow in each round."""
        self._quiet += 1
        if self._quiet > QUIET:
            self._quiet = 0
            step = next(self._steps, self._stop.request)
            step()
        return 0


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at everything in each round."""
    monkeypatch.setattr(follow, "POLL", 0.001)
    monkeypatch.setattr(follow, "DISCOVER", 0)
    monkeypatch.setattr(tail, "AGAIN", 0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, state_dir=tmp_path / "state", multiline="off")


def patterns(folder: Path) -> list[str]:
    return [str(folder / pattern) for pattern in PATTERNS]


@pytest.mark.parametrize("grace", [0.0, 5.0])
@pytest.mark.parametrize("name", ROTATIONS)
def test_each_line_comes_once(
    name: str,
    grace: float,
    at_once: None,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(log_files, "GRACE", grace)
    writer = Writer(tmp_path / "logs")
    steps = ROTATIONS[name](writer)
    reader = Reader(patterns(writer.folder), settings)

    def step() -> None:
        next(steps, None)

    step()
    reader.run(step)
    assert difference(writer, reader) == {}, caplog.text
    step()
    reader.run(step)
    assert difference(writer, reader) == {}, caplog.text
    assert reader.run() == []


def difference(writer: Writer, reader: Reader) -> dict[str, int]:
    """The lines that came too often (1) or not at all (-1)."""
    got = Counter(reader.got)
    return {
        line: got[line] - writer.wrote[line]
        for line in got | writer.wrote
        if got[line] != writer.wrote[line]
    }
