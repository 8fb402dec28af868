"""The sending loop of every tutorial. Arguments: topic, servers, count."""

import sys
import time
from itertools import cycle, islice

from kafka import KafkaProducer

from bench.stage import events

topic, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
given = list(islice(cycle(events()), count))
producer = KafkaProducer(bootstrap_servers=servers)
producer.partitions_for(topic)
print(0, flush=True)
for key, value in given:
    producer.send(topic, value, key)
producer.flush()
print(count, flush=True)
time.sleep(60)  # to be measured, and killed
