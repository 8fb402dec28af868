"""Hosts: the pipeline that chaos breaks, each consumer with its own logs.txt and partitions.

The folders stand in for hosts: the consumers share nothing but Kafka and Redis.
"""

from pathlib import Path

from tests.chaos.local import Consumer, LocalPipeline


class HostsPipeline(LocalPipeline):
    """One consumer on each of `hosts`."""

    def __init__(self, folder: Path, hosts: int, rotate: str) -> None:
        super().__init__(folder, 0, rotate)
        for index in range(hosts):
            log_file = self.settings.log_file.parent / f"host-{index}" / "logs.txt"
            log_file.parent.mkdir()
            own = {"kafka_consumers": hosts, "kafka_consumer_index": index, "log_file": log_file}
            settings = self.settings.model_copy(update=own)
            self.consumers.append(Consumer(index + 1, settings, folder))
        self.parts |= {consumer.name: consumer for consumer in self.consumers}

    @property
    def archives(self) -> list[Path]:
        return [consumer.archive for consumer in self.consumers]
