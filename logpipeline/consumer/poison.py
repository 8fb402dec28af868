"""Poison: records for which a step fails again and again, with an unexpected error.

They are found by trial and become dead letters, so that the records after them get through. A valid
event is tried first: if that fails as well, the fault is not a record's.
"""

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kafka.errors import KafkaError

from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import CheckpointError
from logpipeline.consumer.dead_letters import DeadLetters
from logpipeline.events import slices
from logpipeline.events.columns import Columns
from logpipeline.events.slices import Reject, Slice
from logpipeline.supervision import Supervision

log = logging.getLogger(__name__)

TRIES = 3  # of a batch, until its records are tried
TRIAL = 10.0  # seconds of trying dead letters, after which the next poll is due
SOON = 60.0  # seconds after one was found in which one failure is enough
REASON = "poison"
LONGEST = 500  # characters of an error in a dead letter
VALID = b'{"level":"INFO","message":"a trial","timestamp":0}'
OUTAGE = (OSError, KafkaError, CheckpointError, MemoryError)  # never a record's fault


class Poison:
    """Takes the poison out of batches on their way to the dead letters and the archive."""

    def __init__(self, topic: str, most: int, supervision: Supervision) -> None:
        self._topic = topic
        self._most = most  # bytes of an event
        self._supervision = supervision
        self._found_at = -SOON  # time.monotonic()

    def read(self, partition: int, start: int, polled: Sequence[Any], topic_id: str) -> Slice:
        """`slices.read`, with the records for which it fails as rejects. Raises what it raises for
        others too."""
        try:
            return slices.read(partition, start, polled, self._most, topic_id)
        except OUTAGE:
            raise
        except Exception as error:  # noqa: BLE001 - it may be a record's fault
            slices.read(partition, 0, [Columns([0], [None], [VALID])])
            self._supervision.note("poll", error)
            return self._read_singly(partition, start, Columns.of(polled), topic_id)

    def taken_out(self, records: list[Slice], dead_letters: DeadLetters) -> list[Slice]:
        """The batch, with the records for which a step fails as rejects.

        It is unchanged while no step has failed, or if the fault is not a record's. Raises OSError,
        CheckpointError, KafkaError.
        """
        if self._is_due("append"):
            records = self._without_events(records)
        if self._is_due("dead_letter"):
            records = [self._with_letters(part, dead_letters) for part in records]
        return records

    def _is_due(self, step: str) -> bool:
        soon = time.monotonic() - self._found_at < SOON
        return self._supervision.tries(step) >= (1 if soon else TRIES)

    def _read_singly(self, partition: int, start: int, records: Columns, topic_id: str) -> Slice:
        parts = []
        for i in range(len(records)):
            record = records.part(i, i + 1)
            [offset], [key], [value] = record.offsets, record.keys, record.values
            try:
                parts.append(slices.read(partition, offset, [record], self._most))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is in the dead letter
                reject = Reject(offset, key, slices.kept(value, self._most), REASON, "")
                reject = self._reject(partition, reject, error)
                parts.append(Slice(partition, offset, offset + 1, rejects=[reject]))
        whole = Slice(partition, start, parts[-1].end, topic_id=topic_id)
        for name in _lists(whole):
            getattr(whole, name).extend(each for part in parts for each in getattr(part, name))
        return whole

    def _without_events(self, records: list[Slice]) -> list[Slice]:
        """Try the events in a temporary archive, and make rejects of those that fail."""
        try:
            with (
                TemporaryDirectory(prefix="log-trial-") as folder,
                closing(Archive(Path(folder) / "logs.txt", self._topic)) as trial,
            ):
                trial.open("trial")

                def fails(part: Slice) -> Exception | None:
                    return _error_of(lambda: _append(trial, part))

                if fails(slices.read(0, 0, [Columns([0], [None], [VALID])])):
                    return records
                return [self._rejecting(part, dict(_culprits(part, fails))) for part in records]
        except OSError as problem:
            log.debug("cannot try the events: %s", problem)
            return records

    def _rejecting(self, part: Slice, culprits: dict[int, Exception]) -> Slice:
        """The slice with its events at these offsets as rejects."""
        if not culprits:
            return part
        lines = dict(zip(part.offsets, part.lines, strict=True))
        rejects = [
            self._reject(part.partition, Reject(offset, None, lines[offset], REASON, ""), error)
            for offset, error in culprits.items()
        ]
        kept = [i for i, offset in enumerate(part.offsets) if offset not in culprits]
        columns: dict[str, Any] = {
            name: [getattr(part, name)[i] for i in kept]
            for name in _lists(part)
            if name != "rejects"
        }
        rejects = sorted([*part.rejects, *rejects], key=lambda reject: reject.offset)
        return replace(part, rejects=rejects, **columns)

    def _with_letters(self, part: Slice, dead_letters: DeadLetters) -> Slice:
        """The slice with its rejects in a form that Kafka accepts: as they are, or else without
        their key and with another error."""

        def fails(reject: Reject) -> Exception | None:
            alone = Slice(
                *(part.partition, reject.offset, reject.offset + 1),
                rejects=[reject],
                topic_id=part.topic_id,
                epoch=part.epoch,
            )
            return _error_of(lambda: dead_letters.send([alone]))

        taken = []
        deadline = time.monotonic() + TRIAL
        for reject in part.rejects:
            if time.monotonic() < deadline and (error := fails(reject)):
                plain = self._reject(part.partition, replace(reject, key=None), error)
                reject = reject if fails(plain) else plain
            taken.append(reject)
        return replace(part, rejects=taken)

    def _reject(self, partition: int, reject: Reject, error: Exception) -> Reject:
        """The reject as poison, with an error that any header can hold."""
        self._found_at = time.monotonic()
        text = self._supervision.hide("".join(traceback.format_exception_only(error)))
        words = text.encode("ascii", "backslashreplace").decode()
        sentence = f"it could not be processed: {' '.join(words.split())[:LONGEST]}"
        where = f"{self._topic}[{partition}]@{reject.offset}"
        log.error("%s becomes a dead letter: %s", where, sentence)
        return replace(reject, reason=REASON, error=sentence)


def _error_of(call: Callable[[], object]) -> Exception | None:
    """What the call raises. Raises it, too, if it is an outage's."""
    try:
        call()
    except OUTAGE:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the dead letter
        return error
    return None


def _append(archive: Archive, part: Slice) -> None:
    """Append it, wherever it begins."""
    archive.begin(part.partition, part.start)
    archive.append([part])


def _culprits(
    part: Slice, fails: Callable[[Slice], Exception | None]
) -> Iterator[tuple[int, Exception]]:
    """The offsets of the events that fail alone, and their errors."""
    error = fails(part) if part.offsets else None
    if error is None:
        return
    if len(part.offsets) == 1:
        yield part.offsets[0], error
        return
    middle = part.offsets[len(part.offsets) // 2]
    yield from _culprits(part.until(middle), fails)
    yield from _culprits(part.since(middle), fails)


def _lists(part: Slice) -> list[str]:
    """The names of its fields that are lists."""
    return [each.name for each in fields(part) if isinstance(getattr(part, each.name), list)]
