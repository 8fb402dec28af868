"""The reading loop of every tutorial. Arguments: topic, servers, port of Redis, log file."""

import sys

import redis
from kafka import KafkaConsumer

topic, servers, port, path = sys.argv[1:]
consumer = KafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
r = redis.Redis(port=int(port))
for message in consumer:
    line = message.value.decode()
    r.lpush("tutorial", line)
    r.ltrim("tutorial", 0, 999)
    with open(path, "a") as log:  # noqa: PTH123 - as they write it
        log.write(line + "\n")
