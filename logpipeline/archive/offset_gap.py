"""Offset gap: records that do not continue those of the archive."""


class OffsetGap(Exception):  # noqa: N818 - a verdict about offsets, not a failure
    """The records begin after the archive's next offset: those from `expected` on are missing."""

    def __init__(self, partition: int, expected: int, start: int) -> None:
        super().__init__(
            f"partition {partition}: records begin at offset {start}, expected {expected}"
        )


class Contradiction(OffsetGap):
    """The records are of another history of Kafka's than the archive's: it has lost some."""

    def __init__(self, partition: int, expected: int, start: int) -> None:
        super().__init__(partition, expected, start)
        self.args = (
            f"partition {partition}: Kafka's records from offset {start} on do not continue those "
            f"before offset {expected}",
        )
