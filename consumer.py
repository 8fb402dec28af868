#!/usr/bin/env python3
"""Kafka → logs.txt and Redis.

Reads the topic as a member of a consumer group, appends every event to logs.txt once, keeps
the newest in Redis, and sends what is no event to the dead-letter topic. Run as many as there
are partitions; on one host they may share one logs.txt.
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import closing

from kafka.errors import KafkaError

import config
from pipeline import topic
from pipeline.archive import Archive, Gap
from pipeline.checkpoint import CheckpointError
from pipeline.dead_letters import DeadLetters
from pipeline.endpoint import Endpoint
from pipeline.keeper import Keeper
from pipeline.limits import Limits
from pipeline.metrics import Metrics
from pipeline.recent import Recent
from pipeline.stop import Stop
from pipeline.store import Store, StoreError
from pipeline.subscription import Subscription

log = logging.getLogger("consumer")

RETRY = 1.0  # seconds until logs.txt is tried again

EXAMPLES = """\
examples:
  python consumer.py
  python consumer.py --log-file /var/log/app/logs.txt --kafka-topic app
  LOG_FILE=logs.txt METRICS_PORT=0 python consumer.py

exit status: 0 after SIGTERM or Ctrl-C, 2 for a setting that can't be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, _ = config.load(argv, __doc__ or "", examples=EXAMPLES)
    try:
        store = Store.of(settings)
    except StoreError as problem:
        config.fail("consumer.py", f"ARCHIVE_URL: {problem}")
    config.log_to_stderr()
    stop = Stop().on_signals()
    metrics = Metrics()
    endpoint = Endpoint(metrics.registry, stop, metrics.missing)
    endpoint.serve(settings.metrics_host, settings.metrics_port)
    for _ in stop.backoff():
        try:
            if topic.ensure(settings, stop):
                consume(settings, store, metrics, stop)
        except KafkaError as problem:  # it went away in the moment between
            log.warning("connecting anew: %s", problem)
    log.info("done: %s", metrics.totals())
    return 0


def consume(settings: config.Settings, store: Store | None, metrics: Metrics, stop: Stop) -> None:
    """Read, store and commit until `stop`. The order of the steps is the guarantee: a kill
    between any two of them leaves records that are read again and refused where they are."""
    limits = Limits.of(settings)
    with (
        closing(Keeper(settings, metrics, store)),
        closing(Archive(settings.log_file, settings.kafka_topic, metrics, limits)) as archive,
        closing(Recent(settings, archive, metrics)) as recent,
        closing(DeadLetters(settings, archive, metrics)) as dead_letters,
        closing(Subscription(settings, archive, recent, metrics)) as subscription,
    ):
        while not stop:
            try:
                batch = subscription.poll()
                if not dead_letters.send(batch, stop):  # 1. what is no event: with Kafka,
                    break
                archive.append(batch)  # 2. logs.txt on disk, then its checkpoint,
                recent.offer(batch)  # 3. Redis when it can, from a thread of its own,
                subscription.commit(batch)  # 4. Kafka's commit last
            except (OSError, CheckpointError, Gap) as problem:
                archive.complain(problem)
                subscription.seek_anew()
                stop.wait(RETRY)


if __name__ == "__main__":
    sys.exit(main())
