"""Command line: a program's settings and options, its one-line errors, and its log on stderr."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from pydantic import ValidationError

from logpipeline.settings import RoomSettings, SettingsError, described

USAGE_ERROR = 2
AnySettings = TypeVar("AnySettings", bound=RoomSettings)


def load(
    settings: type[AnySettings],
    argv: Sequence[str] | None,
    description: str,
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
    examples: str = "",
) -> tuple[AnySettings, argparse.Namespace]:
    """A program's settings, and its own options, from the command line and the environment.

    `add_options` adds the options to the parser; `examples` ends its --help.
    Raises SystemExit: 0 after --help, 2 after one line on stderr that names the mistake.
    """
    parser = argparse.ArgumentParser(
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
    try:
        return settings(**given), options
    except ValidationError as error:
        fail(parser.prog, described(settings, error))
    except SettingsError as error:
        fail(parser.prog, str(error))
    except (OSError, UnicodeDecodeError) as error:
        fail(parser.prog, f".env cannot be read: {error}")


def fail(program: str, sentence: str, status: int = USAGE_ERROR) -> NoReturn:
    """End the program with one line on stderr, where a user's mistake would give a traceback."""
    print(f"{program}: {sentence}", file=sys.stderr)
    raise SystemExit(status)


def log_to_stderr() -> None:
    """Log the pipeline's own messages, one line each; kafka-python would report each retry."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _add_flags(parser: argparse.ArgumentParser, settings: type[RoomSettings]) -> None:
    flags = parser.add_argument_group(
        "settings",
        "Each can also be an environment variable or a line of .env: KAFKA_TOPIC=logs. Other users "
        "of this machine can see a secret in a flag: use the variable, or a file.",
    )
    for name, field in settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        help_text = f"{field.description} (default: {field.default})"
        flags.add_argument(flag, default=argparse.SUPPRESS, metavar="VALUE", help=help_text)
        if name in settings.secrets():
            help_text = f"read it from this file (also {name.upper()}_FILE)"
            flags.add_argument(
                f"{flag}-file", default=argparse.SUPPRESS, metavar="FILE", help=help_text
            )
