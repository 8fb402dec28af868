"""A consumer group whose rebalance outlasts a poll."""

from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from config import Settings
from logpipeline.kafka import group
from tests.support.waiting import until

pytestmark = pytest.mark.server


def test_partitions_that_are_added_are_assigned_though_each_poll_ends_too_soon(
    settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    topic = settings.kafka_topic
    kafka_admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    with closing(
        KafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group_id=settings.kafka_group_id,
            enable_auto_commit=False,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
        )
    ) as consumer:
        consumer.subscribe([topic])

        def has(number: int, poll_ms: int) -> Callable[[], bool]:
            def polled() -> bool:
                group.complete_join(consumer)
                consumer.poll(poll_ms)
                return len(consumer.assignment()) == number

            return polled

        until(has(1, 500), 30)
        kafka_admin.create_partitions({topic: 5})
        consumer._cluster.request_update()
        until(has(5, 5), 30)  # without complete_join it never comes
