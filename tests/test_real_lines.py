# ruff: noqa: E501 - a line of a log is one line
"""Lines as real systems write them: level, time and fields, by kinds."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from logpipeline.events import times, zones
from logpipeline.events.joining import Joiner
from logpipeline.events.lines import Lines

CASES = Path(__file__).parent / "data" / "lines"
T = "2024-05-01T10:00:00"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def forget() -> None:
        time.tzset()
        for cached in (times._minute, times._yearless, zones.named):
            cached.cache_clear()

    monkeypatch.setenv("TZ", "UTC")
    forget()
    yield
    monkeypatch.undo()
    forget()


def events(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The text and the event of each event in the bytes of a log."""
    joiner, lines, position, made = Joiner(), Lines(), 0, []
    for line in data.removesuffix(b"\n").split(b"\n"):
        made += joiner.feed(line, len(line), position, 0.0)
        position += len(line) + 1
    values = [(joined.text.decode(), lines.joined(joined)) for joined in made + joiner.end()]
    return [(text, json.loads(value)) for text, value in values if value]


def event(line: str) -> dict[str, Any]:
    ((_, found),) = events(line.encode())
    return found


def check_time(seconds: float, when: str | None) -> None:
    if when is None:
        assert seconds == pytest.approx(time.time(), abs=60)
    else:
        expected = datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()
        assert seconds == pytest.approx(expected, abs=1e-4)


EXPECTED = {
    name: wanted
    for name, wanted in json.loads((CASES / "expected.json").read_text()).items()
    if isinstance(wanted, list) and "nul" not in name
}


@pytest.mark.parametrize("name", EXPECTED)
def test_small_inputs_that_real_systems_write(name: str) -> None:
    found = events((CASES / name).read_bytes())
    assert len(found) == len(EXPECTED[name])
    for (text, made), (level, when, message) in zip(found, EXPECTED[name], strict=True):
        assert made["level"] in level.split("|")
        check_time(made["timestamp"], when)
        assert made["message"] == (text if message is None else message)


D, I, W, E, C = "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"  # noqa: E741
UUID = "8c0d4c2e-7e6a-5b1c-9f0f-0a1b2c3d4e5f"
TEXT = [
    # A frame around the line.
    (E, f"{T}.5", "2024-05-01T10:00:00.5+00:00 stderr F [error] 7#7: *1 open() failed"),
    (E, f"{T}.5", '2024-05-01T10:00:00.5Z stdout F level=error msg="a b"'),
    (E, f"{T}.5", '2024-05-01T10:00:00.5Z stderr F {"severity":"ERROR","message":"x"}'),
    (W, f"{T}.5", "2024-05-01T12:00:00.5+02:00 stdout F:x 2023-01-01 00:00:00 WARN old"),
    (E, f"{T}.123456789", f"{T}.123456789Z ERROR cannot open"),
    (E, f"{T}.123456789", f'{T}.123456789Z {{"level":50,"msg":"x"}}'),
    (I, f"{T}.123456789", f"{T}.123456789Z plain text"),
    (E, None, "web-1  | ERROR cannot open"),
    (E, T, "web-1  | 2024-05-01 10:00:00 ERROR x"),
    (E, T, '\x1b[36mdb_1   | \x1b[0m{"level":"error","ts":1714557600,"msg":"x"}'),
    (E, f"{T}.123456789", f"api-1 | {T}.123456789Z E0501 10:00:02.000001       1 a.go:7] x"),
    (E, None, "[pod/web-0/app] ERROR cannot open"),
    (W, T, '[pod/web-0/app] {"level":"warn","time":"2024-05-01T10:00:00Z","msg":"x"}'),
    (E, f"{T}.123456789", f"[pod/web-0/app] {T}.123456789Z level=error msg=x"),
    (E, T, '<14>1 2024-05-01T10:00:00Z web1 shop 12 - - {"level":"error","msg":"x"}'),
    (E, T, '<14>1 2024-05-01T10:00:00Z web1 shop 12 ID [a b="]"] {"level":"error"}'),
    (C, T, '2024-05-01T10:00:00+00:00 web1 shop[7]: {"level":"fatal","msg":"x"}'),
    # Names and numbers of levels.
    (D, None, "dbug: Shop.Payment[0]"),
    (E, None, "fail: Shop.Payment[0]"),
    (D, None, "trce: Shop.Payment[0]"),
    (C, None, "crit: Shop.Payment[0]"),
    (E, None, "ERRO[0013] cannot open"),
    (W, T, "WARN[2024-05-01T10:00:00Z] slow"),
    (E, T, "time=2024-05-01T10:00:00Z level=ERROR+2 msg=x"),
    (D, T, "time=2024-05-01T10:00:00Z level=DEBUG-4 msg=x"),
    (I, T, "time=2024-05-01T10:00:00Z level=INFO+1 msg=x"),
    (E, T, "t=2024-05-01T10:00:00+0000 lvl=eror msg=x"),
    (E, T, 'date=2024-05-01 time=10:00:00 devname="fw" level="error" msg="x"'),
    (E, None, "EROR[05-01|10:00:00] x"[:0] + "ERR cannot open"),
    (E, None, "10:56PM ERR cannot open error=timeout"),
    (E, None, "10:00:00.500 [error] GenServer terminating"),
    (W, None, "[10:00:00 WRN] slow"),
    (E, None, "[10:00:00.500] ERROR (12): x"),
    (E, None, "10:00:00,500 ERROR [org.jboss.as] (MSC service thread 1-1) x"),
    # Letters.
    (E, f"{T}.5", "2024-05-01T10:00:00.500Z E CONTROL  [main] x"),
    (W, f"{T}.5", "2024-05-01 10:00:00.500000 W | rafthttp: slow"),
    (E, T, "[E 240501 10:00:00 web:12] x"),
    (W, f"{T}.123", "[W 2024-05-01 10:00:00.123 ServerApp] x"),
    (D, f"{T}.5", "2024-05-01 10:00:00.500  1702  2395 V Shop: x"),
    (I, T, "2024-05-01 10:00:00 I think that it works"),
    # The level before the time.
    (E, T, "ERROR 2024-05-01 10:00:00 x"),
    (W, f"{T}.5", "WARN  [main] 2024-05-01 10:00:00,500 Shop.java:7 - x"),
    (E, f"{T}.5", f"[ERROR]\t2024-05-01T10:00:00.500Z\t{UUID}\tx"),
    (C, T, "CRITICAL | 2024/05/01 10:00:00 | x"),
    (E, f"{T}.123", "=ERROR REPORT==== 1-May-2024::10:00:00.123 ==="),
    (W, T, "[warn] [2024-05-01 10:00:00] x"),
    # The level after the time, behind other things.
    (E, f"{T}.5", f"2024-05-01T10:00:00.500Z\t{UUID}\tERROR\tx"),
    (E, T, "2024-05-01 10:00:00 UTC:10.0.0.1(5432):app@shop:[612]:ERROR:  x"),
    (C, T, "2024-05-01 10:00:00 UTC::@:[613]:PANIC:  x"),
    (E, f"{T}.5", "2024-05-01 10:00:00.500 UTC [614] app@shop/psql ERROR:  x"),
    (E, f"{T}.5", '2024-05-01 10:00:00.500 UTC,"a","b",6,"h:1",6.2,1,"SELECT",2024-05-01 09:00:00'
        ' UTC,3/7,0,ERROR,42P01,"x",,,'),
    (E, T, "[2024-05-01 10:00:00] production.ERROR: x {}"),
    (E, f"{T}.123456", "[2024-05-01T10:00:00.123456+00:00] request.CRITICAL: x"[:35] + "request.ERROR: x"),
    (I, f"{T}.5", "2024-05-01T10:00:00.500Z pid=12 tid=abc class=Pay jid=1 INFO: done"),
    (E, f"{T}.5", "2024-05-01 10:00:00.5000|ERROR|Shop.Payment|x"),
    (E, T, "2024-05-01 10:00:00 [error    ] x"),
    (E, T, "[2024-05-01, 10:00:00 UTC] {shop.py:7} ERROR - x"),
    (E, f"{T}.5", "01-May-2024 10:00:00.500 SEVERE [main] org.apache.catalina.Startup.run x"),
    (E, f"{T}.5", "[#|2024-05-01T10:00:00.500+0000|SEVERE|glassfish|x|#]"),
    (E, "2024-05-01T08:00:00.123", "####<May 1, 2024 10:00:00,123 AM CEST> <Error> <x>"),
    (E, f"{T}.5", "01-May-2024 10:00:00.500 queries: error: x"),
    (E, T, "[May  1 10:00:00] ERROR[1234] chan_sip.c: x"[:0] + "[2024-05-01 10:00:00] ERROR[1234] c.c: x"),
    (E, f"{T}.5", "2024-05-01 10:00:00.500 spid7s      Error: 17054, Severity: 16"),
    (E, T, "1714557600\terror\tcontroller\tx"),
    (E, T, "1.7145576000000e+09\terror\tcontroller\tx"),
    (E, f"{T}.5", "2024-05-01T10:00:00.500Z error vpxd[7] [Originator@6876 sub=x] x"),
    # Dates and times.
    (E, "2024-05-01T09:00:00", "2024-05-01  9:00:00 7 [ERROR] mariadbd: x"),
    (W, "2024-05-01T09:00:00", "240501  9:00:00 [Warning] x"),
    (E, T, "01-May-2024 10:00:00 ERROR x"),
    (E, T, "1 May 2024 10:00:00 ERROR x"),
    (E, T, "Wed May  1 10:00:00 2024 ERROR x"),
    (E, T, "Wed, 01 May 2024 10:00:00 +0000 ERROR x"),
    (E, T, "05/01/2024 10:00:00 ERROR x"),
    (E, "2024-05-01T22:00:00", "05/01/2024 10:00:00 PM ERROR x"),
    (E, "2024-05-01T00:30:00", "5/1/2024 12:30:00 AM ERROR x"),
    (E, "2024-05-01T22:00:00", "May 1, 2024 10:00:00\u202fPM ERROR x"),
    (E, "2024-05-01T22:00:00", "2024-05-01 10:00:00 PM ERROR x"),
    (E, T, "01.05.2024 10:00:00 ERROR x"),
    (E, f"{T}.5", "2024-05-01-10.00.00.500000 ERROR x"),
    (E, f"{T}.123", "2024-05-01 10:00:00:123 ERROR x"),
    (E, f"{T}.123", "2024/05/01 10:00:00,123 ERROR x"),
    (E, "2024-05-01T08:00:00", "2024-05-01 10:00:00 CEST ERROR x"),
    (E, "2024-05-01T14:00:00", "2024-05-01 10:00:00 EDT ERROR x"),
    (E, "2024-05-01T08:00:00", "[01-May-2024 10:00:00 Europe/Berlin] PHP Parse error:  x"),
    (E, "2024-05-01T01:00:00", "2024-05-01 10:00:00 Asia/Tokyo ERROR x"),
    (E, "2024-05-01T04:30:00", "2024-05-01 10:00:00+0530 ERROR x"),
    (E, "2024-05-01T08:00:00", "Wed May  1 10:00:00 CEST 2024 ERROR x"),
    # What cannot be read is not stated.
    (E, None, "2024-05-01 10:00:00 CST ERROR x"),
    (E, None, "[2024-05-01 10:00:00 Nowhere/Town] ERROR x"),
    (E, None, "[01-May-2024 10:00:00 Nowhere/Town] PHP Fatal error:  x"[:31] + "Town] ERROR: x"),
    (I, None, "2024-05-01 13:00:00 AM x"),
    (E, None, "05-06-2024 10:00:00 ERROR x"),
    (I, None, "the certificate expires at 2024-05-01 10:00:00"),
    (I, None, "Last-Modified: Wed, 01 May 2024 10:00:00 GMT"),
    (I, None, "restored backup of 2024-05-01 10:00:00 from s3"),
]  # fmt: skip


@pytest.mark.parametrize(("level", "when", "line"), TEXT)
def test_text(level: str, when: str | None, line: str) -> None:
    found = event(line)
    assert found["level"] == level
    check_time(found["timestamp"], when)
    assert found["message"] == line


JSON = [
    (E, f"{T}.5", "x", '{"@level":"error","@message":"x","@timestamp":"2024-05-01T10:00:00.500000Z"}'),
    (E, T, "x", '{"Level":"Error","Message":"x","Time":"2024-05-01T10:00:00Z"}'),
    (E, T, "x", '{"LEVEL":"ERROR","MSG":"x","TIMESTAMP":"2024-05-01T10:00:00Z"}'),
    (E, T, "x", '{"log_level":"error","message":"x","time_stamp":"2024-05-01T10:00:00Z"}'),
    (E, T, "x", '{"log-level":"error","message":"x","@Timestamp":"2024-05-01T10:00:00Z"}'),
    (E, T, "x", '{"log":{"level":"error"},"message":"x","@timestamp":"2024-05-01T10:00:00Z"}'),
    (E, f"{T}.5", "x", '{"instant":{"epochSecond":1714557600,"nanoOfSecond":500000000},"level":"ERROR","message":"x"}'),
    (E, f"{T}.5", "x", '{"timeMillis":1714557600500,"level":"ERROR","message":"x"}'),
    (E, T, "x", '{"timeUnixNano":"1714557600000000000","severityNumber":18,"body":{"stringValue":"x"}}'),
    (D, T, "x", '{"Timestamp":1714557600000000000,"SeverityNumber":5,"Body":"x"}'),
    (C, T, "x", '{"timestamp":"2024-05-01T10:00:00Z","severity_number":24,"body":"x"}'),
    (W, f"{T}.5", "x", '{"timestamp":"2024-05-01 10:00:00.500 UTC","error_severity":"WARNING","message":"x"}'),
    (D, f"{T}.5", "x", '{"timestamp":"2024-05-01 10:00:00.500 UTC","error_severity":"DEBUG2","message":"x"}'),
    (W, T, "x", '{"level":"\\u001b[33mwarn\\u001b[39m","message":"x","timestamp":"2024-05-01T10:00:00Z"}'),
    (D, T, "x", '{"level":"http","message":"x","timestamp":"2024-05-01T10:00:00Z"}'),
    (C, T, "x", '{"time":"2024-05-01T10:00:00Z","level":"ERROR+4","msg":"x"}'),
    (W, T, "x", '{"time":"2024-05-01T10:00:00Z","level":"INFO+4","msg":"x"}'),
    (E, T, "x", '{"version":"1.1","host":"h","short_message":"x","timestamp":1714557600,"level":3}'),
    (C, T, "x", '{"version":"1.1","host":"h","short_message":"x","timestamp":1714557600,"level":0}'),
    (E, T, "x", '{"MESSAGE":"x","PRIORITY":"3","__REALTIME_TIMESTAMP":"1714557600000000"}'),
    (E, T, "x", '{"reqId":"a","level":3,"time":"2024-05-01T10:00:00+00:00","remoteAddr":"","app":"a","message":"x"}'),
    (W, T, "x", '{"reqId":"a","level":2,"time":"2024-05-01T10:00:00+00:00","remoteAddr":"","app":"a","message":"x"}'),
    (I, T, "x", '{"logger":"a","ts":1714557600,"level":0,"msg":"x"}'),
    (D, T, "x", '{"logger":"a","ts":1714557600,"level":2,"msg":"x"}'),
    (E, T, "x", '{"ts":1714557600000.1,"caller":"a.go:1","msg":"x","err":"refused"}'),
    (I, T, "x", '{"level":0,"time":1714557600,"msg":"x"}'),
    (I, T, "x", '{"level":1,"time":1714557600,"msg":"x"}'),
    (E, T, "x", '{"severity":500,"message":"x","timestamp":{"seconds":1714557600,"nanos":0}}'),
    (E, T, "x", '{"text":"y","record":{"level":{"name":"ERROR","no":40},"message":"x","time":{"timestamp":1714557600.0}}}'),
    (E, T, "x", '{"@timestamp":"2024-05-01T10:00:00Z","level_value":40000,"message":"x"}'),
    (E, T, "x", '{"Timestamp":"2024-05-01T10:00:00Z","LogLevel":"Error","Message":"x"}'),
    (E, T, "x", '{"severity":"ERROR","jsonPayload":{"message":"x"},"timestamp":"2024-05-01T10:00:00Z"}'),
    (E, "2024-05-01T22:00:00", "x", '{"time":"May 1, 2024 10:00:00 PM","level":"error","msg":"x"}'),
    (E, T, None, '{"time_local":"01/May/2024:10:00:00 +0000","status":503,"request":"GET / HTTP/1.1"}'),
    (W, T, None, '{"time_iso8601":"2024-05-01T10:00:00+00:00","status":"404","request_uri":"/"}'),
    (I, f"{T}.5", None, '{"msec":"1714557600.500","status":"200","request_uri":"/"}'),
    (E, T, None, '{"time":"2024-05-01T10:00:00Z","status":500,"ua":"\\x22q\\x22 \\xC3\\xA9"}'),
    (I, T, "x", '{"time":"2024-05-01T10:00:00Z","status":"active","msg":"x"}'),
]  # fmt: skip


@pytest.mark.parametrize(("level", "when", "message", "line"), JSON)
def test_json(level: str, when: str, message: str | None, line: str) -> None:
    found = event(line)
    assert found["level"] == level
    check_time(found["timestamp"], when)
    assert found["message"] == (line if message is None else message)


def request(*values: Any) -> dict[str, Any]:
    """The fields of a request, without those that are None."""
    names = ("method", "path", "status", "bytes", "duration_ms", "client")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


FIELDS = [
    ('192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET /a?b=1 HTTP/1.1" 502 12 "-" "curl"',
     request("GET", "/a?b=1", 502, 12, None, "192.0.2.1")),
    ('shop.example:80 192.0.2.1 - bob [01/May/2024:10:00:00 +0000] "POST /a HTTP/2.0" 200 -',
     request("POST", "/a", 200, None, None, "192.0.2.1")),
    ('192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "c" rt=0.012',
     request("GET", "/", 200, 9, 12, "192.0.2.1")),
    ('192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET / HTTP/1.1" 502 11 "-" "c" 7 "r" "u" 12ms',
     request("GET", "/", 502, 11, 12, "192.0.2.1")),
    ('127.0.0.1 - - [01/May/2024 10:00:00] "GET /a HTTP/1.1" 404 -',
     request("GET", "/a", 404, None, None, "127.0.0.1")),
    ('[01/May/2024 10:00:00] "GET /a HTTP/1.1" 500 145', request("GET", "/a", 500, 145, None, None)),
    ('INFO:     127.0.0.1:5000 - "GET /a HTTP/1.1" 200 OK',
     request("GET", "/a", 200, None, None, "127.0.0.1")),
    ('[GIN] 2024/05/01 - 10:00:00 | 500 |  1.5ms |  192.0.2.1 | GET      "/a"',
     request("GET", "/a", 500, None, 1.5, "192.0.2.1")),
    ('https 2024-05-01T10:00:00.5Z app/lb/50 192.0.2.1:28 10.0.0.1:80 0.086 0.048 0.037 502 200 0 '
     '57 "GET https://a:443/ HTTP/1.1" "c" - -',
     request("GET", "https://a:443/", 502, 57, 48, "192.0.2.1")),
    ('2024-05-01T10:00:00.5Z lb 192.0.2.1:28 10.0.0.1:80 0.086 0.048 0.037 502 200 0 57 '
     '"GET http://a:80/ HTTP/1.1" "c" - -',
     request("GET", "http://a:80/", 502, 57, 48, "192.0.2.1")),
    ('79a59df900b949e5 b [01/May/2024:10:00:00 +0000] 192.0.2.1 7 3E5 REST.GET.OBJECT a '
     '"GET /b/a HTTP/1.1" 404 - 113 - 7 - "-" "c" -', request("GET", "/b/a", 404, 113, 7, "192.0.2.1")),
    ('[2024-05-01T10:00:00.500Z] "GET /a HTTP/1.1" 503 UF 0 91 12 - "10.0.0.1" "c" "i" "h" "u"',
     request("GET", "/a", 503, 91, 12, None)),
    ('1714557600.500    123 192.0.2.1 TCP_MISS/502 4412 GET http://a/ - - text/html',
     request("GET", "http://a/", 502, 4412, 123, "192.0.2.1")),
    ('2024-05-01 10:00:00 10.0.0.1 POST /a - 443 - 192.0.2.1 curl/8 - 502 0 0 12',
     request("POST", "/a", 502, None, 12, "192.0.2.1")),
    ('{"time_local":"01/May/2024:10:00:00 +0000","remote_addr":"192.0.2.1","request":"GET /a HTTP/1.1",'
     '"status":"502","body_bytes_sent":"12","request_time":"0.012"}',
     request("GET", "/a", 502, 12, 12, "192.0.2.1")),
    ('{"level":"info","ts":1714557600,"msg":"handled request","request":{"remote_ip":"192.0.2.1",'
     '"method":"GET","uri":"/a"},"duration":0.012,"size":12,"status":200}',
     request("GET", "/a", 200, 12, 12, "192.0.2.1")),
    ('{"ClientHost":"192.0.2.1","DownstreamContentSize":12,"DownstreamStatus":502,"Duration":12000000,'
     '"RequestMethod":"GET","RequestPath":"/a","level":"info","msg":"","time":"2024-05-01T10:00:00Z"}',
     request("GET", "/a", 502, 12, 12, "192.0.2.1")),
    ('{"level":30,"time":1714557600000,"req":{"method":"GET","url":"/a"},"res":{"statusCode":200},'
     '"responseTime":12,"msg":"request completed"}', request("GET", "/a", 200, None, 12, None)),
    ("May  1 10:00:00 web1 sshd[12]: Accepted publickey", {"host": "web1", "service": "sshd"}),
    ("<34>May  1 10:00:00 web1 su: failed", {"host": "web1", "service": "su"}),
    ("<34>1 2024-05-01T10:00:00Z web1 shop 12 - - x", {"host": "web1", "service": "shop"}),
    ("2024-05-01T10:00:00+00:00 web1 sshd[12]: error: x", {"host": "web1", "service": "sshd"}),
    ("E0501 10:00:02.000001       1 main.go:7] x", {"logger": "main.go"}),
    ("05-01 10:00:00.500  1702  2395 W Shop: slow", {"logger": "Shop"}),
    ("W/Shop    ( 1702): slow", {"logger": "Shop"}),
    ("2024-05-01 10:00:00,500 ERROR [main] com.example.Shop: x", {"logger": "com.example.Shop"}),
    ("2024-05-01 10:00:00.500  INFO 1 --- [main] c.e.Shop   : x", {"logger": "c.e.Shop"}),
    ("May 1, 2024 10:00:00 AM com.example.Shop pay\nSEVERE: x", {"logger": "com.example.Shop"}),
    ("24/05/01 10:00:00 INFO executor.Shop: x", {"logger": "executor.Shop"}),
    ("2024-05-01T10:00:00.5Z stderr F x", {"stream": "stderr"}),
    ("web-1  | x", {"container": "web-1"}),
    ("[pod/web-0/app] x", {"pod": "web-0", "container": "app"}),
    ('2024-05-01T10:00:00.5Z stdout F {"level":"warn","msg":"x","trace":"a"}',
     {"stream": "stdout", "trace": "a"}),
    ('{"Timestamp":1714557600000000000,"Body":"x","Resource":{"service.name":"shop"}}',
     {"service": "shop"}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), FIELDS)
def test_fields(line: str, fields: dict[str, Any]) -> None:
    found = event(line)
    assert {name: found.get(name) for name in fields} == fields


def test_java_util_logging_has_its_level_in_the_second_line() -> None:
    assert event("May 1, 2024 10:00:00 AM com.example.Shop pay\nSEVERE: x")["level"] == E


def test_the_format_of_the_line_before_changes_nothing() -> None:
    lines = [line for _, _, line in TEXT] + [line for line, _ in FIELDS]
    fresh = [event(line) for line in lines]
    for before in lines:
        one = Lines()
        for line, expected in zip(lines, fresh, strict=True):
            one.event(before.encode(), len(before.encode()))
            found = json.loads(one.event(line.encode(), len(line.encode())) or b"{}")
            assert {**found, "timestamp": 0} == {**expected, "timestamp": 0}
