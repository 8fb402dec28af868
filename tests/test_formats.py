"""What lines of text state: level and time, in the formats of real logs."""

import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from logpipeline.events import (
    continuation,
    formats,
    json_values,
    levels,
    moments,
    redaction,
    text_formats,
    times,
    wrappers,
)
from logpipeline.events.text_formats import FORMATS, Format, Row, read

NEW_YORK = "EST5EDT,M3.2.0,M11.1.0"


@pytest.fixture(autouse=True)
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time that is not UTC, and has summer."""

    def forget() -> None:
        time.tzset()
        times._minute.cache_clear()
        times._yearless.cache_clear()

    monkeypatch.setenv("TZ", NEW_YORK)
    forget()
    yield
    monkeypatch.undo()
    forget()


def utc(text: str) -> Decimal:
    """Unix seconds of an ISO time in UTC, all its digits kept."""
    whole, _, fraction = text.partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return int(seconds) + Decimal(f"0.{fraction or 0}")


def stated(line: str) -> tuple[str | None, Decimal | None]:
    level, seconds = read(line)
    return level, None if seconds is None else Decimal(seconds)


# Level, time in UTC, line. Winter is 5 hours behind UTC in New York, summer 4.
HDFS = "081109 203615 148 {} dfs.DataNode$PacketResponder: PacketResponder 1 for block terminating"
BGL = (
    "{} 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 "
    "R02-M1-N0-C:J12-U11 RAS {} {} instruction cache parity error corrected"
)
IN_FULL = [
    ("INFO", "2008-11-10T01:36:15", HDFS.format("INFO")),
    ("WARNING", "2008-11-10T01:36:15", HDFS.format("WARN")),
    ("INFO", "2008-11-09T05:00:00", "081109 000000 26 INFO dfs.FSNamesystem: ERROR was: 0"),
    (
        "INFO",
        "2015-10-18T22:01:47.978",
        "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: x",
    ),
    (
        "ERROR",
        "2015-10-18T22:06:26.100",
        "2015-10-18 18:06:26,100 ERROR [RMCommunicator Allocator] org.apache.hadoop.mapreduce.v2."
        "app.rm.RMContainerAllocator: ERROR IN CONTACTING RM. INFO",
    ),
    (
        "CRITICAL",
        "2015-10-18T22:06:26.100",
        "2015-10-18 18:06:26,100 FATAL [IPC Server handler 13 on 62270] org.apache.hadoop: killed",
    ),
    (
        "INFO",
        "2017-06-10T00:10:40",
        "17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers",
    ),
    ("WARNING", "2017-06-10T00:10:40", "17/06/09 20:10:40 WARN storage.Block: ERROR in text"),
    (
        "INFO",
        "2015-07-29T21:41:41.536",
        "2015-07-29 17:41:41,536 - INFO  [main:QuorumPeerConfig@101] - Reading configuration",
    ),
    (
        "WARNING",
        "2015-07-29T23:04:12.394",
        "2015-07-29 19:04:12,394 - WARN  [/10.10.34.12:3888:QuorumCnxManager$Listener@493] - "
        "Connection broken for id 188978561024, my id = 1, error = ERROR",
    ),
    (
        "ERROR",
        "2015-07-29T23:04:12.394",
        "2015-07-29 19:04:12,394 - ERROR [LearnerHandler-/10.10.34.11:52225:LearnerHandler@562] - "
        "Unexpected exception causing shutdown while sock still open",
    ),
    ("INFO", "2005-06-03T22:42:50.363779", BGL.format("-", "KERNEL", "INFO")),
    ("CRITICAL", "2005-06-03T22:42:50.363779", BGL.format("KERNDTLB", "KERNEL", "FATAL")),
    ("ERROR", "2005-06-03T22:42:50.363779", BGL.format("-", "DISCOVERY", "SEVERE")),
    ("ERROR", "2005-06-03T22:42:50.363779", BGL.format("-", "BGLMASTER", "FAILURE")),
    ("WARNING", "2005-06-03T22:42:50.363779", BGL.format("-", "MMCS", "WARNING")),
    ("ERROR", "2005-06-03T22:42:50.363779", BGL.format("APPSEV", "APP", "ERROR")),
    (
        None,
        "2004-02-26T14:12:22",
        "134681 node-246 unix.hw state_change.unavailable 1077804742 1 Component State Change: "
        "Component \\042alt0\\042 is in the unavailable state (HWID=1234) ERROR",
    ),
    (
        None,
        "2005-11-09T20:01:01",
        "- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session "
        "closed for user root",
    ),
    (
        None,
        "2005-11-09T20:01:01",
        "VAPI 1131566461 2005.11.09 tbird-admin1 Nov 9 12:01:01 local@tbird-admin1 postfix/"
        "postdrop[10896]: warning: unable to look up public/pickup: FATAL ERROR",
    ),
    (
        "INFO",
        "2016-09-28T08:30:30",
        "2016-09-28 04:30:30, Info                  CBS    Loaded Servicing Stack v6.1.7601.23505",
    ),
    (
        "ERROR",
        "2016-09-28T08:30:31",
        "2016-09-28 04:30:31, Error                 CSI    00000001@2016/9/27:20:30:31.455 Info",
    ),
    (
        "WARNING",
        "2016-09-28T08:30:31",
        "2016-09-28 04:30:31, Warning               DISM   DISM.EXE: Failed",
    ),
    (
        None,
        "2017-12-24T03:15:29.606",
        "20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579 ERROR",
    ),
    (None, "2017-12-24T05:00:00.007", "20171224-0:0:0:7|Step_SPUtils|30002312|setTodayTotalDetail"),
    ("INFO", "2005-12-04T09:47:44", "[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok"),
    (
        "ERROR",
        "2005-12-04T09:47:44",
        "[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6",
    ),
    (
        "WARNING",
        "2005-12-04T09:47:44.123456",
        "[Sun Dec 04 04:47:44.123456 2005] [core:warn] [pid 35:tid 43] [client 72.15.99.187] x",
    ),
    ("DEBUG", "2005-12-04T09:47:44", "[Sun Dec 04 04:47:44 2005] [ssl:trace3] [pid 35] OpenSSL"),
    ("CRITICAL", "2005-12-04T09:47:44", "[Sun Dec  4 04:47:44 2005] [emerg] no listening sockets"),
    (
        "INFO",
        "2017-05-16T04:00:00.008",
        "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute."
        'wsgi.server [req-38101a0b] 10.11.10.1 "GET /v2/servers/detail HTTP/1.1" status: 500',
    ),
    (
        "WARNING",
        "2017-05-16T04:00:10.296",
        "nova-compute.log.1.2017-05-16_13:55:31 2017-05-16 00:00:10.296 2931 WARNING nova.virt."
        "libvirt.imagecache [req-addc1839] Unknown base file: ERROR",
    ),
    ("ERROR", "2017-05-16T04:00:10.296", "2017-05-16 00:00:10.296 2931 ERROR nova.compute x"),
    (
        None,
        "2000-10-10T20:55:36",
        '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326',
    ),
    (
        "ERROR",
        "2000-10-10T20:55:36",
        '::1 - - [10/Oct/2000:13:55:36 -0700] "GET /q=\\"404 HTTP/1.0" 502 2326 "-" "curl/8 500"',
    ),
    (
        "WARNING",
        "2000-10-10T20:55:36",
        'example.com:80 203.0.113.9 - a b [10/Oct/2000:13:55:36 -0700] "\\x16\\x03" 400 166 "-"',
    ),
    ("ERROR", "2024-03-24T02:56:07", "2024/03/23 22:56:07 [error] 1234#0: *1 open() failed"),
    ("CRITICAL", "2024-03-24T02:56:07", "2024/03/23 22:56:07 [crit] 1234#1234: *1 SSL_write()"),
    ("ERROR", "2024-03-24T02:56:07.890", "2024-03-23 22:56:07,890 - my.app - ERROR - INFO"),
    ("ERROR", "2024-03-24T02:56:07.890", "[2024-03-23 22:56:07,890] {job.py:10} ERROR - msg"),
    ("WARNING", "2024-03-24T02:56:07.890", "[2024-03-23 22:56:07,890] WARN [Broker id=1] x (k)"),
    ("INFO", "2024-03-24T02:56:07.890", "[2024-03-23T22:56:07,890][INFO ][o.e.n.Node] [a] ERROR"),
    ("ERROR", "2024-03-24T02:56:07.890", "[2024-03-23 22:56:07,890: ERROR/MainProcess] Task"),
    ("INFO", "2024-03-23T22:56:07", "[2024-03-23 22:56:07 +0000] [1234] [INFO] Starting gunicorn"),
    ("INFO", "2024-03-24T02:56:07.890", "2024-03-23 22:56:07.890  INFO 1 --- [main] c.e.App : x"),
    ("DEBUG", "2024-03-24T02:56:07.890", "2024-03-23 22:56:07,890 [pool-1] DEBUG c.e.App - x"),
    ("ERROR", "2024-03-24T02:56:07.890", "2024-03-23 22:56:07.890 | ERROR    | mod:func:10 - x"),
    ("ERROR", "2024-03-23T21:56:07.89", "2024-03-23 22:56:07.89 +01:00 [ERR] x"),
    ("WARNING", "2024-03-23T22:56:07.123456", "2024-03-23T22:56:07.123456Z 0 [Warning] [MY] x"),
    ("WARNING", "2024-03-23T22:56:07.123456789", "2024-03-23T22:56:07.123456789Z  WARN crate: x"),
    ("INFO", "2024-03-23T22:56:07.1", "2024-03-23T22:56:07.1Z\tinfo\tcontroller\tx"),
    ("ERROR", "2024-03-24T02:56:07", "2024/03/23 22:56:07 ERROR no such order id=7"),
    (
        "ERROR",
        "2024-03-23T22:56:07.890",
        '2024-03-23 22:56:07.890 UTC [612] app@shop ERROR:  relation "FATAL" does not exist',
    ),
    ("DEBUG", "2024-03-23T21:56:07.890", "2024-03-23 22:56:07.890 CET [9] DEBUG3:  x ERROR"),
    (None, "2024-03-23T22:56:07.890", "2024-03-23 22:56:07.890 UTC [1] LOG:  ERROR: database"),
    ("WARNING", "2024-03-24T02:56:07.890", "612:M 23 Mar 2024 22:56:07.890 # ERROR overcommit"),
    ("CRITICAL", "2003-10-11T22:14:15.003", "<34>1 2003-10-11T22:14:15.003Z my su - ID47 - info"),
    ("WARNING", "2024-03-24T02:56:07.890123", "W20240323 22:56:07.890123   1 server.cc:10] slow"),
    ("ERROR", "2024-03-24T02:56:07.890123", "E, [2024-03-23T22:56:07.890123 #12] ERROR -- : x"),
    ("ERROR", "2024-03-23T22:56:07", 'time="2024-03-23T22:56:07Z" level=error msg="level=info"'),
    ("DEBUG", "2024-03-23T22:56:07", 'level=debug ts=1711234567 msg="a=\\"b level=error"'),
    ("CRITICAL", "2024-03-23T22:56:07", "[23-Mar-2024 22:56:07 UTC] PHP Fatal error:  Uncaught"),
    (None, "2024-03-24T02:56:07", "Mar 23, 2024 10:56:07 PM com.example.App ERROR"),
    (None, "2024-03-23T22:56:07.890", "1711234567.890    123 10.0.0.1 TCP_MISS/200 4412 GET x"),
    (None, "2024-03-23T22:56:07", "2024-03-23T22:56:07+0000 web1 sshd[12]: error: PAM: ERROR"),
    (None, "2024-03-24T02:56:07", "2024/03/23 22:56:07 http: TLS handshake error from 10.0.0.1"),
    (None, "2024-03-24T02:56:07", "2024-03-23 22:56:07 Error connecting to the database"),
    (None, "2024-03-23T22:56:07", "20240323T225607Z started"),
    ("WARNING", "2024-03-24T02:56:07", "\x1b[2m2024-03-23 22:56:07\x1b[0m \x1b[33m WARN\x1b[0m x"),
    (None, "1969-12-31T23:59:59.5", "1969-12-31T23:59:59.5Z before all"),
    (None, "2024-12-31T23:59:60", "2024-12-31T23:59:60Z a leap second"),
]
WITHOUT_TIME = [
    ("ERROR", "ERROR:root:can't open INFO"),
    ("WARNING", "WARNING: INFO"),
    ("ERROR", "[ERROR] Failed to execute goal"),
    ("INFO", "[info] compiling 3 sources, 1 error"),
    ("INFO", 'INFO:     127.0.0.1:1234 - "GET / HTTP/1.1" 500 ERROR'),
    ("ERROR", "Error: connect ECONNREFUSED 127.0.0.1:80"),
    ("WARNING", "22:56:07.890 [main] WARN  com.example.App - ERROR"),
    ("INFO", "467 [main] INFO org.apache.log4j.examples.Sort - ERROR"),
    ("WARNING", "W/ActivityManager( 1702): ERROR"),
    ("WARNING", "<4>[   12.345678] usb 1-1: ERROR"),
    (None, "error"),
    (None, "error while opening ERROR"),
    (None, "Errors: 0"),
    (None, "Informational text"),
    (None, "\tat com.example.App.main(App.java:10) ERROR"),
    (None, "    raise ValueError: ERROR"),
    (None, "java.net.ConnectException: ERROR: refused"),
    (None, "ALL TESTS PASSED"),
    (None, "x=1 y=2"),
    (None, "--------- beginning of main"),
    (None, "- ERROR"),
    (None, "2024-13-23 22:56:07 ERROR"),
    (None, "2024-02-30 22:56:07 ERROR"),
    (None, "Foo 14 15:16:01 combo"),
    (None, "\u0661\u0662\u0663 ERROR"),
    (None, "999999 999999 1 INFO"),
    (None, "(ERROR)"),
]


@pytest.mark.parametrize(("level", "when", "line"), IN_FULL)
def test_level_and_time_that_a_line_states_in_full(level: str | None, when: str, line: str) -> None:
    leap = 1 if when.endswith(":60") else 0
    assert stated(line) == (level, utc(when.replace(":60", ":59")) + leap)


@pytest.mark.parametrize(("level", "line"), WITHOUT_TIME)
def test_level_of_a_line_without_a_time(level: str | None, line: str) -> None:
    assert stated(line) == (level, None)


def test_every_format_reads_its_own_example_in_each_of_its_places() -> None:
    for form in FORMATS:
        assert re.match(form.pattern, form.example), form.name
        assert read(form.example) != (None, None), form.name
        kind = "0" if form.example[0].isdigit() else "a" if form.example[0].isalpha() else ""
        assert {kind, form.example[0]} & {*form.first}, form.name
        assert re.match(form.lead, form.example), form.name
        assert form.needs in form.example, form.name


YEARLESS = [
    (None, "%b %d %H:%M:%S", "{} combo sshd(pam_unix)[19939]: authentication failure ERROR"),
    (None, "%b %d %H:%M:%S", "{} LabSZ sshd[24200]: error: Received disconnect from 103.99.0.122"),
    (None, "%b %d %H:%M:%S", "{} calvisitor-10-105-160-95 kernel[0]: ERROR <fatal>"),
    ("CRITICAL", "%b %d %H:%M:%S", "<34>{} mymachine su: 'su root' failed info"),
    ("DEBUG", "%m-%d %H:%M:%S.000", "{}  1702  2395 D WindowManager: ERROR printFreezing"),
    ("CRITICAL", "%m-%d %H:%M:%S.000", "{}  1702  2395 F DEBUG   : info"),
    (None, "%m.%d %H:%M:%S", "[{}] chrome.exe - proxy:5070 error : Could not connect - ERROR"),
    ("ERROR", "%m%d %H:%M:%S.000000", "E{}    1 server.go:10] info"),
]


@pytest.mark.parametrize(("level", "clock", "line"), YEARLESS)
@pytest.mark.parametrize("days_ago", [-170, -30, -1, 0, 1, 30, 170])
def test_a_time_without_a_year_is_the_one_nearest_to_now(
    level: str | None, clock: str, line: str, days_ago: int
) -> None:
    when = datetime.now().replace(microsecond=0) - timedelta(days=days_ago)
    assert stated(line.format(when.strftime(clock))) == (level, Decimal(int(when.timestamp())))


def test_february_29_is_of_a_leap_year() -> None:
    _, seconds = read("Feb 29 12:00:00 combo kernel: x")
    assert seconds
    assert (datetime.fromtimestamp(int(seconds))).strftime("%m-%d %H") == "02-29 12"


@pytest.mark.parametrize(
    "hostile",
    [
        "a.log" * 200_000,
        "a=" + "b" * 1_000_000,
        "a=1 " + "b" * 1_000_000,
        "2024-03-23 22:56:07 " + "1" * 1_000_000,
        "2024-03-23 22:56:07 " + "[" * 1_000_000,
        "2024-03-23 22:56:07 " + "[a] " * 300_000,
        "2024-03-23 22:56:07 " + "a.b " * 300_000,
        '1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] "' + "\\" * 1_000_000,
        "1 " * 500_000,
        "a " * 500_000,
        "[" * 1_000_000,
        "<" + "9" * 1_000_000,
        "\x1b[" * 500_000,
        "W/" + "(" * 1_000_000,
    ],
)
def test_a_hostile_line_costs_no_more_than_its_length(hostile: str) -> None:
    read(hostile)


LONG, SLOW = text_formats.MOST, 0.005  # characters of a line, and its seconds of CPU
TAILS = [
    *"- \ta0Z:;,./\\|=\"'[](){}<>@#_\x1b\0é",
    *("a ", "- ", "0 ", ". ", "[a] ", "{a}", "(a) ", "a.b - ", "a=", 'a="', '\\"', "0:", "\x1b[0m"),
]
OTHERS: list[tuple[Callable[[str], object], str]] = [
    (text_formats._pairs, 'time=2024-03-23T22:56:07Z level=error msg="no \\"such\\" order" ts=1'),
    (
        partial(text_formats.COLOURS.sub, ""),
        "\x1b[2m2024-03-23 22:56:07\x1b[0m \x1b[33m WARN\x1b[0m x",
    ),
    (times.of_text, "2024-03-23T22:56:07.890123+01:00"),
    (times.of_text, "-1711234567.890123e+9"),
    (json_values.of_text, "Wed, 01 May 2024 10:00:00 +0000"),
    (levels.named, "\x1b[31mERROR+4\x1b[0m"),
    (moments.find, "Wednesday, May 01, 2024, 10:00:00.123 PM Europe/Berlin"),
    (moments.find, "10:00:00.123 CEST 2024-May-01"),
    (moments.find, "Wed May  1 10:00:00 CEST 2024"),
    (partial(text_formats.ANY_LEVEL.search, endpos=moments.HEAD), "a [ERROR] b | W Shop: x"),
    (text_formats.LOGGER.match, " 1 --- [main] [x] - com.example.Shop - x"),
    (redaction.EMAIL.search, "to a%2Bb.c@mail.example.org"),
    (redaction.CARD.search, "4111 1111 1111 1112"),
    (redaction.TOKEN.search, "eyJhbGciOi.a.b AKIA0123456789 postgres://a:b@c Bearer abcdefghi"),
    (redaction.TOKEN.search, "-----BEGIN RSA PRIVATE KEY-----a-----END RSA PRIVATE KEY-----"),
    (redaction.PAIR.search, "db_password = 'abc' api-key: \\\"x"),
    (redaction.IPV4.search, "192.168.100.200.1"),
    (redaction.IPV6.search, "2001:db8:0:0:1::1.2.3.4"),
    (lambda line: redaction.JSON.sub(b"", line.encode()), '{"a\\"b" : 4111111111111111}'),
]
OTHERS += [
    (lambda line, match=pattern.match: match(line.encode()), example)  # type: ignore[misc]
    for pattern, example in [
        (continuation.CONTINUES, "java.lang.a.IOException: x"),
        (continuation.CONTINUES, "com.example.Refused"),
        (continuation.CONTINUES, "/srv/a-b/c.rb:12:in `x'"),
        (continuation.CONTINUES, '"}]);  '),
        (continuation.JAVA, "May 1, 2024 10:00:00 AM com.example.Shop pay"),
        (continuation.STARTS, "a.b.Exception: x"),
        (continuation.ERROR_LINE, "a.b.Error: x"),
        (continuation.GO_CALL, "main.(*Shop).pay(0x0, {0x1})"),
        (continuation.SPECIAL, "\n  a"),
        (wrappers.CRI, "2024-05-01T10:00:00.5+00:00 stdout P:abc x"),
        (wrappers.DOCKER_TIME, "2024-05-01T10:00:00.123456789Z   x"),
        (wrappers.KUBECTL, "[pod/web-0/app] x"),
        (wrappers.COMPOSE, "\x1b[36mweb-1  | \x1b[0mx"),
    ]
]


def slow(work: Callable[[str], object], example: str, length: int = LONG) -> list[str]:
    """Of the `example`, cut at each place and continued by each tail, what takes over SLOW. A time
    that grows as the square of the length is as much over its bound in shorter lines."""
    bound = SLOW * (length / LONG) ** 2
    begun = [example[:end] for end in range(len(example) + 1)]
    tails = [repeated(tail, length) for tail in TAILS]
    return [
        start + tail[:10]
        for start in begun
        for tail in [*tails, repeated(start[-7:] or "-", length)]
        if all(cpu(work, start + tail) > bound for _ in range(3))
    ]


def repeated(tail: str, length: int) -> str:
    return (tail * (length // len(tail) + 1))[:length]


def cpu(work: Callable[[str], object], line: str) -> float:
    """Seconds of this thread's CPU time."""
    began = time.thread_time()
    work(line)
    return time.thread_time() - began


ALL_FORMATS = (*FORMATS, *formats.TAILS)


@pytest.mark.parametrize("form", ALL_FORMATS, ids=[form.name for form in ALL_FORMATS])
def test_no_end_of_a_line_makes_its_format_slow(form: Format) -> None:
    match = Row(form).match
    begin = form.example.index(" ", 15) if form in formats.TAILS else 0
    assert slow(lambda line: match(line, begin), form.example, LONG // 2) == []
    assert slow(read, form.example, LONG // 2) == []


@pytest.mark.parametrize(("work", "example"), OTHERS, ids=[example for _, example in OTHERS])
def test_no_end_of_a_line_makes_anything_else_slow(
    work: Callable[[str], object], example: str
) -> None:
    assert slow(work, example) == []


def test_times_that_are_remembered_take_little_memory() -> None:
    plain = read("Jun 14 15:16:01 combo sshd: x")
    tracemalloc.start()
    try:
        for spaces in range(4_000, 8_000):
            assert read(f"Jun{' ' * spaces}14 15:16:01 combo sshd: x") == plain
        assert tracemalloc.get_traced_memory()[0] < 2**20
    finally:
        tracemalloc.stop()


def test_numbers_are_unix_times_by_their_size() -> None:
    for text, expected in [
        ("1711234567", "1711234567"),
        ("1711234567.25", "1711234567.25"),
        ("1711234567890", "1711234567.890"),
        ("1711234567890123", "1711234567.890123"),
        ("1711234567890123456", "1711234567.890123456"),
        ("1.711234567890123e9", "1711234567.890123"),
    ]:
        assert times.of_number(text) == times.of_text(text) == expected
    for text in ["0", "12.5", "-1711234567", "1e999999999", "1e-9", "NaN", "1" * 400, "", "0x1"]:
        assert times.of_number(text) is None
