"""producer.py's outbox, 500 events a call. Arguments: topic, servers, count."""

import sys
import time
from contextlib import closing
from itertools import cycle, islice

from bench.stage import events
from config import Settings
from logpipeline.kafka.outbox import Outbox
from logpipeline.shutdown import Shutdown

CALL = 500  # events

topic, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
given = events()
calls = [given[begin : begin + CALL] for begin in range(0, len(given), CALL)]
settings = Settings(_env_file=None, kafka_topic=topic, kafka_bootstrap_servers=servers)
outbox = Outbox(settings, Shutdown())
with closing(outbox):
    print(0, flush=True)
    for pairs in islice(cycle(calls), count // CALL):
        outbox.send_all(pairs)
print(outbox.delivered, flush=True)
time.sleep(60)  # to be measured, and killed
