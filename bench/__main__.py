"""Measure the speed of the pipeline and its alternatives on this machine, as `make bench` does.

Starts its own Kafka and Redis on free ports, and writes bench/RESULTS.md and bench/results.svg.
With --smoke it takes under a minute, prints the ratios and writes nothing.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import chart, crowd, end_to_end, latency, report, rivals, search, senders
from bench.contender import Contender, ContenderError, Filled, Result, race
from bench.stage import Stage
from logpipeline.localstack.server import ServerError

HERE = Path(__file__).resolve().parent
ROUNDS = 5
EVENTS = 1_000_000
SENT = 1_000_000
LINES = 500_000
RATES = (100, 1_000, 10_000, 50_000)  # events/s
BACKLOGS, LARGEST = (10_000, 100_000), 10_000_000
SMOKE_EVENTS = 500_000
SECONDS = 12.0  # of each latency

TEXT = """\
# How fast it is

`make bench` wrote this on one machine, where everything shares its cores: the broker, Redis, the
producers and what is measured. So read the ratios; other machines have other figures. All take
turns on the same topics and are repeated; figures are medians.

{machine}

## Reading a topic

![Events per second](results.svg)

{race}

By these medians consumer.py has

{ratios}

{events} events of {size} bytes, in 4 partitions and lz4 batches, already in Kafka. consumer.py
runs with all its promises: each event validated, in logs.txt once and on disk (fsync), a
checkpoint, the newest in Redis, Kafka's commit. The tutorial loop does `lpush`, `ltrim`, `open`
and `write` for each message, with neither fsync nor checkpoint, and reads {share:.0%} of the
events. Bare polling throws the records away. rsyslog (imkafka, omfile, omhiredis) writes without
fsync and publishes to Redis, which keeps nothing; its batches and buffers are larger than its
defaults. kcat is the floor: librdkafka that throws the events away, its start included.
Otherwise the time is from the first event that is seen to the last, which favours those that read
ahead (confluent-kafka, rsyslog), and the CPU time is that of the reading process alone, without
the broker and Redis.

## Sending

{sending}

![Events sent per second](sending.svg)

{sent} events made beforehand; a fifth of them for the slow ones. The outbox is what producer.py
sends with: idempotent, acknowledged by all replicas, lz4, every event counted. confluent-kafka,
kcat and the library's send are as reliable; the bare loop is `KafkaProducer.send` with its
defaults. `producer.py --rate 0` makes its events while it sends them. A program's events are timed
in the topic, from the first one seen to the last.

## Shipping a file

{shipping}

{lines} lines of each kind. kcat and rsyslog send a line as it is; producer.py makes it an event.

## From a file to logs.txt and Redis

{whole}

producer.py ships an access log of {lines} lines while consumer.py reads it, with all their
promises: from the first event in Kafka until the last one is in logs.txt, on disk, and in Redis.
The CPU time and memory are those of both.

## From event to file and to Redis

{latency}

producer.py and consumer.py with default settings for {seconds:.0f} s each; from the event's own
timestamp to the checkpoint that follows its fsync, and to the offset in Redis that changes
together with the lists. Seen by an observer that looks every millisecond.

## Backlogs

{backlogs}

The shorter ones are timed from the moment that a consumer, which has joined the group, may run.

## Several consumers

{crowd}

They share one consumer group of 8 partitions, one logs.txt and the machine's cores. The memory
is that of the largest.
"""


def main() -> int:
    options = parse()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            Stage(Path(folder)).running() as stage,
        ):
            if options.sending:
                send(stage)
            else:
                smoke(stage) if options.smoke else measure(stage, options.full)
    except (ServerError, ContenderError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def smoke(stage: Stage) -> None:
    """One short race."""
    filled = stage.filled(4, SMOKE_EVENTS)
    results = compete(1, lambda: rivals.all_here(stage, filled), filled)
    print(report.results_table(results, "reading"), report.ratios(results), sep="\n\n")


def measure(stage: Stage, full: bool) -> None:
    """Run all benchmarks, and write RESULTS.md and results.svg."""
    machine = report.machine()
    filled = stage.filled(4, EVENTS)
    reading = compete(ROUNDS, lambda: rivals.all_here(stage, filled), filled)
    to_send = Filled("", SENT, 0)
    sending = compete(ROUNDS, lambda: senders.of_events(stage, SENT), to_send)
    shipping = {kind: ship(stage, kind) for kind in senders.KINDS}
    whole = [end_to_end.measure(stage, LINES) for _ in range(ROUNDS)]
    latencies = [latency.measure(stage, rate, SECONDS) for rate in RATES]
    backlogs = {
        f"{count:,}": [crowd.measure(stage, 1, 4, count) for _ in range(3)] for count in BACKLOGS
    }
    backlogs[f"{EVENTS:,}"] = reading[rivals.OURS]
    if full:
        largest = stage.filled(4, LARGEST)
        backlogs[f"{LARGEST:,}"] = [race(rivals.consumer(stage, largest), largest)]
    crowds = {
        str(members): [crowd.measure(stage, members, 8, EVENTS) for _ in range(3)]
        for members in (range(1, 9) if full else (1, 2, 4, 8))
    }
    rates = {name: report.middle(runs).rate for name, runs in reading.items()}
    (HERE / "results.svg").write_text(chart.bars("events per second", rates, rivals.OURS))
    sent = {name: report.middle(runs).rate for name, runs in sending.items()}
    (HERE / "sending.svg").write_text(chart.bars("events sent per second", sent, senders.TOGETHER))
    text = TEXT.format(
        machine=machine,
        race=report.results_table(reading, "reading"),
        ratios=report.ratios(reading),
        events=f"{filled.count:,}",
        size=filled.size // filled.count,
        share=rivals.SHARE,
        sending=report.results_table(sending, "sending"),
        sent=f"{SENT:,}",
        shipping="\n\n".join(report.results_table(runs, kind) for kind, runs in shipping.items()),
        lines=f"{LINES:,}",
        whole=report.results_table({"file to logs.txt and Redis": whole}, "end to end"),
        latency=report.latency_table(latencies),
        seconds=SECONDS,
        backlogs=report.results_table(backlogs, "events waiting"),
        crowd=report.results_table(crowds, "consumers"),
    )
    searched = search.measure(stage) if full else search.written()
    (HERE / "RESULTS.md").write_text(text)
    if searched:
        search.write(searched)
    print(text, searched)


def ship(stage: Stage, kind: str) -> dict[str, list[Result]]:
    """The race of those that send a file's lines."""
    lines = senders.log_of(stage, kind, LINES)
    return compete(ROUNDS, lambda: senders.of_lines(stage, lines), Filled("", LINES, 0))


def send(stage: Stage) -> None:
    """Only the races of senders, in three rounds."""
    tables = [compete(3, lambda: senders.of_events(stage, SENT), Filled("", SENT, 0))]
    tables += [ship(stage, kind) for kind in senders.KINDS]
    print(*(report.results_table(runs, "sending") for runs in tables), sep="\n\n")
    whole = [end_to_end.measure(stage, LINES) for _ in range(3)]
    print(report.results_table({"file to logs.txt and Redis": whole}, "end to end"))


def compete(
    rounds: int, contenders: Callable[[], list[Contender]], filled: Filled
) -> dict[str, list[Result]]:
    """The results of each contender, in rounds in which each runs once."""
    results: dict[str, list[Result]] = {}
    for number in range(rounds):
        for contender in contenders():
            print(f"{number + 1}/{rounds} {contender.name}", file=sys.stderr, flush=True)
            results.setdefault(contender.name, []).append(race(contender, filled))
    return results


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--smoke", action="store_true", help="run one short race, under a minute")
    parser.add_argument(
        "--full",
        action="store_true",
        help="add 10,000,000 events, each of 1 to 8 consumers, and searching 5 GB of them",
    )
    parser.add_argument(
        "--sending", action="store_true", help="run the races of senders alone, and write nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
