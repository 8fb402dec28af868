"""Options: the command line of find.py."""

import argparse
import math
from collections.abc import Callable
from contextlib import suppress

from logpipeline.command_line import fail
from logpipeline.events.event import LEVELS
from logpipeline.find.condition import A_CONDITION
from logpipeline.find.query import Query
from logpipeline.moment import A_TIME, moment

MOST = 10_000_000
A_NUMBER = "a whole number from 1"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="find events with all these in the message or the fields, in any case unless a word "
        "has capitals",
    )
    for flag, metavar, meaning in (
        ("--level", "LEVEL", f"of this level: {', '.join(LEVELS)}; repeatable"),
        ("--service", "NAME", "of this service; repeatable"),
        ("--where", "FIELD=VALUE", f"where a field is so: {A_CONDITION}; repeatable"),
    ):
        parser.add_argument(flag, action="append", default=[], metavar=metavar, help=meaning)
    _checked(parser, "--since", moment, A_TIME, "dated from then on", -math.inf)
    _checked(parser, "--to", moment, A_TIME, "and before then", math.inf)
    _checked(parser, "--context", count, A_NUMBER, "add so many neighbours before and after", 0)
    _checked(parser, "--newest", count, A_NUMBER, "find so many, the newest", 0)
    for flag, meaning in {
        "--regex": "the words are regular expressions",
        "--context-all": "the neighbours are those in the file, not of the same service or host",
        "--count": "print the number of events by level and hour",
        "--json": "print the events as they are in the archive, as a pipe gets them",
        "--follow": "continue with what arrives, until Ctrl-C",
        "--index": "index rotated files that have no index, and find nothing",
    }.items():
        parser.add_argument(flag, action="store_true", help=meaning)


def query_of(options: argparse.Namespace) -> Query:
    """Raises SystemExit if options contradict one another."""
    program = "find.py"
    for one, other in (
        ("count", "follow"),
        ("count", "newest"),
        ("count", "context"),
        ("context", "follow"),
        ("index", "follow"),
        ("index", "count"),
        ("index", "words"),
    ):
        if getattr(options, one) and getattr(options, other):
            fail(
                program,
                f"--{one} cannot be used with {'words' if other == 'words' else f'--{other}'}",
            )
    if options.follow and options.to != math.inf:
        fail(program, "--follow cannot be used with --to")
    if options.since >= options.to:
        fail(program, "--to must be a time after --since")
    levels = [name for text in options.level for name in text.split(",")]
    return Query(
        tuple(options.words),
        options.regex,
        tuple(levels),
        tuple(options.service),
        tuple(options.where),
        options.since,
        options.to,
    )


def count(text: str) -> int:
    """Raises ValueError."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST):
        raise ValueError
    return int(text)


def _checked(
    parser: argparse.ArgumentParser,
    flag: str,
    parse: Callable[[str], float],
    must_be: str,
    meaning: str,
    default: float,
) -> None:
    def checked(text: str) -> float:
        with suppress(ValueError):
            return parse(text)
        return fail(parser.prog, f"{flag} {text}: must be {must_be}")

    parser.add_argument(
        flag, type=checked, default=default, metavar="N", help=f"{meaning}: {must_be}"
    )
