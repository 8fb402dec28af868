"""Syslog: what its messages become, by UDP and TCP, and how streams are framed."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config import Settings
from logpipeline.collector.framing import LONGEST, FramingError, SyslogFrames
from logpipeline.collector.syslog import event_of
from logpipeline.localstack.server import free_port
from tests.conftest import RunScript
from tests.support.collecting import Collecting, shared
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("collector_syslog")  # one worker has its collector

RFC_5424 = (
    b"<165>1 2024-03-23T22:56:07.890123Z host.example shop 42 ID47 "
    b'[trace@32473 trace_id="abc" note="a \\"b\\] c"][x@1 y="2"] \xef\xbb\xbfPayment failed'
)


def made(message: bytes) -> dict[str, object]:
    return dict(json.loads(event_of(message)[1]))


def test_rfc_5424_with_structured_data() -> None:
    assert made(RFC_5424) == {
        "level": "INFO",
        "message": "Payment failed",
        "timestamp": 1711234567.890123,
        "facility": "local4",
        "host": "host.example",
        "service": "shop",
        "pid": "42",
        "msgid": "ID47",
        "trace_id": "abc",
        "note": 'a "b] c',
        "y": "2",
    }


def test_rfc_3164_and_iso_times() -> None:
    event = made(b"<11>2024-03-23T22:56:07.890+00:00 web1 nginx[7]: upstream: timed out\n")
    assert event == {
        "level": "ERROR",
        "message": "upstream: timed out",
        "timestamp": 1711234567.89,
        "facility": "user",
        "host": "web1",
        "service": "nginx",
        "pid": "7",
    }
    old = made(b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed")
    assert (old["level"], old["host"], old["service"]) == ("CRITICAL", "mymachine", "su")
    assert old["message"] == "'su root' failed"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"only text: here", "only text: here"),
        (b"<999>text", "<999>text"),
        (b"<13>", ""),
        (b"<13>1 - - - - - -", ""),
        (b"<13>1 - - - - - [broken text", "[broken text"),
        (b"<13>\xff\xfe", "��"),
        (b"<13>Feb 31 99:99:99 a b: c", "c"),
    ],
)
def test_whatever_comes_is_an_event(message: bytes, text: str) -> None:
    assert made(message)["message"] == text


@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_frames_are_counted_or_lines(step: int) -> None:
    stream = b"5 <1>ab<2>line\n8 <3>x\ny\nz12 angry men\n<4>end"
    frames, found = SyslogFrames(), []
    for at in range(0, len(stream), step):
        found += frames.feed(stream[at : at + step])
    assert [*found, *frames.end()] == [
        *(b"<1>ab", b"<2>line", b"<3>x\ny\nz", b"12 angry men", b"<4>end")
    ]


def test_what_is_too_long_is_cut_or_ends_the_stream() -> None:
    frames = SyslogFrames()
    assert frames.feed(b"<1>" + b"x" * (LONGEST + 5)) == [b"<1>" + b"x" * (LONGEST - 3)]
    assert frames.feed(b"yyy\n<2>next\n") == [b"<2>next"]
    with pytest.raises(FramingError):
        frames.feed(b"999999999 <1>")


@pytest.fixture(scope="module")
def running(
    kafka_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Collecting, int]]:
    port = free_port()
    folder = tmp_path_factory.mktemp("collector")
    with shared(kafka_servers, folder, COLLECTOR_SYSLOG_PORT=str(port)) as collecting:
        yield collecting, port


def test_udp_and_tcp_are_stored(running: tuple[Collecting, int]) -> None:
    collector, port = running
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        for number in range(20):
            datagrams.sendto(b"<13>1 - h udp - - - m%d" % number, ("127.0.0.1", port))
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(b"".join(b"<13>1 - h tcp - - - m%d\n" % number for number in range(500)))
        stream.sendall(b"24 <13>1 - h tcp - - - last")
    until(lambda: len(collector.values()) == 521, 20, "not all")
    services = [event["service"] for event in collector.events()]
    assert (services.count("udp"), services.count("tcp")) == (20, 501)


def test_tls(
    run_script: RunScript, environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    import trustme

    authority, port, http = trustme.CA(), free_port(), free_port()
    pem = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(pem))
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    env = environment | {
        "COLLECTOR_PORT": str(http),
        "COLLECTOR_SYSLOG_PORT": str(port),
        "COLLECTOR_SSL_CERTFILE": str(tmp_path / "server.pem"),
        "COLLECTOR_SSL_KEYFILE": str(tmp_path / "server.key"),
    }
    process = run_script("collector.py", env=env)
    process.wait_for("collector-keys")  # the last topic that it creates
    collector = Collecting(process, http, settings)
    context = ssl.create_default_context(cafile=str(pem))
    with (
        socket.create_connection(("localhost", port)) as plain,
        closing(context.wrap_socket(plain, server_hostname="localhost")) as stream,
    ):
        stream.sendall(b"<13>1 - h tls - - - secret\n")
    until(lambda: collector.messages() == ["secret"], 30, str(process))
