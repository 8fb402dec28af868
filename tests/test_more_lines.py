# ruff: noqa: E501 - a line of a log is one line
"""Further lines as real systems write them, by the kinds of what was once read wrong in them."""

import time
from typing import Any

import pytest

from logpipeline.events.explain import explained
from tests.test_real_lines import C, E, I, T, W, check_time, event, events, utc

pytestmark = pytest.mark.usefixtures(utc.__name__)  # local time

LINES = [
    # Dates that count weeks or days, and dates in other forms.
    (E, T, "2024-W18-3T10:00:00Z ERROR x"),
    (E, T, "2024W183T100000Z ERROR x"),
    (E, T, "2024-122T10:00:00Z ERROR x"),
    (E, T, "ERROR 2024-W18-3 10:00:00 x"),
    (I, None, "2024-W60-3T10:00:00Z x"),
    (I, None, "2024-555 10:00:00 x"),
    (E, T, "01May2024 10:00:00 ERROR x"),
    (E, T, "01MAY2024:10:00:00 ERROR x"),
    (E, T, "[2024-05-01][10:00:00][my_app][ERROR] x"),
    (E, T, "20240501100000 ERROR x"),
    (E, T, "20240501-100000 ERROR x"),
    # A zone is read as a whole, or the time is not stated.
    (I, "2024-05-01T14:00:00.123", "2024-05-01T10:00:00.123-0400: 0.123: [GC (Allocation Failure)"),
    (I, "2024-05-01T08:00:00", "2024-05-01T10:00:00+02:00: x"),
    (E, "2024-05-01T15:00:00", "2024-05-01 10:00:00 COT ERROR x"),
    (I, None, "2024-05-01-10.00.00.123456+120 I1234A LEVEL: Error"),
    # Unix times.
    (E, f"{T}.123", "1714557600123 ERROR x"),
    (I, None, "1714557600123 is no time"),
    (E, f"{T}.123", "[ERROR] [1714557600.123]: x"),
    (E, f"{T}.5", "@40000000663212aa1dcd6500 ERROR x"),
    (I, f"{T}.123", "type=SYSCALL msg=audit(1714557600.123:456): arch=c000003e success=no"),
    # A level beside the time.
    (E, T, 'Error,5/1/2024 10:00:00 AM,Service Control Manager,7000,None,"x"'),
    (E, T, "error 2024-05-01 10:00:00 x"),
    (E, T, "kern  :err   : [Wed May  1 10:00:00 2024] EXT4-fs error"),
    (W, None, "kern  :warn  : [    1.234567] ACPI: x"),
    (W, None, "[0.123s][warning][gc] x"),
    (C, "2024-05-01T08:00:00", "2024-05-01 10:00:00+0200 0x1234     Fault       0x0                  12     0    cloudd: x"),
    (E, None, "2024-05-01 10:00:00 AMT ERROR x"),
    # What no logger wrote.
    (E, None, "Traceback (most recent call last):"),
    (E, None, 'Exception in thread "main" java.lang.IllegalStateException: x'),
    (E, None, "Unhandled exception. System.Exception: x"),
    (E, None, "thread 'main' panicked at src/main.rs:2:5:"),
    # Inside syslog.
    (E, f"{T}.123", 'May  1 10:00:00 h dockerd[1]: time="2024-05-01T10:00:00.123Z" level=error msg="x"'),
    (W, f"{T}.123", "May  1 10:00:00 h app[1]: 2024-05-01 10:00:00,123 WARNING root: x"),
    (E, f"{T}.5", 'May  1 10:00:00 h app[1]: {"level":"error","msg":"x","time":"2024-05-01T10:00:00.5Z"}'),
    (E, T, '<14>1 2024-05-01T10:00:00Z h app 1 - - ERROR x'),
    (E, T, "2024-05-01T10:00:00Z h kubelet[1]: E0501 10:00:00.123456 12 a.go:190] x"),
    (E, T, "2024-05-01T10:00:00Z h sshd[1]: error: PAM: Authentication failure"),
    (I, T, "2024-05-01T10:00:00Z h app[1]: no error was found"),
    (E, T, '2024-05-01T10:00:00Z h app[1]: @cee: {"level":"error","msg":"x"}'),
    (E, T, "2024-05-01T10:00:00+00:00 app[web.1]: ERROR x"),
    # JSON of loggers.
    (E, f"{T}.123", '{"L":"ERROR","T":"2024-05-01T10:00:00.123Z","M":"x"}'),
    (C, "2024-05-01T08:00:00", '{"message":"x","level":550,"datetime":{"date":"2024-05-01 10:00:00.000000","timezone_type":3,"timezone":"Europe/Berlin"}}'),
    (I, f"{T}.123", '{"Level":4,"TimeCreated":"2024-05-01T10:00:00.123Z","Message":"x","ProviderName":"SCM"}'),
    (C, None, '{"Level":1,"Message":"x","ProviderName":"SCM"}'),
    (E, f"{T}.123", '{"LevelDisplayName":"Error","TimeCreated":"/Date(1714557600123)/","Message":"x"}'),
    (E, None, '{"remote_addr":"192.0.2.1","request":"GET / HTTP/1.1","status":"502"}'),
    # A time in a field that has another meaning is none.
    (I, None, '{"certificate":"x","expires":"2031-05-01 10:00:00"}'),
    (I, None, '{"a":1,"b":"ERROR 2024-05-01 10:00:00 x"}'),
    (I, T, '{"time":"2024-05-01T10:00:00Z","cut": "x'),
]  # fmt: skip


@pytest.mark.parametrize(("level", "when", "line"), LINES)
def test_level_and_time(level: str, when: str | None, line: str) -> None:
    made = event(line)
    assert made["level"] == level
    check_time(made["timestamp"], when)


GET = {"method": "GET", "path": "/x"}
FIELDS: list[tuple[str, dict[str, Any]]] = [
    ('[2024-05-01T10:00:00Z] "GET /x HTTP/2" 503 UH - "-" 0 19 12 - "192.0.2.1" "curl" "a" "b" "-"', GET | {"status": 503, "client": "192.0.2.1", "duration_ms": 12}),
    ('192.0.2.1:1234 - - [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 200 5', GET | {"client": "192.0.2.1"}),
    ('192.0.2.1, 10.0.0.2 - - [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 200 5', GET | {"client": "192.0.2.1"}),
    ('192.0.2.1 [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 500 5 "-" "aiohttp"', GET | {"status": 500}),
    ('192.0.2.1:1234 - - [01/May/2024:10:00:00] "GET /x" 404 5', GET | {"status": 404, "bytes": 5}),
    ('2001:db8::1 - - [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 200 5', GET | {"client": "2001:db8::1"}),
    ('- - - [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 400 157', GET | {"status": 400}),
    ("GET /x 500 12.345 ms - 12", GET | {"status": 500, "duration_ms": 12.345}),
    ("GET /x 200 12 - 3.2 ms", GET | {"bytes": 12, "duration_ms": 3.2}),
    ('INFO:werkzeug:127.0.0.1 - - [01/May/2024 10:00:00] "GET /x HTTP/1.1" 500 -', GET | {"logger": "werkzeug"}),
    ("WARNING:tornado.access:404 GET /x (127.0.0.1) 0.50ms", GET | {"client": "127.0.0.1"}),
    ("[pid: 1|app: 0|req: 1/1] 192.0.2.1 () {28 vars in 300 bytes} [Wed May  1 10:00:00 2024] GET /x => generated 12 bytes in 3 msecs (HTTP/1.1 500) 2 headers", GET | {"duration_ms": 3, "bytes": 12}),
    ('192.0.2.1:33317 [01/May/2024:10:00:00.123] in~ be/<NOSRV> -1/-1/-1/-1/109 503 217 - - SC-- 1/1/1/1/0 0/0 "GET /x HTTP/1.1"', GET | {"status": 503, "bytes": 217, "duration_ms": 109}),
    ('May  1 10:00:00 lb haproxy[1]: 192.0.2.1:33317 [01/May/2024:10:00:00.123] in be/s1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {a|b} {} "GET /x HTTP/1.1"', GET | {"service": "haproxy", "client": "192.0.2.1"}),
    ("192.0.2.1:33317 [01/May/2024:10:00:00.123] fnt be/s1 0/0/5007 212 -- 0/0/0/0/3 0/0", {"client": "192.0.2.1", "bytes": 212, "duration_ms": 5007}),
    ('<190>May  1 10:00:00 web1 nginx: 192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 500 12', GET | {"host": "web1", "service": "nginx"}),
    ('May  1 10:00:00 web1 nginx: 192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET /x HTTP/1.1" 500 12', GET | {"client": "192.0.2.1", "service": "nginx"}),
    ('2024-05-01T10:00:00+00:00 heroku[router]: at=error code=H12 method=GET path="/x" fwd="192.0.2.1" service=30000ms status=503 bytes=0', GET | {"service": "heroku", "duration_ms": 30_000, "client": "192.0.2.1"}),
    ("method=GET path=/x format=html controller=A action=b status=500 duration=12.34", GET | {"status": 500, "duration_ms": 12.34}),
    ('level=info msg="x" method=GET path=/x service=shop duration=12', GET),
    ('{"time":"2024-05-01T10:00:00Z","remote_ip":"192.0.2.1","method":"GET","uri":"/x","status":500,"latency":1234567,"latency_human":"1.23ms","bytes_out":12}', GET | {"duration_ms": 1.234567, "bytes": 12}),
    ('{"start_time":"2024-05-01T10:00:00Z","method":"GET","path":"/x","response_code":503,"response_flags":"UF","bytes_sent":91,"duration":12,"downstream_remote_address":"192.0.2.1:1"}', GET | {"duration_ms": 12, "client": "192.0.2.1", "level": E}),
    ('{"level":30,"time":1714557600123,"req":{"method":"GET","url":"/x","remoteAddress":"192.0.2.1"},"res":{"statusCode":200},"msg":"x"}', GET | {"client": "192.0.2.1"}),
    ("2024-05-01T10:00:00,123456+00:00 usb 1-1: new device", {"host": None, "service": None}),
    ("Wed 2024-05-01 10:00:00 UTC web1 sshd[12]: x", {"host": "web1", "service": "sshd"}),
    ("1714557600.123456 web1 sshd[12]: x", {"host": "web1", "service": "sshd"}),
    ("May  1 10:00:00 mac com.apple.xpc.launchd[1] (com.apple.foo[12]): x", {"host": "mac", "service": "com.apple.xpc.launchd"}),
    ("<165>1 2024-05-01T10:00:00Z - evntslog - ID47 - x", {"host": None, "service": "evntslog"}),
    ("node=web1 type=USER_LOGIN msg=audit(1714557600.123:456): pid=1", {"host": "web1"}),
    ("01-May-2024 10:00:00.123 SEVERE [main] org.apache.catalina.core.StandardService.startInternal Failed", {"logger": "org.apache.catalina.core.StandardService.startInternal"}),
    ("2024-05-01 10:00:00,123 [exec-1] ERROR c.e.App [req=abc] - x", {"logger": "c.e.App"}),
    ("2024-05-01 10:00:00.1234|ERROR|Shop.Payment|x", {"logger": "Shop.Payment"}),
    ("ERROR 05-01 10:00:00 [engine.py:158] x", {"logger": "engine.py"}),
    ('{"message":"x","log":{"level":"error","logger":"a.b"}}', {"log": {"level": "error", "logger": "a.b"}}),
    ('{"severity":"ERROR","jsonPayload":{"message":"x","order":7}}', {"jsonPayload": {"message": "x", "order": 7}, "message": "x"}),
    ('{"level":"ERROR","fields":{"message":"x","order":7},"target":"app"}', {"fields": {"message": "x", "order": 7}, "message": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), FIELDS)
def test_fields(line: str, fields: dict[str, Any]) -> None:
    made = event(line)
    assert {name: made.get(name) for name in fields} == fields


ENDS = """\
panic: runtime error: index out of range

goroutine 1 [running]:
main.main()
\t/app/main.go:8 +0x1d
exit status 2
%
thread 'main' panicked at src/main.rs:2:5:
index out of bounds
stack backtrace:
   0: rust_begin_unwind
note: Some details are omitted
%
/app/a.js:3
throw new Error("x");
^

Error: x
    at Object.<anonymous> (/app/a.js:3:7)

Node.js v20.1.0
%
node:internal/process/promises:288
            triggerUncaughtException(err, true /* fromPromise */);
            ^

[UnhandledPromiseRejection: This error originated either by throwing]

Node.js v18.0.0
"""


@pytest.mark.parametrize("text", ENDS.split("%\n"))
@pytest.mark.parametrize("after", ["server starts again", "2024-05-01 10:00:00 x", '{"msg":"x"}'])
def test_the_end_of_a_program_is_one_event(text: str, after: str) -> None:
    first, second = events(f"{text}{after}\n".encode())
    assert first[1]["message"] == text.rstrip("\n")
    assert first[1]["level"] in (E, C)
    assert second[0] == after


CLOUDFRONT = """\
#Version: 1.0
#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status time-taken
2024-05-01\t10:00:00\tFRA56-P1\t1045\t192.0.2.9\tGET\td1.cloudfront.net\t/x\t503\t0.123
2024-05-01\t10:00:01\tFRA56-P1\t1045\t192.0.2.9\tGET\td1.cloudfront.net\t/x\t000\t-
"""
FIREWALL = """\
#Time Format: Local
#Fields: date time action protocol src-ip dst-ip
2024-05-01 10:00:00 DROP TCP 192.0.2.9 10.0.0.1
2024-05-01 10:00:00 DROP TCP with other fields 10.0.0.1
"""


def test_a_header_names_the_fields_of_the_lines_after_it() -> None:
    *_, full, cut = events(CLOUDFRONT.encode())
    made = full[1]
    check_time(made["timestamp"], T)
    assert (made["level"], made["path"], made["status"], made["bytes"]) == (E, "/x", 503, 1045)
    assert (made["client"], made["duration_ms"]) == ("192.0.2.9", 123)
    assert made["x-edge-location"] == "FRA56-P1"
    assert (cut[1]["level"], cut[1].get("duration_ms")) == (I, None)
    assert made["message"] == full[0]


def test_a_header_may_say_that_times_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    *_, made, other = events(FIREWALL.encode())
    check_time(made[1]["timestamp"], "2024-05-01T08:00:00")
    assert made[1]["action"] == "DROP"
    assert "action" not in other[1]


def test_explain_names_the_header() -> None:
    shown = "\n".join(explained([CLOUDFRONT.encode()]))
    assert "level ERROR, time 2024-05-01T10:00:00Z, by W3C: IIS, CloudFront" in shown
