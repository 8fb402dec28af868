"""Relay: TLS in front of a server that has none, such as the Redis of PyPI.

    python tests/support/relay.py PORT SERVER_PORT CERTIFICATE_AND_KEY CA

The certificate is real and so is the handshake. A client may show one of CA.
"""

import contextlib
import select
import socket
import ssl
import sys
import threading

HERE = "127.0.0.1"
CHUNK = 2**16  # bytes


def context(certificate: str, ca: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    made.load_verify_locations(ca)
    made.verify_mode = ssl.CERT_OPTIONAL
    return made


def meet(client: socket.socket, server_port: int, tls: ssl.SSLContext) -> None:
    """Pass on what either says, until one closes."""
    with (
        contextlib.suppress(OSError),
        client,  # what it sends without TLS stays unread, so that it is reset, as by Redis
        tls.wrap_socket(client, server_side=True) as outer,
        socket.create_connection((HERE, server_port)) as inner,
    ):
        others = {outer: inner, inner: outer}
        while True:
            ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
            for each in ready:
                data = each.recv(CHUNK)
                if not data:
                    return
                others[each].sendall(data)


def main(port: str, server_port: str, certificate: str, ca: str) -> None:
    tls = context(certificate, ca)
    with socket.create_server((HERE, int(port))) as listener:
        while True:
            arguments = listener.accept()[0], int(server_port), tls
            threading.Thread(target=meet, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
