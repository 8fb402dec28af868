"""Bare polling with confluent-kafka, which discards the records: topic, servers, count."""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

topic, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer({"bootstrap.servers": servers, "group.id": "bare"})
partitions = consumer.list_topics(topic).topics[topic].partitions
consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
seen = 0
while seen < count:
    polled = len(consumer.consume(1_000, 0.1))
    if polled and not seen:
        print(polled, flush=True)
    seen += polled
print(seen, flush=True)
time.sleep(60)  # to be measured, and killed
