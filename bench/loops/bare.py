"""Bare polling with kafka-python, which discards the records. Arguments: topic, servers, count."""

import sys
import time

from kafka import KafkaConsumer, TopicPartition

topic, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = KafkaConsumer(bootstrap_servers=servers, max_poll_records=10_000)
partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
consumer.assign(partitions)
consumer.seek_to_beginning()
seen = 0
while seen < count:
    polled = sum(len(records) for records in consumer.poll(500).values())
    if polled and not seen:
        print(polled, flush=True)
    seen += polled
print(seen, flush=True)
time.sleep(60)  # to be measured, and killed
