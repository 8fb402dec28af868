"""Run the whole pipeline on this machine, without Docker, Java or root, as `make up` does.

Starts Kafka, Redis, consumer.py, producer.py, collector.py, alerts.py and dashboard.py, with their
data in .local/, and stops them all on Ctrl-C. The next start uses the same data.
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

exit status: 0 after Ctrl-C or SIGTERM, 1 when it cannot start, 2 when a setting is invalid
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
        "--rate",
        type=rate,
        default="50",
        help="send so many events a second (0: no limit)",
    )


def rate(text: str) -> str:
    """The text of a rate for producer.py. Raises ArgumentTypeError."""
    try:
        if 0 <= float(text) < math.inf:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r}: must be a number from 0")


if __name__ == "__main__":
    sys.exit(main())
