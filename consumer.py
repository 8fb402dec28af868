#!/usr/bin/env python3
"""Kafka → logs.txt and Redis.

Reads the topic as a member of a consumer group, appends each event to logs.txt once, keeps the
newest in Redis, and sends invalid records to the dead-letter topic. Run up to one per partition;
on one host they may share one logs.txt, and on several hosts each may have partitions of its own.
"""

import logging
import sys
from collections.abc import Sequence
from contextlib import closing

from kafka.errors import KafkaError

import config
from logpipeline import command_line
from logpipeline.archive.archive import Archive, OffsetGap
from logpipeline.archive.checkpoint import CheckpointError
from logpipeline.archive.retention import Retention
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.archive.store import Store, StoreError
from logpipeline.consumer.dead_letters import DeadLetters
from logpipeline.consumer.metrics import Metrics
from logpipeline.consumer.poison import Poison
from logpipeline.consumer.subscription import Subscription
from logpipeline.health import Endpoint
from logpipeline.kafka import topics
from logpipeline.recent.recent import Recent
from logpipeline.shutdown import Shutdown
from logpipeline.supervision import Supervision, Unexpected

log = logging.getLogger("consumer")

RETRY = 1.0  # seconds until a write to logs.txt is retried
RECONNECT = 5  # unexpected errors of poll after which Kafka's client is replaced
FORESEEN = (OSError, CheckpointError, OffsetGap)  # errors of logs.txt
HANDLED = (*FORESEEN, KafkaError)

EXAMPLES = """\
examples:
  python consumer.py
  python consumer.py --log-file /var/log/app/logs.txt --kafka-topic app
  LOG_FILE=logs.txt METRICS_PORT=0 python consumer.py

exit status: 0 after SIGTERM or Ctrl-C, 2 for a setting that cannot be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    command_line.collect_rarely()
    settings, _ = command_line.load(config.Consumer, argv, __doc__ or "", examples=EXAMPLES)
    try:
        store = Store.of(settings)
    except StoreError as problem:
        command_line.fail("consumer.py", f"ARCHIVE_URL: {problem}")
    command_line.log_to_stderr()
    stop = Shutdown().on_signals()
    metrics = Metrics()
    supervision = Supervision(
        log, settings, lambda step: metrics.unexpected_errors.labels(step).inc()
    )

    def missing() -> str:
        return "; ".join(filter(None, (metrics.missing(), supervision.missing())))

    endpoint = Endpoint(metrics.registry, stop, missing)
    endpoint.serve(settings.metrics_host, settings.metrics_port)
    for _ in stop.backoff():
        try:
            if topics.ensure(settings, stop, topics.to_read(settings)):
                consume(settings, store, metrics, supervision, stop)
        except (KafkaError, OSError) as problem:  # Kafka went away after the check
            log.warning("reconnecting: %s", problem)
        except Exception as error:  # noqa: BLE001 - nothing stops the pipeline but a person
            stop.wait(supervision.note("start", error))
    log.info("done: %s", metrics.totals())
    return 0


def consume(
    settings: config.Consumer,
    store: Store | None,
    metrics: Metrics,
    supervision: Supervision,
    stop: Shutdown,
) -> None:
    """Read, store and commit until `stop`. The order of the steps is the guarantee: a kill
    between any two of them leaves records that are read again, and refused by what holds them.

    A step that fails in an unexpected way is retried, from the sinks' positions. Redis and the
    commit delay nothing: they catch up later.
    """
    step, optional = supervision.step, supervision.optional
    poison = Poison(settings.kafka_topic, settings.event_max_bytes, supervision)
    limits = RotationPolicy.of(settings)
    with (
        closing(Retention(settings, metrics.archive, store, supervision)),
        closing(
            Archive(settings.log_file, settings.kafka_topic, metrics.archive, limits)
        ) as archive,
        closing(Recent(settings, archive, metrics.recent, metrics.tally, supervision)) as recent,
        closing(DeadLetters(settings, archive, metrics)) as dead_letters,
        closing(Subscription(settings, archive, recent, metrics, poison)) as subscription,
    ):
        supervision.resolve("start")
        while not stop:
            try:
                with step("poll", HANDLED):
                    batch = poison.taken_out(subscription.poll(), dead_letters)
                with step("dead_letter", HANDLED):  # 1. invalid records: with Kafka,
                    while not dead_letters.send(batch):
                        batch = subscription.hold(batch)
                        if stop:
                            return
                with step("append", HANDLED):  # 2. logs.txt on disk, then its checkpoint,
                    archived = archive.append(batch)
                # 3. Redis when it can, from a thread of its own,
                with optional("offer", bool(batch), otherwise=recent.miss):
                    recent.offer(batch)
                with optional("commit", bool(batch), HANDLED):  # 4. Kafka's commit last
                    subscription.commit(batch, archived)
                supervision.resolve("poll", "dead_letter", "append", sure=bool(batch))
            except FORESEEN as problem:
                archive.complain(problem)
                subscription.rewind()
                stop.wait(RETRY)
            except Unexpected as problem:
                if supervision.tries("poll") >= RECONNECT:
                    return
                subscription.rewind()
                stop.wait(problem.wait)


if __name__ == "__main__":
    sys.exit(main())
