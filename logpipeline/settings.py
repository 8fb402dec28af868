"""Settings: how a room declares its settings, and where their values come from.

A value comes from the first of: an argument (a command-line flag), an environment variable
(``KAFKA_TOPIC``), the ``.env`` file of the current folder, its default. A secret may also be in a
file (``REDIS_PASSWORD_FILE``), as Docker and Kubernetes provide it.
"""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

LONGEST = 100  # characters of a value in an error
A_NAME = r"\S"  # not blank
A_HOST = r"^\S+$"
A_PORT = "a whole number from 0 to 65535"
A_PEM = "a PEM file's path, or empty"
A_SIZE = "bytes, such as 1000000, 100MB or 2GiB"
PASSWORD_IN_URL = re.compile(r"((?<=://)|^(?!\w+://)).*(?=@)|(?<=password=)[^&]*")


class SettingsError(ValueError):
    """A setting cannot be used; str() is one line: its name, its value, and what it must be."""


def setting(default: Any, meaning: str, must_be: str, **bounds: Any) -> Any:
    """A field whose `meaning` is for --help and `must_be` for its error."""
    return Field(default, description=meaning, json_schema_extra={"must_be": must_be}, **bounds)


def secret(default: Any, meaning: str, must_be: str, **bounds: Any) -> Any:
    """A field that is never shown, and that may be in a file."""
    return setting(default, f"{meaning} (secret)", must_be, repr=False, **bounds)


def quoted(value: object) -> str:
    """A value as an error shows it: on one line, and only its beginning if it is long."""
    text = value if isinstance(value, str) else repr(value)
    return repr(value) if len(text) <= LONGEST else repr(text[:LONGEST] + "…")


def one_of(values: Sequence[str]) -> str:
    """'A, B or C'."""
    return " or ".join([", ".join(values[:-1]), values[-1]] if values[1:] else values)


def file_path(value: object) -> object:
    """`value` if it can be a file's path. Raises ValueError otherwise, also for a folder."""
    if not str(value).strip() or str(value).endswith("/") or "\0" in str(value):
        raise ValueError("not a file's path")
    if stat.S_ISDIR(_mode(str(value))):
        raise ValueError("a folder")
    return value


def folder_path(value: object) -> object:
    """`value` if it can be a folder's path. Raises ValueError otherwise, also for a file."""
    if not str(value).strip() or "\0" in str(value) or stat.S_ISREG(_mode(str(value))):
        raise ValueError("not a folder's path")
    return value


def size(value: object) -> object:
    """`value` if pydantic's ByteSize may read it: that accepts "4;" too. Raises ValueError."""
    if not re.fullmatch(r"[\d.]+ ?[a-zA-Z]*", str(value).strip()):
        raise ValueError("not a size")
    return value


def urls(text: str) -> list[str]:
    """The URLs in one setting: each begins at a scheme, as some contain commas."""
    return re.split(r"[\s,]+(?=\w[\w+.-]*://)", text.strip(" ,\t\r\n")) if text.strip() else []


class RoomSettings(BaseSettings):
    """The base of every room's settings; those of a program inherit from its rooms'.

    Raises `pydantic.ValidationError` for an invalid value, SettingsError for a secret's file that
    cannot be used.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # until it is used: a program uses one of a dozen
    )

    @classmethod
    def checked(cls, **given: Any) -> Self:
        """The settings `given` by name; the others come from the environment and .env."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(described(cls, error)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f".env cannot be read: {error}") from None

    @classmethod
    def secrets(cls) -> list[str]:
        """The names of the fields whose values are never shown."""
        return [name for name, field in cls.model_fields.items() if not field.repr]

    @classmethod
    def names(cls) -> set[str]:
        """Accepted names: each field, and the file of each secret."""
        return {*cls.model_fields, *(f"{name}_file" for name in cls.secrets())}

    @classmethod
    def must_be(cls, name: str) -> str:
        extra = cls.model_fields[name].json_schema_extra
        return str(extra["must_be"]) if isinstance(extra, dict) else ""

    def refusal(self, name: str, demand: str) -> ValueError:
        """The error for a field whose value conflicts with another's."""
        value = getattr(self, name)
        shown = "***" if value and name in self.secrets() else value
        return ValueError(f"{name.upper()}={quoted(shown)}: {demand}")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Any,
        env_settings: Any,
        dotenv_settings: Any,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            _WithSecretFiles(cls, init_settings, init_settings.init_kwargs),
            _WithSecretFiles(cls, env_settings, env_settings.env_vars),
            _WithSecretFiles(cls, dotenv_settings, dotenv_settings.env_vars),
        )


class MetricsSettings(RoomSettings):
    """For every program that has metrics; each has its own port."""

    metrics_host: str = setting(
        "127.0.0.1", "address the metrics listen on", "a host name or address", pattern=A_HOST
    )


class ShownTimesSettings(RoomSettings):
    """For every program that shows the times of events to people."""

    time_zone: str = setting(
        "local",
        "zone of the times that the web page, reports, find.py and make recent show: local or utc",
        "local or utc",
        pattern=r"(?i)^(local|utc)$",
    )

    @property
    def shows_utc(self) -> bool:
        return self.time_zone.lower() == "utc"


def described(settings: type[RoomSettings], error: ValidationError) -> str:
    """The errors of pydantic in one line: 'NAME=value: must be …', without any password."""
    return "; ".join(sorted(_sentence(settings, one) for one in error.errors()))


def _sentence(settings: type[RoomSettings], error: Any) -> str:
    if not error["loc"]:
        return str(error["ctx"]["error"])
    name = str(error["loc"][0])
    value = PASSWORD_IN_URL.sub("***", str(error["input"]))
    if name in settings.secrets() and name != "redis_url":  # whose address may be shown
        value = "***"
    cause = getattr(error.get("ctx", {}).get("error"), "__cause__", None)
    if isinstance(cause, OSError):
        return f"{name.upper()}={quoted(value)} cannot be used: {cause.strerror}"
    return f"{name.upper()}={quoted(value)}: must be {settings.must_be(name)}"


def _mode(path: str) -> int:
    """The mode of the file at `path`, 0 when there is none. Raises ValueError."""
    try:
        return Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:  # which pydantic would report without the setting's name
        raise ValueError(error.strerror) from error


class _WithSecretFiles(PydanticBaseSettingsSource):
    """A source of settings, with the secrets whose files it names. `given` is all of its values.

    A secret that an earlier source has given is not read. Raises SettingsError.
    """

    def __init__(
        self,
        settings: type[RoomSettings],
        source: PydanticBaseSettingsSource,
        given: Mapping[str, Any],
    ) -> None:
        super().__init__(settings)
        self._secrets = settings.secrets()
        self._source = source
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        values = dict(self._source())
        for name in self._secrets:
            path = self._given.get(f"{name}_file")
            if path and name not in self.current_state:
                if values.get(name):
                    raise SettingsError(
                        f"{name.upper()} cannot be combined with {name.upper()}_FILE"
                    )
                values[name] = _secret_from(name, str(path))
        return values


def _secret_from(name: str, path: str) -> str:
    """The text of a secret's file without its final newline. Raises SettingsError."""
    given = f"{name.upper()}_FILE={quoted(path)}"
    try:
        text = Path(path).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it must be UTF-8 text"
        raise SettingsError(f"{given} cannot be read: {reason}") from None
    if not text:
        raise SettingsError(f"{given} is empty")
    return text
