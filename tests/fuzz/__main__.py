"""Throw hostile input at every part of the repository, and say which promise broke.

Each target gets the same time. An input that breaks a promise is made smaller, and kept in
.local/fuzz/ with what it broke. Real Redis and real programs are started where a target is one.
"""

import argparse
import logging
import random
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.hunt import Hunt
from tests.fuzz.saved import FOLDER, Unreadable, load
from tests.fuzz.target import MIB, Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import judged

SECONDS = 3_600.0
TURN = 5.0  # seconds that a target has at once
FIRST, MOST = 20, 2_000  # inputs of a turn
EVERY = 30.0  # seconds between lines of progress
SHARED = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - no disk is waited for
KEPT, BROKEN, UNUSABLE = 0, 1, 2
EXAMPLES = """\
examples:
  make fuzz                                an hour, each target in turn
  make fuzz SECONDS=60 TARGET="lines page"
  make fuzz INPUT=.local/fuzz/lines-0a1b2c3d4e.txt

exit status: 0 when every promise was kept, 1 when one was broken, 2 for an option that can't be
used
"""


def main(argv: Sequence[str] | None = None, targets: Sequence[Target] = TARGETS) -> int:
    options = _options(argv, [target.name for target in targets])
    logging.disable()
    warnings.simplefilter("ignore")
    by_name = {target.name: target for target in targets}
    if options.input:
        return again(options.input, by_name)
    chosen = [by_name[name] for name in options.target] or list(targets)
    with opened(chosen) as hunts:
        print(f"seed {options.seed}: {options.seconds:g} s for {len(hunts)} targets", flush=True)
        run(hunts, options.seconds, options.seed)
    return report(hunts)


def again(path: Path, targets: dict[str, Target]) -> int:
    """Throw a saved input. Returns the exit status."""
    try:
        name, given = load(path)
    except Unreadable as problem:
        return _refuse(str(problem))
    if name not in targets:
        return _refuse(f"{path} is for the target {name!r}, which is none of {', '.join(targets)}")
    target = targets[name]
    print(f"{name}: {target.promise}")
    with opened([target]) as [hunt]:
        spent = judged(target, hunt.aim, given)
    print(f"kept: {spent.seconds:.3f} s of CPU time, {spent.bytes / MIB:,.1f} MiB")
    return KEPT


@contextmanager
def opened(targets: Sequence[Target]) -> Iterator[list[Hunt]]:
    """A hunt for each, with whatever servers it needs, until the end of the block."""
    with ExitStack() as stack:
        base = Path(stack.enter_context(TemporaryDirectory(prefix="log-fuzz-", dir=SHARED)))
        hunts = []
        for target in targets:
            folder = base / target.name
            folder.mkdir()
            hunts.append(Hunt(target, stack.enter_context(target.open(folder))))
        yield hunts


def run(hunts: Sequence[Hunt], seconds: float, seed: int) -> None:
    """First what was harmful once, then new inputs until the time is over; always some of each."""
    began = shown = time.monotonic()
    turn = min(TURN, seconds / len(hunts) / 4)
    for hunt in hunts:
        hunt.corpus()
        hunt.spent, hunt.shrinking = 0.0, min(hunt.shrinking, max(1.0, 2 * turn))
        hunt.longest = min(hunt.longest, max(5.0, 12 * turn))
    dice = random.Random(seed)
    examples = dict.fromkeys((hunt.target.name for hunt in hunts), FIRST)
    while time.monotonic() - began < seconds or not all(hunt.spent for hunt in hunts):
        hunt = min(hunts, key=lambda hunt: hunt.spent)
        before = hunt.examples, hunt.spent
        hunt.turn(dice.getrandbits(32), examples[hunt.target.name])
        each = (hunt.spent - before[1]) / max(1, hunt.examples - before[0])
        examples[hunt.target.name] = int(min(MOST, max(1, turn / max(each, 1e-6))))
        if time.monotonic() - shown > EVERY:
            shown = time.monotonic()
            _progress(hunts, shown - began)


def report(hunts: Sequence[Hunt]) -> int:
    """Print what happened, and keep what broke. Returns the exit status."""
    print(f"{'target':10}{'inputs':>10}{'slowest':>11}{'largest':>11}{'faults':>8}")
    for hunt in hunts:
        print(
            f"{hunt.target.name:10}{hunt.examples:10,}{1_000 * hunt.slowest:8,.0f} ms"
            f"{hunt.largest / MIB:7,.0f} MiB{len(hunt.failures):8}"
        )
    failures = [(hunt, failure) for hunt in hunts for failure in hunt.failures.values()]
    for hunt, failure in failures:
        path = failure.save()
        print(f"\nBROKEN {failure.place}\n  promise: {hunt.target.promise}")
        print(f"  again:   make fuzz INPUT={path}")
        print("  " + "\n  ".join(failure.words.rstrip().splitlines()[-3:]))
    print(f"\n{len(failures)} faults" if failures else "every promise was kept")
    return BROKEN if failures else KEPT


def _progress(hunts: Sequence[Hunt], seconds: float) -> None:
    examples, failures = sum(h.examples for h in hunts), sum(len(h.failures) for h in hunts)
    print(f"{seconds:6,.0f} s  {examples:,} inputs, {failures} faults", flush=True)


def _options(argv: Sequence[str] | None, names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="N", help="default: 3600")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32), metavar="N")
    parser.add_argument("--target", nargs="+", default=[], choices=names, metavar="NAME")
    parser.add_argument("--input", type=Path, metavar="FILE", help="throw a saved input again")
    return parser.parse_args(argv)


def _refuse(sentence: str) -> int:
    print(f"fuzz: {sentence}; see {FOLDER}", file=sys.stderr)
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
