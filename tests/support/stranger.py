"""Stranger: what Kafka and Redis answer somebody without credentials.

Run alone in a container: `python - kafka://kafka:19092 < tests/support/stranger.py`.
Prints a JSON object: address → request → "answered", or why not. Each request is one that an
open server would answer.
"""

import json
import socket
import struct
import sys
from urllib.parse import SplitResult, urlsplit

TIMEOUT = 5.0  # seconds
KAFKA = {  # api key, version, body
    "metadata": (3, 4, struct.pack(">i?", -1, False)),
    "produce": (0, 3, struct.pack(">hhii", -1, 1, 1000, 0)),
    "fetch": (1, 4, struct.pack(">iiiibi", -1, 0, 0, 1, 0, 0)),
    "create topics": (19, 2, struct.pack(">ii?", 0, 1000, False)),
}
REDIS = ("PING", "LRANGE logs 0 9", "SET stranger 1", "DEL stranger", "CONFIG GET dir")


def requests(scheme: str) -> dict[str, bytes]:
    if scheme == "redis":
        return {command: f"{command}\r\n".encode() for command in REDIS}
    framed = {}
    for name, (api, version, body) in KAFKA.items():
        request = struct.pack(">hhih", api, version, 1, -1) + body
        framed[name] = struct.pack(">i", len(request)) + request
    return framed


def outcomes(address: SplitResult) -> dict[str, str]:
    place = (address.hostname or "", address.port or 0)
    try:
        socket.create_connection(place, TIMEOUT).close()
    except OSError as error:
        return {"connect": type(error).__name__}
    return {name: outcome(place, asked) for name, asked in requests(address.scheme).items()}


def outcome(place: tuple[str, int], request: bytes) -> str:
    try:
        with socket.create_connection(place, TIMEOUT) as server:
            server.sendall(request)
            answer = server.recv(100)
    except OSError as error:
        return type(error).__name__
    if not answer:
        return "closed"
    return answer.split()[0].decode() if answer.startswith(b"-") else "answered"


def main() -> None:
    print(json.dumps({address: outcomes(urlsplit(address)) for address in sys.argv[1:]}))


if __name__ == "__main__":
    main()
