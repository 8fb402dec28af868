"""Brokers: several local ones as a cluster, the first of which is its only controller, too."""

import re
import secrets
import shutil
import socket
import struct
from base64 import urlsafe_b64encode
from pathlib import Path

from logpipeline.localstack.kafka import METADATA, NO_TOPICS, TIMEOUT, VERSION, Kafka
from logpipeline.localstack.server import free_port

MORE = """\
node.id={number}
process.roles={roles}
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port}{listener}
unclean.leader.election.enable=true
replica.lag.time.max.ms=2000
leader.imbalance.check.interval.seconds=3600
"""


class Broker(Kafka):
    """A broker of a cluster, by its number from 1, made from the data of a `formatted` one."""

    def __init__(self, folder: Path, number: int, controller: int, formatted: Path) -> None:
        port, first = free_port(), number == 1
        more = MORE.format(
            number=number,
            roles="broker,controller" if first else "broker",
            controller=controller,
            port=port,
            listener=f",CONTROLLER://127.0.0.1:{controller}" if first else "",
        )
        super().__init__(folder, port, more)
        self.number = number
        shutil.copytree(formatted, self.folder / "data")
        properties = self.folder / "data" / "meta.properties"
        text = re.sub(r"node\.id=\d+", f"node.id={number}", properties.read_text())
        own = "d" + urlsafe_b64encode(secrets.token_bytes(16)).decode()[1:22]
        properties.write_text(re.sub(r"directory\.id=\S+", f"directory.id={own}", text))

    def answers(self) -> bool:
        """Whether it answers, however many others there are."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            request = struct.pack(">hhih", METADATA, VERSION, 1, -1) + NO_TOPICS
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as response:
                answer = response.read(16)
        return len(answer) == 16 and struct.unpack(">4i", answer)[3] >= 1
