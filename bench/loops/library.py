"""KafkaProducer.send with the outbox's settings, each event counted: topic, servers, count."""

import sys
import time
from collections import deque
from itertools import cycle, islice
from typing import Any

from kafka import KafkaProducer

from bench.stage import events
from logpipeline.kafka.outbox import BATCHED, MOST_EVENTS, RELIABLE
from logpipeline.kafka.partitioning import ByKey

topic, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
given = events()
producer = KafkaProducer(
    bootstrap_servers=servers, partitioner=ByKey(), metrics_enabled=False, **RELIABLE, **BATCHED
)
producer.partitions_for(topic)
print(0, flush=True)
delivered = 0
waiting: deque[Any] = deque()
for key, value in islice(cycle(given), count):
    waiting.append(producer.send(topic, value, key))
    while len(waiting) >= MOST_EVENTS and not waiting[0].is_done:
        time.sleep(0.005)
    while waiting and waiting[0].is_done:
        delivered += waiting.popleft().succeeded()
producer.flush()
delivered += sum(future.succeeded() for future in waiting)
print(delivered, flush=True)
time.sleep(60)  # to be measured, and killed
