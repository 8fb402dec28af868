"""Settings of events: their largest size, and what is redacted in them."""

import re
from pathlib import Path

from pydantic import ByteSize, field_validator

from logpipeline.events.redaction import KINDS, Pattern, Redaction
from logpipeline.settings import (
    RoomSettings,
    SettingsError,
    file_path,
    quoted,
    secret,
    setting,
    size,
)

PATTERN_LINE = re.compile(r"(?:([A-Za-z][\w-]{0,39})\s+=\s+)?(\S.*)")


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


class RedactionSettings(RoomSettings):
    """For programs that send events of others: what is replaced before Kafka."""

    redact: str = setting(
        "",
        "what is replaced in events before Kafka: email, card, token, ip",
        f"some of {', '.join(KINDS)}, separated by commas, or empty",
    )
    redact_key: str = secret("", "key of the hashes that replace it; empty: no hashes", "a text")
    redact_file: str = setting(
        "", "file of further patterns: NAME = REGEX, one a line", "a file's path, or empty"
    )

    @field_validator("redact")
    @classmethod
    def _kinds(cls, value: str) -> str:
        if set(_split(value)) - set(KINDS):
            raise ValueError("an unknown kind")
        return value

    @field_validator("redact_file", mode="before")
    @classmethod
    def _file(cls, value: object) -> object:
        return str(file_path(value)) if value else ""

    def redaction(self) -> Redaction | None:
        """What replaces it; None when nothing is. Raises SettingsError for an invalid pattern."""
        patterns = _patterns(Path(self.redact_file)) if self.redact_file else []
        kinds = _split(self.redact)
        return Redaction(kinds, self.redact_key, patterns) if kinds or patterns else None


def _split(kinds: str) -> list[str]:
    return [kind for each in kinds.split(",") if (kind := each.strip().lower())]


def _patterns(path: Path) -> list[Pattern]:
    """Raises SettingsError."""
    given = f"REDACT_FILE={quoted(str(path))}"
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it must be UTF-8 text"
        raise SettingsError(f"{given} cannot be read: {reason}") from None
    made = []
    for number, line in enumerate(lines, 1):
        found = PATTERN_LINE.fullmatch(line.strip())
        if not found or line.lstrip().startswith("#"):
            continue
        try:
            pattern = re.compile(found[2])
        except re.error as error:
            raise SettingsError(
                f"{given}: line {number} must be a regular expression: {error}"
            ) from None
        if pattern.search(""):
            raise SettingsError(f"{given}: line {number} must not match an empty text")
        made.append(Pattern(found[1] or "redacted", pattern))
    return made
