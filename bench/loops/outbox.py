"""producer.py's outbox, which tracks each event. Arguments: topic, servers, count."""

import sys
import time
from contextlib import closing
from itertools import cycle, islice

from bench.stage import events
from config import Settings
from logpipeline.kafka.outbox import Outbox
from logpipeline.shutdown import Shutdown

topic, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
given = list(islice(cycle(events()), count))
settings = Settings(_env_file=None, kafka_topic=topic, kafka_bootstrap_servers=servers)
outbox = Outbox(settings, Shutdown())
with closing(outbox):
    print(0, flush=True)
    for key, value in given:
        outbox.send(key, value)
print(outbox.delivered, flush=True)
time.sleep(60)  # to be measured, and killed
