"""Secured: a real Kafka and a real Redis that let in only users that they know, over TLS."""

import json
import shutil
import socket
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from config import Settings
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import Server, free_port
from tests.support.process import script
from tests.support.servers import started

NOWHERE = 1  # a port
PASSWORD = "correct-horse"  # of every user
# The name of each listener → its protocol, and which of tests/support/certificates.py's it shows.
LISTENERS = {
    "USERS": ("SASL_SSL", "server"),
    "MACHINES": ("SSL", "server"),  # by certificate alone
    "OPEN": ("SASL_PLAINTEXT", ""),
    "EXPIRED": ("SSL", "expired"),
    "FUTURE": ("SSL", "future"),
    "FOREIGN": ("SSL", "foreign"),
    "MISNAMED": ("SSL", "misnamed"),
    "ASTRAY": ("PLAINTEXT", ""),  # sends its clients to NOWHERE
}
MODULES = {
    "plain": 'plain.PlainLoginModule required user_alice="{0}" user_mallory="{0}"',
    "scram-sha-256": "scram.ScramLoginModule required",
    "scram-sha-512": "scram.ScramLoginModule required",
    "oauthbearer": "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=me",
}


@dataclass(frozen=True)
class SecuredKafka:
    """`plain` is host:port of a listener for the tests themselves, without any check; `ports`
    are the ports of LISTENERS. Alice and the machine may do all, Mallory nothing."""

    plain: str
    ports: dict[str, int]


@contextmanager
def kafka(folder: Path, files: dict[str, str]) -> Iterator[SecuredKafka]:
    plain, ports = free_port(), {name: free_port() for name in LISTENERS}
    more = properties(plain, ports, files)
    with started(Kafka(folder, plain, more)) as broker:
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                for user in ("alice", "mallory"):
                    set_password(admin, user, mechanism, PASSWORD)
        yield SecuredKafka(broker.bootstrap, ports)


def set_password(
    admin: KafkaAdminClient, user: str, mechanism: ScramMechanism, password: str
) -> None:
    """Let a SCRAM user in by this password from now on."""
    change = UserScramCredentialUpsertion(user, mechanism, password)
    assert admin.alter_user_scram_credentials([change]) == {user: None}


def allow(admin: KafkaAdminClient, user: str, settings: Settings, *operations: str) -> None:
    """Give a user these rights on both topics."""
    for name in {settings.kafka_topic, settings.kafka_dead_letter_topic}:
        admin.create_acls([_right(user, each, ResourceType.TOPIC, name) for each in operations])


def allow_group(admin: KafkaAdminClient, user: str, settings: Settings) -> None:
    """Let a user be in the consumer group."""
    admin.create_acls([_right(user, "READ", ResourceType.GROUP, settings.kafka_group_id)])


def _right(user: str, operation: str, kind: ResourceType, name: str) -> ACL:
    what = ResourcePattern(kind, name)
    return ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, what)


def properties(plain: int, ports: dict[str, int], files: dict[str, str]) -> str:
    controller = free_port()
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    told = listeners.replace(f":{ports['ASTRAY']}", f":{NOWHERE}")
    protocols = ",".join(f"{name}:{protocol}" for name, (protocol, _) in LISTENERS.items())
    lines = [
        f"controller.quorum.voters=1@127.0.0.1:{controller}",
        f"listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},{listeners}",
        f"advertised.listeners=PLAINTEXT://127.0.0.1:{plain},{told}",
        f"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{protocols}",
        "inter.broker.listener.name=PLAINTEXT",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS;User:alice;User:machine",
        "ssl.principal.mapping.rules=RULE:^.*CN=([a-z]+).*$/$1/,DEFAULT",
        "connection.failed.authentication.delay.ms=0",
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.machines.ssl.client.auth=required",
    ]
    for name, (protocol, certificate) in LISTENERS.items():
        mine = f"listener.name.{name.lower()}"
        if certificate:
            lines += [
                f"{mine}.ssl.keystore.type=PEM",
                f"{mine}.ssl.keystore.location={files[certificate]}",
                f"{mine}.ssl.truststore.type=PEM",
                f"{mine}.ssl.truststore.location={files['ca']}",
            ]
        if protocol.startswith("SASL"):
            for mechanism, module in MODULES.items():
                login = f"org.apache.kafka.common.security.{module.format(PASSWORD)};"
                lines.append(f"{mine}.{mechanism}.sasl.jaas.config={login}")
    return "".join(f"{line}\n" for line in lines)


class Relay(Server):
    """tests/support/relay.py, on a port of its own."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        super().__init__("relay", folder, int(arguments[0]))
        self._arguments = arguments

    def command(self) -> list[str]:
        return [*script("tests/support/relay.py"), *self._arguments]

    def answers(self) -> bool:
        socket.create_connection(("127.0.0.1", self.port), 2).close()
        return True


class SecuredRedis(Redis):
    """Over TLS on `tls`; `port` is without. Alice may do all, Mallory look at one key.

    The Redis of PyPI has no TLS, so that a relay stands in for it, but redis-check-rdb of Debian's
    redis-tools is a whole Redis that has: what it is goes by its name.
    """

    def __init__(self, folder: Path, files: dict[str, str], certificate: str = "server") -> None:
        self.tls = free_port()
        self._whole = shutil.which("redis-check-rdb")
        users = folder / "users.acl"
        tls = [
            *("--tls-port", str(self.tls), "--tls-auth-clients", "optional"),
            *("--tls-cert-file", files[certificate], "--tls-key-file", files[certificate]),
            *("--tls-ca-cert-file", files["ca"]),
        ]
        more = ["--aclfile", str(users), *(tls if self._whole else [])]
        super().__init__(folder, free_port(), more)
        ports = str(self.tls), str(self.port)
        self._relay = Relay(folder / "relay", [*ports, files[certificate], files["ca"]])
        folder.mkdir()
        users.write_text(
            "user default off\n"
            f"user alice on >{PASSWORD} ~* &* +@all\n"
            f"user mallory on >{PASSWORD} ~one +get\n"
        )

    def start(self) -> None:
        super().start()
        if not self._whole:
            self._relay.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        super().wait_ready(timeout)
        if not self._whole:
            self._relay.wait_ready(timeout)

    def kill(self) -> None:
        self._relay.kill()
        super().kill()

    def command(self) -> list[str]:
        if not self._whole:
            return super().command()
        named = self.folder / "redis-server"
        named.unlink(missing_ok=True)
        named.symlink_to(self._whole)
        return [str(named), *super().command()[1:]]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"-NOAUTH"


class Tokens:
    """A token endpoint: client "me" with PASSWORD gets what Kafka takes for a token of the user
    `subject`, for `life` seconds. `given` counts them."""

    def __init__(self) -> None:
        self.subject, self.life, self.given = "alice", 300, 0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                known = b64encode(f"me:{PASSWORD}".encode()).decode()
                if self.headers["Authorization"] != f"Basic {known}":
                    self.send_error(401)
                    return
                assert form["grant_type"] == ["client_credentials"]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(endpoint.answer())

            def log_message(self, format: str, *args: object) -> None:
                """Nobody asks."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()

    def answer(self) -> bytes:
        self.given += 1
        now = time.time()
        claims = {"sub": self.subject, "iat": now, "exp": now + self.life, "jti": self.given}
        parts = ({"alg": "none"}, claims)
        token = ".".join(
            urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
        )
        return json.dumps({"access_token": f"{token}.", "expires_in": self.life}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
