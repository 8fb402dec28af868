#!/usr/bin/env python3
"""Kafka = logs.txt = Redis?

Compares Kafka, logs.txt with its checkpoint, and Redis, and reports in one line for each whether
they agree, or which partition and offsets are missing, doubled, torn or out of order. Consumers may
run meanwhile: the contents of logs.txt at the start are compared.
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import closing

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
from logpipeline.verify.indexes import audit_indexes
from logpipeline.verify.recent import audit_redis
from logpipeline.verify.snapshot import Snapshot
from logpipeline.verify.sources import Sources

EXAMPLES = """\
examples:
  python verify.py
  python verify.py --log-file /var/log/app/logs.txt --kafka-topic app

exit status: 0 when they agree, 1 when they differ, 2 when one of them cannot be read or a
setting cannot be used
"""
AGREE, DIFFER, UNKNOWN = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    settings, _ = command_line.load(config.Verify, argv, __doc__ or "", examples=EXAMPLES)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        return verify(settings)
    except redis.RedisError as error:
        command_line.fail("verify", f"cannot read: {redis_client.reason(settings, error)}", UNKNOWN)
    except (KafkaError, CheckpointError, OSError) as error:
        command_line.fail("verify", f"cannot read: {connection.reason(settings, error)}", UNKNOWN)
    except KeyboardInterrupt:
        command_line.fail("verify", "interrupted", UNKNOWN)


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


if __name__ == "__main__":
    sys.exit(main())
