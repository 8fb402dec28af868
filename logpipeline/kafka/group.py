"""Group: what kafka-python forgets of a rebalance that outlasts a poll."""

from kafka import KafkaConsumer


def complete_join(consumer: KafkaConsumer) -> None:
    """Let the next poll complete a join that the one before began. Call it before each poll.

    When partitions were added, kafka-python 3.0.12 takes the join for done once its leader has
    assigned them; a poll that ended before that leaves the member without partitions and without
    heartbeats, for ever.
    """
    coordinator = consumer._coordinator
    if coordinator._join_task is not None:
        coordinator.request_rejoin()  # it awaits the same task, and joins no second time
