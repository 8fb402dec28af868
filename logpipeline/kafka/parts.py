"""Parts: events that are settled together, which means that Kafka has accepted or refused each."""

from typing import Any, NamedTuple, Protocol

from logpipeline.kafka.outgoing import OutgoingBatch

Refusals = tuple[list[Exception], int]  # why, and the bytes of the refused values


class Part(Protocol):
    """`events` of them, whose values have `size` bytes."""

    @property
    def events(self) -> int: ...

    @property
    def size(self) -> int: ...

    def is_settled(self) -> bool: ...

    def refusals(self) -> Refusals:
        """Of a part that is settled."""


class BatchPart(NamedTuple):
    """Records of one batch, beginning with its `first`."""

    batch: OutgoingBatch
    first: int
    events: int
    size: int

    def is_settled(self) -> bool:
        futures = self.batch.split
        if futures is None:
            return bool(self.batch.is_done)
        return all(future.is_done for future in futures[self.first : self.first + self.events])

    def refusals(self) -> Refusals:
        end = self.first + self.events
        if self.batch.split:
            refused = [future for future in self.batch.split[self.first : end] if future.exception]
            return [each.exception for each in refused], sum(each.args[4] for each in refused)
        reason = self.batch.produce_future.value[2]
        return ([*map(reason, range(self.first, end))], self.size) if reason else ([], 0)


class FuturePart(NamedTuple):
    """An event with the library's future of its own."""

    future: Any
    size: int
    events: int = 1

    def is_settled(self) -> bool:
        return bool(self.future.is_done)

    def refusals(self) -> Refusals:
        error = self.future.exception
        return ([error], self.size) if error else ([], 0)


class Refused(NamedTuple):
    """An event that is not sent."""

    error: Exception
    size: int
    events: int = 1

    def is_settled(self) -> bool:
        return True

    def refusals(self) -> Refusals:
        return [self.error], self.size
