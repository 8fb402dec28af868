"""confluent-kafka's produce, as reliable as the outbox, with each delivery counted.

Arguments: topic, servers, count.
"""

import sys
import time
from itertools import cycle, islice

from confluent_kafka import KafkaError, Message, Producer

from bench.stage import events
from logpipeline.kafka.outbox import BATCHED, MOST_EVENTS

topic, servers, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
delivered = 0


def on_delivery(error: KafkaError | None, message: Message) -> None:
    global delivered
    delivered += error is None


producer = Producer(
    {
        "bootstrap.servers": servers,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": BATCHED["compression_type"],
        "batch.size": BATCHED["batch_size"],
        "linger.ms": BATCHED["linger_ms"],
        "queue.buffering.max.messages": MOST_EVENTS,
    }
)
producer.list_topics(topic)
given = events()
print(0, flush=True)
for key, value in islice(cycle(given), count):
    while True:
        try:
            producer.produce(topic, value, key, on_delivery=on_delivery)
            break
        except BufferError:
            producer.poll(0.01)
    producer.poll(0)
producer.flush()
print(delivered, flush=True)
time.sleep(60)  # to be measured, and killed
