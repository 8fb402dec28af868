"""Settings of events: their largest size."""

from pydantic import ByteSize, field_validator

from logpipeline.settings import RoomSettings, setting, size


class EventSettings(RoomSettings):
    """For programs that decide whether a record is an event."""

    event_max_bytes: ByteSize = setting(
        2**20,
        "largest event; of a larger one the dead letter keeps the beginning",
        "1KiB to 64MiB, such as 1048576 or 10MB",
        ge=2**10,
        le=2**26,
    )

    @field_validator("event_max_bytes", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return size(value)
