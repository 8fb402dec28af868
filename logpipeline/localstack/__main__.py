"""The whole pipeline on this machine, without Docker, Java or root: what make up runs.

Starts Kafka, Redis, consumer.py, producer.py and dashboard.py, with their data in .local/, and
stops them all on Ctrl-C. The next start goes on with the same data.
"""

import argparse
import math
import sys
from pathlib import Path

from logpipeline import command_line
from logpipeline.localstack.server import ServerError
from logpipeline.localstack.settings import StackSettings
from logpipeline.localstack.stack import Stack

FOLDER = Path(".local")
EXAMPLES = """\
examples:
  make up
  make up RATE=500
  REDIS_URL=redis://localhost:6400/0 make up

exit status: 0 after Ctrl-C or SIGTERM, 1 when it can't start, 2 for a setting that can't be used
"""


def main() -> int:
    settings, options = command_line.load(StackSettings, None, __doc__ or "", add_options, EXAMPLES)
    try:
        Stack(settings, FOLDER, options.rate).run()
    except (ServerError, OSError) as error:
        command_line.fail("local", str(error), 1)
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.prog = "python -m logpipeline.localstack"
    parser.add_argument(
        "--rate", type=rate, default="50", help="events a second, 0 is as fast as it goes"
    )


def rate(text: str) -> str:
    """The text of a number that a producer can keep to. Raises ArgumentTypeError."""
    try:
        if 0 <= float(text) < math.inf:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r}: allowed is a number from 0")


if __name__ == "__main__":
    sys.exit(main())
