"""Every setting, declared once: the only reader of the environment.

A setting comes from the first of: a command-line flag (``--kafka-topic``), an
environment variable (``KAFKA_TOPIC``), the ``.env`` file of the current folder,
its default. A secret may also be in a file (``REDIS_PASSWORD_FILE``, ``--redis-password-file``),
as Docker and Kubernetes give it. README's table and ``.env.example`` are tested against this file.
"""

import argparse
import logging
import re
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import (
    ByteSize,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from redis.connection import parse_url

from logpipeline import tls
from logpipeline.files import own_target

USAGE_ERROR = 2
TOPIC_NAME = r"^[a-zA-Z0-9._-]{1,249}$"  # org.apache.kafka.common.internals.Topic
A_TOPIC = "1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-', and neither '.' nor '..'"
A_PORT = "a whole number from 0 to 65535"
A_NUMBER = "a whole number from 0 to 100000"
A_SIZE = "bytes, such as 1000000, 100MB or 2GiB"
MOST_BYTES = 2**60
PERIODS = {"minute": "1m", "hour": "1h", "day": "1d"}
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
A_NAME = r"\S"  # not blank
A_HOST = r"^\S+$"
A_PEM = "a PEM file's path, or none"
A_STORE = (
    r"^(s3://([^\s/?#@:]+:[^\s/?#@:]+@)?[^\s/?#@:]+(/[^\s?#]*)?"
    r"|(gs|az)://[^\s?#@:]+|file:///[^\s?#]+)?$"
)
SECRET = re.compile(r"((?<=://)|^(?!\w+://)).*(?=@)|(?<=password=)[^&]*")

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
TLS, SASL = ("SSL", "SASL_SSL"), ("SASL_SSL", "SASL_PLAINTEXT")
BY_PASSWORD, BY_TOKEN = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), ("OAUTHBEARER",)
MECHANISMS = BY_PASSWORD + BY_TOKEN

# Kafka's settings that make sense only while another one has one of these values; those that are
# then needed come first. What would be ignored is refused, so that nobody believes in it.
NEEDED = {
    "kafka_sasl_mechanism": ("kafka_security_protocol", SASL),
    "kafka_sasl_username": ("kafka_sasl_mechanism", BY_PASSWORD),
    "kafka_sasl_password": ("kafka_sasl_mechanism", BY_PASSWORD),
    "kafka_oauth_token_url": ("kafka_sasl_mechanism", BY_TOKEN),
    "kafka_oauth_client_id": ("kafka_sasl_mechanism", BY_TOKEN),
    "kafka_oauth_client_secret": ("kafka_sasl_mechanism", BY_TOKEN),
}
POSSIBLE = {
    "kafka_oauth_scope": ("kafka_sasl_mechanism", BY_TOKEN),
    "kafka_ssl_cafile": ("kafka_security_protocol", TLS),
    "kafka_ssl_certfile": ("kafka_security_protocol", TLS),
    "kafka_ssl_keyfile": ("kafka_security_protocol", TLS),
    "kafka_ssl_key_password": ("kafka_security_protocol", TLS),
}


def one_of(values: Sequence[str]) -> str:
    """'A, B or C'."""
    return " or ".join([", ".join(values[:-1]), values[-1]] if values[1:] else values)


def setting(default: Any, meaning: str, allowed: str, **bounds: Any) -> Any:
    """A field whose `meaning` is for --help and `allowed` for its error."""
    return Field(default, description=meaning, json_schema_extra={"allowed": allowed}, **bounds)


def secret(default: Any, meaning: str, allowed: str, **bounds: Any) -> Any:
    """A field that nobody is shown, and that may be in a file."""
    return setting(default, f"{meaning} (secret)", allowed, repr=False, **bounds)


class Settings(BaseSettings):
    """What every script runs with. Raises `pydantic.ValidationError` on an impossible value."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    kafka_bootstrap_servers: str = setting(
        "localhost:9092", "Kafka brokers to ask first", "host:port, or several with commas between"
    )
    kafka_topic: str = setting("logs", "topic of the events", A_TOPIC, pattern=TOPIC_NAME)
    kafka_partitions: int = setting(
        4, "partitions of a topic that is made", "a whole number from 1 to 10000", ge=1, le=10_000
    )
    kafka_replication_factor: int = setting(
        1, "copies of a topic that is made", "a whole number from 1 to 100", ge=1, le=100
    )
    kafka_group_id: str = setting(
        "log-consumer", "consumer group that shares the work", "a name", pattern=A_NAME
    )
    kafka_client_rack: str = setting(
        "",
        "rack of consumer.py: it reads from the replica there; empty: from leaders",
        "a name without blanks, or none",
        pattern=r"^\S*$",
    )
    kafka_dead_letter_topic: str = setting(
        "logs.dead-letter", "topic of what is no event", A_TOPIC, pattern=TOPIC_NAME
    )
    kafka_security_protocol: str = setting(
        "PLAINTEXT",
        "how Kafka is reached: with SSL encrypted, with SASL as a user",
        one_of(PROTOCOLS),
    )
    kafka_sasl_mechanism: str = setting("", "how a SASL user is proved", one_of(MECHANISMS))
    kafka_sasl_username: str = setting("", "user of Kafka", "a name")
    kafka_sasl_password: str = secret("", "password of Kafka's user", "a password")
    kafka_oauth_token_url: str = setting(
        "", "OAUTHBEARER: where client id and secret get a token", "https://… or http://…"
    )
    kafka_oauth_client_id: str = setting("", "OAUTHBEARER: client id", "a name")
    kafka_oauth_client_secret: str = secret("", "OAUTHBEARER: client secret", "a secret")
    kafka_oauth_scope: str = setting("", "OAUTHBEARER: scope to ask for", "scopes, or none")
    kafka_ssl_cafile: str = setting(
        "", "PEM file of who signed Kafka's certificate; empty: the system's", A_PEM
    )
    kafka_ssl_certfile: str = setting("", "PEM file of this client's certificate", A_PEM)
    kafka_ssl_keyfile: str = setting("", "PEM file of that certificate's key", A_PEM)
    kafka_ssl_key_password: str = secret("", "password of that key", "a password")
    redis_url: str = secret(
        "redis://localhost:6379/0",
        "Redis server; rediss:// for TLS, user and password inside",
        "redis://[user:password@]host[:port][/number], rediss://… or unix:///path",
    )
    redis_username: str = setting("", "user of Redis; wins over REDIS_URL's", "a name")
    redis_password: str = secret("", "password of Redis; wins over REDIS_URL's", "a password")
    redis_ssl_cafile: str = setting(
        "", "PEM file of who signed Redis' certificate; empty: the system's", A_PEM
    )
    redis_ssl_certfile: str = setting("", "PEM file of this client's certificate", A_PEM)
    redis_ssl_keyfile: str = setting("", "PEM file of that certificate's key", A_PEM)
    redis_key: str = setting("logs", "prefix of every Redis key", "a name", pattern=A_NAME)
    redis_max_logs: int = setting(
        1000, "events in each Redis list", "a whole number from 1 to 1000000", ge=1, le=1_000_000
    )
    event_max_bytes: ByteSize = setting(
        2**20,
        "largest event; a larger one is a dead letter, of which the beginning is kept",
        "1KiB to 64MiB, such as 1048576 or 10MB",
        ge=2**10,
        le=2**26,
    )
    log_file: Path = setting(
        Path("logs.txt"), "file that gets every event", "a file's path, not a folder"
    )
    log_max_bytes: ByteSize = setting(
        0, "size at which logs.txt is rotated; 0: never", A_SIZE, ge=0, le=MOST_BYTES
    )
    log_rotate_every: str = setting(
        "",
        "how often logs.txt is rotated, at full minutes, hours, days (UTC); empty: never",
        "minute, hour, day, or such as 90s, 15m, 6h, 7d",
        pattern=r"^$|^0*[1-9]\d{0,6}[smhd]$",
    )
    log_compress: Literal["zst", "gz", "none"] = setting(
        "zst", "how rotated files are packed", "zst, gz or none"
    )
    log_keep_files: int = setting(0, "rotated files to keep; 0: all", A_NUMBER, ge=0, le=100_000)
    log_keep_days: int = setting(
        0, "days that rotated files are kept; 0: for ever", A_NUMBER, ge=0, le=100_000
    )
    log_keep_bytes: ByteSize = setting(
        0, "bytes of rotated files to keep; 0: all", A_SIZE, ge=0, le=MOST_BYTES
    )
    log_min_free_bytes: ByteSize = setting(
        0, "bytes left on the disk at which logs.txt waits", A_SIZE, ge=0, le=MOST_BYTES
    )
    archive_url: str = secret(
        "",
        "store that rotated files are sent to, before any is deleted; empty: none",
        "s3://bucket/prefix, s3://KEY:SECRET@bucket/prefix (%2F for a / of the secret), "
        "gs://bucket/prefix, az://container/prefix or file:///folder",
        pattern=A_STORE,
    )
    aws_endpoint_url: str = setting(
        "",
        "S3 server of ARCHIVE_URL; empty: Amazon's",
        "http://host, https://host or with :port",
        pattern=r"^(https?://[\w.-]+(:\d{1,4}|:[1-5]\d{4}|:6[0-4]\d{3})?/?)?$",
    )
    aws_region: str = setting(
        "us-east-1", "region of ARCHIVE_URL's bucket", "a name", pattern=r"^[\w-]+$"
    )
    state_dir: Path = setting(
        Path(".state"), "folder of the positions of producer.py --follow", "a folder's path"
    )
    metrics_port: int = setting(
        9100, "port of consumer.py's Prometheus metrics; 0 turns them off", A_PORT, ge=0, le=65_535
    )
    producer_metrics_port: int = setting(
        0, "port of producer.py's Prometheus metrics; 0: off", A_PORT, ge=0, le=65_535
    )
    alerts_metrics_port: int = setting(
        9102, "port of alerts.py's Prometheus metrics; 0: off", A_PORT, ge=0, le=65_535
    )
    metrics_host: str = setting(
        "127.0.0.1", "address the metrics listen on", "a host name or address", pattern=A_HOST
    )
    alerts_file: Path = setting(
        Path("alerts.toml"), "rules of alerts.py", "a file's path, not a folder"
    )
    alert_urls: str = secret(
        "",
        "whom alerts.py tells beside the log: Apprise URLs",
        "one or more of https://appriseit.com/services/, with commas or spaces between",
    )
    dashboard_port: int = setting(
        8080, "port of the web page", "a whole number from 1 to 65535", ge=1, le=65_535
    )
    dashboard_host: str = setting(
        "127.0.0.1", "address the web page listens on", "a host name or address", pattern=A_HOST
    )
    dashboard_password: str = secret(
        "",
        "password of the web page; empty for none",
        "8 to 200 characters, or none",
        pattern=r"^(.{8,200})?$",
    )

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
            _WithFiles(settings_cls, init_settings, init_settings.init_kwargs),
            _WithFiles(settings_cls, env_settings, env_settings.env_vars),
            _WithFiles(settings_cls, dotenv_settings, dotenv_settings.env_vars),
        )

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        for server in servers:
            address = urlsplit(f"//{server}")
            if not address.hostname or not address.port or re.search(r"[\s/?#@]", server):
                raise ValueError("not host:port")
        return ",".join(servers)

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism")
    @classmethod
    def _kind(cls, value: str, info: ValidationInfo) -> str:
        known = PROTOCOLS if info.field_name == "kafka_security_protocol" else ("", *MECHANISMS)
        if value.upper() not in known:
            raise ValueError("unknown")
        return value.upper()

    @field_validator("kafka_oauth_token_url")
    @classmethod
    def _token_url(cls, value: str) -> str:
        address = urlsplit(value)
        well = address.scheme in {"https", "http"} and address.hostname and "@" not in value
        if value and not well:
            raise ValueError("no URL")
        return value

    @field_validator("kafka_topic", "kafka_dead_letter_topic")
    @classmethod
    def _topic(cls, value: str) -> str:
        if value in {".", ".."}:
            raise ValueError("not a topic's name")
        return value

    @field_validator("redis_url")
    @classmethod
    def _url(cls, value: str) -> str:
        options = parse_url(value)  # type: ignore[no-untyped-call]
        if any(name.startswith("ssl_") for name in options):
            raise ValueError("there are settings for it; and a certificate is always checked")
        address = urlsplit(value)
        if re.search(r"\s", value) or not (address.hostname or address.path):
            raise ValueError("no address")
        if address.scheme != "unix":
            if not address.hostname or address.port == 0:
                raise ValueError("no host")
            if not re.fullmatch(r"/?|/\d+", address.path):
                raise ValueError("not a database's number")
        return value

    @field_validator(
        *("event_max_bytes", "log_max_bytes", "log_keep_bytes", "log_min_free_bytes"),
        mode="before",
    )
    @classmethod
    def _size(cls, value: object) -> object:
        if not re.fullmatch(r"[\d.]+ ?[a-zA-Z]*", str(value).strip()):  # ByteSize takes "4;"
            raise ValueError("not a size")
        return value

    @field_validator("log_rotate_every", mode="before")
    @classmethod
    def _period(cls, value: object) -> object:
        text = str(value).strip().lower()
        return PERIODS.get(text, text)

    @property
    def log_rotate_seconds(self) -> int:
        """LOG_ROTATE_EVERY in seconds, 0 for never."""
        every = self.log_rotate_every
        return int(every[:-1]) * SECONDS[every[-1]] if every else 0

    @field_validator("alert_urls")
    @classmethod
    def _urls(cls, value: str) -> str:
        if not all(re.match(r"\w[\w+.-]*://\S", url) for url in urls(value)):
            raise ValueError("no URLs")
        return value

    @field_validator("alerts_file", "log_file", mode="before")
    @classmethod
    def _file(cls, value: object) -> object:
        if not str(value).strip() or str(value).endswith("/") or "\0" in str(value):
            raise ValueError("not a file's path")
        if stat.S_ISDIR(_mode(str(value))):
            raise ValueError("a folder")
        return value

    @field_validator("log_file")
    @classmethod
    def _target(cls, value: Path) -> Path:
        """A link that the setting names is followed once, here; below it none is."""
        return own_target(value)

    @field_validator("state_dir", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        if not str(value).strip() or "\0" in str(value) or stat.S_ISREG(_mode(str(value))):
            raise ValueError("not a folder's path")
        return value

    @field_validator("*", mode="wrap")  # after the others, which it wraps
    @classmethod
    def _usable(cls, value: object, check: ValidatorFunctionWrapHandler) -> object:
        try:
            return check(value)
        except OSError as error:  # what pydantic lets through, without the setting's name
            raise ValueError(error.strerror) from error

    @model_validator(mode="after")
    def _two_topics(self) -> Self:
        if self.kafka_topic == self.kafka_dead_letter_topic:
            raise ValueError(
                f"KAFKA_DEAD_LETTER_TOPIC={self.kafka_dead_letter_topic!r}: "
                "allowed is another topic than KAFKA_TOPIC"
            )
        return self

    @model_validator(mode="after")
    def _access_to_kafka(self) -> Self:
        for name, (other, values) in (NEEDED | POSSIBLE).items():
            fits = getattr(self, other) in values
            if getattr(self, name) and not fits:
                raise self._refusal(name, f"it only with {other.upper()}={one_of(values)}")
            if name in NEEDED and fits and not getattr(self, name):
                setting = f"{other.upper()}={getattr(self, other)}"
                raise self._refusal(name, f"{_allowed(name)}, with {setting}")
        if self.kafka_ssl_key_password and not self.kafka_ssl_keyfile:
            raise self._refusal("kafka_ssl_key_password", "it only with KAFKA_SSL_KEYFILE")
        tls.check(
            "KAFKA_SSL_",
            self.kafka_ssl_cafile,
            self.kafka_ssl_certfile,
            self.kafka_ssl_keyfile,
            self.kafka_ssl_key_password,
        )
        return self

    @model_validator(mode="after")
    def _access_to_redis(self) -> Self:
        known = parse_url(self.redis_url)  # type: ignore[no-untyped-call]
        if self.redis_username and not (self.redis_password or known.get("password")):
            raise self._refusal("redis_password", "a password, with REDIS_USERNAME")
        files = ("redis_ssl_cafile", "redis_ssl_certfile", "redis_ssl_keyfile")
        for name in files:
            if getattr(self, name) and urlsplit(self.redis_url).scheme != "rediss":
                raise self._refusal(name, "it only with a rediss:// REDIS_URL")
        tls.check("REDIS_SSL_", *(getattr(self, name) for name in files))
        return self

    def _refusal(self, name: str, allowed: str) -> ValueError:
        value = getattr(self, name)
        shown = "***" if value and name in SECRETS else value
        return ValueError(f"{name.upper()}={shown!r}: allowed is {allowed}")


SECRETS = [name for name, field in Settings.model_fields.items() if not field.repr]
NAMES = {*Settings.model_fields, *(f"{name}_file" for name in SECRETS)}


class SecretFileError(ValueError):
    """A file that should hold a secret does not; str() is one line that names the setting."""


class _WithFiles(PydanticBaseSettingsSource):
    """A source of settings, and the secrets whose files it names. `given` is all that it has.

    A secret that a source before it has is not looked for. Raises SecretFileError.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        source: PydanticBaseSettingsSource,
        given: Mapping[str, Any],
    ) -> None:
        super().__init__(settings_cls)
        self._source = source
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        values = dict(self._source())
        for name in SECRETS:
            path = self._given.get(f"{name}_file")
            if path and name not in self.current_state:
                if values.get(name):
                    both = f"{name.upper()} and {name.upper()}_FILE"
                    raise SecretFileError(f"{both} are set: allowed is one of them")
                values[name] = _secret_from(name, str(path))
        return values


def _secret_from(name: str, path: str) -> str:
    """The text of a file without the newline at its end. Raises SecretFileError."""
    setting = f"{name.upper()}_FILE={path!r}"
    try:
        text = Path(path).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SecretFileError(f"{setting} can't be read: {reason}") from None
    if not text:
        raise SecretFileError(f"{setting} is empty")
    return text


def load(
    argv: Sequence[str] | None,
    description: str,
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    examples: str = "",
) -> tuple[Settings, argparse.Namespace]:
    """The settings, and a script's own options, from the command line and the environment.

    `add_options` adds the script's options to the parser; `examples` ends its --help.
    Raises SystemExit: 0 after --help, 2 after one line on stderr about what is wrong.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if add_options:
        add_options(parser)
    flags = parser.add_argument_group(
        "settings",
        "each also by its environment variable or a line in .env: KAFKA_TOPIC=logs. Others of this "
        "machine see a secret that is in a flag: take a variable, or a file for it.",
    )
    for name, field in Settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        help_text = f"{field.description} (default: {field.default})"
        flags.add_argument(flag, default=argparse.SUPPRESS, metavar="VALUE", help=help_text)
        if name in SECRETS:
            help_text = f"file that has it, or {name.upper()}_FILE"
            flags.add_argument(
                f"{flag}-file", default=argparse.SUPPRESS, metavar="FILE", help=help_text
            )
    options = parser.parse_args(argv)
    given = {k: v for k, v in vars(options).items() if k in NAMES}
    try:
        return Settings(**given), options
    except ValidationError as error:
        fail(parser.prog, "; ".join(sorted(_sentence(e) for e in error.errors())))
    except SecretFileError as error:
        fail(parser.prog, str(error))
    except (OSError, UnicodeDecodeError) as error:
        fail(parser.prog, f".env can't be read: {error}")


def urls(text: str) -> list[str]:
    """The URLs of ALERT_URLS: each begins at a scheme, as some have commas inside."""
    return re.split(r"[\s,]+(?=\w[\w+.-]*://)", text.strip(" ,\t\r\n")) if text.strip() else []


def fail(program: str, sentence: str, status: int = USAGE_ERROR) -> NoReturn:
    """End the program with one line on stderr: for a user's mistake, instead of a traceback."""
    print(f"{program}: {sentence}", file=sys.stderr)
    raise SystemExit(status)


def log_to_stderr() -> None:
    """One line a message, the pipeline's own alone: kafka-python tells of each retry."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _mode(path: str) -> int:
    """Of what is there, 0 for nothing. Raises OSError."""
    try:
        return Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _allowed(name: str) -> str:
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["allowed"]) if isinstance(extra, dict) else ""


def _sentence(error: Any) -> str:
    """One pydantic error as 'NAME=value: allowed is …', without any password."""
    if not error["loc"]:
        return str(error["ctx"]["error"])
    name = str(error["loc"][0])
    value = SECRET.sub("***", str(error["input"]))
    if name in SECRETS and name != "redis_url":  # that has an address too
        value = "***"
    cause = getattr(error.get("ctx", {}).get("error"), "__cause__", None)
    if isinstance(cause, OSError):
        return f"{name.upper()}={value!r} can't be used: {cause.strerror}"
    return f"{name.upper()}={value!r}: allowed is {_allowed(name)}"
