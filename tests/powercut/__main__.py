"""Power cut: build every state that one may leave on disk, recover from it, and compare.

Real runs of the real code are recorded: appends, checkpoints, rotation, packing, a store, and
recovery itself; in every third run, some calls fail with EIO or ENOSPC. After each operation,
states are built of what a file system may show then: what was not synced is there, missing, torn
at 512 or 4,096 bytes, or zeros; names that were created, renamed or removed since the folder's last
sync are there or not, in any mixture. From each state the real code recovers, Kafka sends the rest
(in half of them, it has lost its own last records), and what the files have is compared with what
was sent.
"""

import argparse
import random
import sys
from itertools import count, islice

from tests.powercut.states import Run, folder_in_memory, some_fail

STATES = 5_000
WELL, BROKEN = 0, 1  # exit status
SHOWN = 5  # problems of a run
EXAMPLES = """\
examples:
  make powercut
  make powercut STATES=50000
  make powercut SEED=7

exit status: 0 when nothing was lost, doubled or torn, 1 when something was
"""


def main() -> int:
    options = parse()
    print(f"make powercut STATES={options.states} SEED={options.seed}", flush=True)
    judged = broken = runs = 0
    with folder_in_memory() as folder:
        for seed in count(options.seed):
            run = Run(folder / str(seed), seed, fault=some_fail(seed))
            runs += 1
            verdicts = list(islice(run.verdicts(), options.states - judged))
            problems = [verdict for verdict in verdicts if verdict.problem]
            judged, broken = judged + len(verdicts), broken + len(problems)
            operations = len(run.recorder.operations)
            print(f"seed {seed}: {operations} operations, {len(verdicts):,} states", flush=True)
            for verdict in problems[:SHOWN]:
                print(f"  after {verdict.where}: {verdict.problem}")
                states = verdict.number + 1
                print(f"  to repeat: make powercut SEED={seed} STATES={states}", flush=True)
            if judged >= options.states:
                break
    result = f"{broken:,} BROKEN" if broken else "nothing was lost, doubled or torn"
    print(f"{judged:,} states of {runs} runs: {result}")
    return BROKEN if broken else WELL


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="powercut",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--states", type=natural, default=STATES, metavar="N", help=f"default: {STATES:,}"
    )
    parser.add_argument(
        "--seed",
        type=natural,
        default=random.randrange(1_000_000),
        metavar="N",
        help="repeat the runs of this seed (default: a new one)",
    )
    return parser.parse_args()


def natural(text: str) -> int:
    """Raises argparse.ArgumentTypeError."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: it must be a whole number")


if __name__ == "__main__":
    sys.exit(main())
