"""Settings of events: how large one may be."""

from pydantic import ByteSize, field_validator

from logpipeline.settings import RoomSettings, setting, size


class EventSettings(RoomSettings):
    """Of who decides whether a record is an event."""

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
