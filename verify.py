#!/usr/bin/env python3
"""Kafka = logs.txt = Redis?

Compares Kafka, logs.txt with its checkpoint, and Redis, and reports in one line for each whether
they agree, or which partition and offsets are missing, doubled, torn or out of order. Consumers may
run meanwhile: the contents of logs.txt at the start are compared.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import redis
from kafka.errors import KafkaError
from tqdm import tqdm

import config
from logpipeline import command_line
from logpipeline.archive.checkpoint import CheckpointError
from logpipeline.kafka import connection
from logpipeline.recent import redis_client
from logpipeline.terminal import printable
from logpipeline.verify.archive import audit_kafka, audit_logs_txt
from logpipeline.verify.hosts import Hosts
from logpipeline.verify.indexes import audit_indexes
from logpipeline.verify.recent import audit_redis
from logpipeline.verify.snapshot import Snapshot
from logpipeline.verify.sources import Sources

EXAMPLES = """\
examples:
  python verify.py
  python verify.py --log-file /var/log/app/logs.txt --kafka-topic app
  python verify.py --archive host-0/logs.txt --archive host-1/logs.txt

exit status: 0 when they agree, 1 when they differ, 2 when one of them cannot be read or a
setting cannot be used
"""
AGREE, DIFFER, UNKNOWN = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(
        config.Verify, argv, __doc__ or "", add_options, examples=EXAMPLES
    )
    if options.archive and "log_file" in options:
        command_line.fail("verify.py", "--archive cannot be used with --log-file")
    if len(set(options.archive)) < len(options.archive):
        command_line.fail("verify.py", "--archive: each must be another file")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        return verify_hosts(settings, options.archive) if options.archive else verify(settings)
    except redis.RedisError as error:
        command_line.fail("verify", f"cannot read: {redis_client.reason(settings, error)}", UNKNOWN)
    except (KafkaError, CheckpointError, OSError) as error:
        command_line.fail("verify", f"cannot read: {connection.reason(settings, error)}", UNKNOWN)
    except KeyboardInterrupt:
        command_line.fail("verify", "interrupted", UNKNOWN)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="compare the logs.txt of several hosts instead of LOG_FILE; give it once for each",
    )


def verify(settings: config.Verify) -> int:
    """Print the three verdicts. Returns the exit status.

    Raises KafkaError, redis.RedisError, CheckpointError, OSError if one cannot be read.
    """
    snapshot = Snapshot.take(settings)
    with (
        closing(snapshot.archive.file),
        tqdm(unit=" records", unit_scale=True, delay=1, leave=False, disable=None) as bar,
        closing(Sources(settings, snapshot, bar.update)) as sources,
    ):
        bar.reset(sources.total)
        logs_txt = audit_logs_txt(snapshot, sources)
        audit_indexes(settings.log_file, logs_txt)
        kafka = audit_kafka(snapshot, sources)
        recent = audit_redis(settings, snapshot, sources)
    for name, found in ("Kafka", kafka), (settings.log_file.name, logs_txt), ("Redis", recent):
        print(printable(f"{name:8} {found}"))
    return DIFFER if kafka.counts or logs_txt.counts or recent.counts else AGREE


def verify_hosts(settings: config.Verify, paths: Sequence[Path]) -> int:
    """Print a verdict about each archive, and about all together. Returns the exit status.

    Raises KafkaError, redis.RedisError, CheckpointError, OSError if one cannot be read.
    """
    status = AGREE
    with tqdm(unit=" records", unit_scale=True, delay=1, leave=False, disable=None) as bar:
        for name, found in Hosts(settings, paths, bar.update).audit():
            bar.clear()
            print(printable(f"{name:8} {found}"))
            status = DIFFER if found.counts else status
    return status


if __name__ == "__main__":
    sys.exit(main())
