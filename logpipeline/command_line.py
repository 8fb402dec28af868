"""Command line: a program's settings and options, its one-line errors, and its log on stderr."""

import argparse
import errno
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from logpipeline.settings import RoomSettings, SettingsError, ShownTimesSettings
from logpipeline.terminal import printable

USAGE_ERROR = 2
GC_THRESHOLD = 50_000  # objects
AnySettings = TypeVar("AnySettings", bound=RoomSettings)
Result = TypeVar("Result")


def load(
    settings: type[AnySettings],
    argv: Sequence[str] | None,
    description: str,
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    examples: str = "",
    shows_times: bool = False,
) -> tuple[AnySettings, argparse.Namespace]:
    """A program's settings, and its own options, from the command line and the environment.

    `add_options` adds the options to the parser; `examples` ends its --help.
    With `shows_times`, TIME_ZONE=utc makes UTC the local time, also of those options.
    Raises SystemExit: 0 after --help, 2 after one line on stderr that names the mistake.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look for them for 6 ms
    parser = _Parser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if add_options:
        add_options(parser)
    _add_flags(parser, settings)
    options = parser.parse_args(argv)
    given = {k: v for k, v in vars(options).items() if k in settings.names()}
    found = resolved(parser.prog, lambda: settings.checked(**given))
    if shows_times and isinstance(found, ShownTimesSettings) and found.shows_utc:
        os.environ["TZ"] = "UTC"
        time.tzset()
        options = parser.parse_args(argv)  # some are times
    return found, options


def collect_rarely() -> None:
    """Look for garbage in cycles rarely: a program that handles many events makes almost none, and
    each search takes time."""
    gc.set_threshold(GC_THRESHOLD)


def resolved(program: str, make: Callable[[], Result]) -> Result:
    """What `make` makes of settings. Raises SystemExit for its SettingsError."""
    try:
        return make()
    except SettingsError as error:
        fail(program, str(error))


def listen(program: str, setting: str, host: str, port: int, backlog: int) -> socket.socket:
    """A socket at the address that the settings `setting`_HOST and `setting`_PORT name.

    Raises SystemExit when it cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=backlog)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name with two dots in a row
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        problem = "already in use" if taken else str(error)
        fail(program, f"{setting}_PORT={port} on {setting}_HOST={host}: {problem}")


def fail(program: str, sentence: str, status: int = USAGE_ERROR) -> NoReturn:
    """End the program with one line on stderr: for a user's mistake, instead of a traceback."""
    print(f"{program}: {printable(sentence)}", file=sys.stderr)
    raise SystemExit(status)


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, instead of the usage before it, which has fifty."""

    def error(self, message: str) -> NoReturn:
        fail(self.prog, f"{message} (--help lists the options)")


class _Line(logging.Formatter):
    """One line a message, whatever is in it: some of it comes from strangers."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))

    def formatException(self, error: Any) -> str:  # noqa: N802
        return "\n".join(map(printable, super().formatException(error).split("\n")))


def log_to_stderr() -> None:
    """One line a message, the pipeline's own alone: kafka-python reports each retry."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _add_flags(parser: argparse.ArgumentParser, settings: type[RoomSettings]) -> None:
    flags = parser.add_argument_group(
        "settings",
        "Each can also be an environment variable or a line of .env: KAFKA_TOPIC=logs. Other users "
        "of this machine can see a secret in a flag: use the variable, or a file.",
    )
    secrets = settings.secrets()
    for name, field in settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        help_text = f"{field.description} (default: {field.default})"
        flags.add_argument(flag, default=argparse.SUPPRESS, metavar="VALUE", help=help_text)
        if name in secrets:
            help_text = f"read it from this file (also {name.upper()}_FILE)"
            flags.add_argument(
                f"{flag}-file", default=argparse.SUPPRESS, metavar="FILE", help=help_text
            )
