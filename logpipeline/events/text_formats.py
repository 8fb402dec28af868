"""Text formats: the level and the time in lines of text.

A line's first character selects the rows that are tried, in order; the first match wins. A level
counts only where its format has one: a word such as "error" in the message is text.
"""

import re
from typing import NamedTuple

from logpipeline.events import times
from logpipeline.events.event import LEVEL_OF, level_of
from logpipeline.events.times import ISO

# Names that are also ordinary words count as levels only where a format has its level.
USUAL = {name for name in LEVEL_OF if name.isupper()} - {"ALL", "OK", "LOG", "CONFIG", "NOTSET"}
WORDS = "|".join(sorted(USUAL, key=len, reverse=True))
# A level by its place: in brackets, or in capitals, or set off from what follows.
LEVEL = (
    rf"(?:[\[<(]\s*(?P<l1>(?i:{WORDS}))\d?\s*[\])>]"
    rf"|(?P<l2>{WORDS})\d?(?=[\s:|,;/\]\-]|$)"
    rf"|(?P<l3>(?i:{WORDS}))(?=\s*[:|\]]|\s\s|\t|\s-\s))"
)
# Between a time and a level there may be [thread], {file:line}, 1234, "logger.name - ", and
# Postgres' "CET [" and user@database.
HEAD = (
    r"(?:\[[^\]]*+\]|\{[^}]*+\}|\([^)]*+\)|\d++|[\w.$/@:-]++\s(?=[-|]\s)|[A-Z]{3,5}\s(?=\[)"
    r"|[\w-]++@[\w-]++)"
)
GAP = r"[\s,:|\]\-]*+"
THEN_LEVEL = rf"(?:{GAP}(?:{HEAD}{GAP}){{0,4}}?{LEVEL})?"
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
SYSLOG = rf"(?P<at>{MONTH} +\d{{1,2}} \d\d:\d\d):(?P<s>[0-6]\d)(?:\.(?P<f>\d{{1,9}}))?(?= )"
HMS = r"\d\d:\d\d):(?P<s>[0-6]\d)"  # closes the group that `(?P<at>` opens

# Letters and signs for levels: Android, klog, Ruby, MongoDB; Redis.
SHORT = {
    **dict.fromkeys("VDT.-", "DEBUG"),
    **dict.fromkeys("I*", "INFO"),
    **dict.fromkeys("W#", "WARNING"),
    "E": "ERROR",
    **dict.fromkeys("FA", "CRITICAL"),
}
NAMES = SHORT | LEVEL_OF
SYSLOG_LEVELS = ("CRITICAL",) * 3 + ("ERROR", "WARNING", "INFO", "INFO", "DEBUG")  # RFC 5424


class Format(NamedTuple):
    """`first` has the kinds of first character: 0 a digit, a a letter, or the character itself.

    Of the pattern's groups `at` is the time down to the minute in strptime's `clock` ("" for
    ISO) with `more` after it, `s` the seconds, `f` their fraction, `z` the zone, `epoch` Unix
    seconds, `l…` a level's name, `pri` syslog's priority, `status` HTTP's.
    """

    name: str
    first: str
    pattern: str
    clock: str
    example: str


FORMATS = (
    Format(
        "ISO time: Hadoop, Zookeeper, Windows CBS, log4j, Python, nginx error, Kafka", "0[",
        rf"\[?{ISO}{THEN_LEVEL}", "",
        "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: Up",
    ),
    Format(
        "HDFS", "0", rf"(?P<at>\d{{6}} \d{{4}})(?P<s>[0-6]\d)(?= ){THEN_LEVEL}", "%y%m%d %H%M",
        "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 terminating",
    ),
    Format(
        "Spark", "0", rf"(?P<at>\d\d/\d\d/\d\d {HMS}{THEN_LEVEL}", "%y/%m/%d %H:%M",
        "17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers",
    ),
    Format(
        "Android logcat", "0",
        rf"(?P<at>\d\d-\d\d {HMS}\.(?P<f>\d{{3,9}})(?: +\d+ +\d+)? (?P<l>[VDIWEFA])[ /]",
        "%m-%d %H:%M",
        "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogs",
    ),
    Format(
        "HealthApp", "0",
        r"(?P<at>\d{8}-\d{1,2}:\d{1,2}):(?P<s>\d{1,2}):(?P<ms>\d{1,3})\|", "%Y%m%d-%H:%M",
        "20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579",
    ),
    Format(
        "HPC", "0", r"\d+ \S+ \S+ \S+ (?P<epoch>\d{9,10}) \d ", "",
        "134681 node-246 unix.hw state_change.unavailable 1077804742 1 Component State Change",
    ),
    Format(
        "Redis", "0",
        rf"\d+:[XCSM] (?P<at>\d\d {MONTH} \d{{4}} {HMS}\.(?P<f>\d+) (?P<l>[.*#-]) ",
        "%d %b %Y %H:%M",
        "612:M 23 Mar 2024 22:56:07.890 # WARNING overcommit_memory is set to 0!",
    ),
    Format(
        "Apache and nginx access", "0a:",
        rf"\S+ (?:\S+ )?\S+ [^\[\"]*\[(?P<at>\d\d/{MONTH}/\d{{4}}:{HMS} (?P<z>[+-]\d{{4}})\] "
        r'"(?:[^"\\]|\\.)*+" (?P<status>\d{3})\b', "%d/%b/%Y:%H:%M",
        '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326',
    ),
    Format(
        "Unix seconds: squid", "0", r"(?P<epoch>\d{10})\.(?P<f>\d{1,9})\s", "",
        "1711234567.890    123 10.0.0.1 TCP_MISS/200 4412 GET http://example.org/ - - text/html",
    ),
    Format(
        "logback and log4j without a date", "0",
        rf"(?:\d\d:\d\d:\d\d[.,]\d{{3}}|\d+) \[[^\]]*\] (?P<l>{WORDS}) ", "",
        "22:56:07.890 [main] WARN  com.example.App - pool is almost empty",
    ),
    Format(
        "Apache error", "[",
        rf"\[(?P<at>[A-Z][a-z]{{2}} {MONTH} +\d{{1,2}} {HMS}(?:\.(?P<f>\d+))? (?P<more>\d{{4}})\]"
        rf"(?: \[(?:[\w-]*:)?(?P<l>(?i:{WORDS}))\d?\])?", "%a %b %d %H:%M %Y",
        "[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6",
    ),
    Format(
        "Proxifier", "[", rf"\[(?P<at>\d\d\.\d\d {HMS}\] ", "%m.%d %H:%M",
        "[10.30 16:49:06] chrome.exe - proxy.cse.cuhk.edu.hk:5070 open through proxy HTTPS",
    ),
    Format(
        "PHP", "[",
        rf"\[(?P<at>\d\d-{MONTH}-\d{{4}} {HMS}(?: (?P<z>UTC))?[^\]]*\]"
        rf"(?: (?:PHP )?(?P<l>(?i:{WORDS}))\b)?", "%d-%b-%Y %H:%M",
        "[23-Mar-2024 22:56:07 UTC] PHP Fatal error:  Uncaught Error in /srv/index.php:3",
    ),
    Format(
        "BGL", "-a",
        r"(?:-|[A-Z]\w*) (?P<epoch>\d{9,10}) \d{4}\.\d\d\.\d\d \S* ?[\d-]{10}-\d\d\.\d\d\.\d\d\."
        rf"(?P<f>\d+) (?:\S*+ )?\S++ \S++ (?P<l>{WORDS})\b", "",
        "- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 "
        "R02-M1-N0-C:J12-U11 RAS KERNEL INFO instruction cache parity error corrected",
    ),
    Format(
        "Thunderbird", "-a", r"(?:-|[A-Z]\w*) (?P<epoch>\d{9,10}) \d{4}\.\d\d\.\d\d ", "",
        "- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: closed",
    ),
    Format(
        "syslog: Linux, OpenSSH, Mac", "a", SYSLOG, "%b %d %H:%M",
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0",
    ),
    Format(
        "syslog with a priority", "<", rf"<(?P<pri>\d{{1,3}})>{SYSLOG}", "%b %d %H:%M",
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    ),
    Format(
        "syslog of RFC 5424", "<", rf"<(?P<pri>\d{{1,3}})>(?:1 )?{ISO} ", "",
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - An event",
    ),
    Format(
        "kernel and systemd", "<", r"<(?P<pri>\d{1,3})>", "",
        "<4>[   12.345678] usb 1-1: device descriptor read/64, error -71",
    ),
    Format(
        "OpenStack, in one file", "a", rf"\S{{1,200}}?\.log\S{{0,200}} {ISO}{THEN_LEVEL}", "",
        "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi status",
    ),
    Format(
        "klog", "a", rf"(?P<l>[IWEF])(?P<at>\d{{4}} {HMS}\.(?P<f>\d{{6}}) +\d+ \S+:\d+\]",
        "%m%d %H:%M",
        "E0323 22:56:07.890123    1 server.go:10] can't reach the API server",
    ),
    Format(
        "glog", "a", rf"(?P<l>[IWEF])(?P<at>\d{{8}} {HMS}\.(?P<f>\d{{6}}) +\d+ \S+:\d+\]",
        "%Y%m%d %H:%M",
        "W20240323 22:56:07.890123   1 server.cc:10] slow",
    ),
    Format(
        "Ruby", "a", rf"(?P<l>[DIWEFA]), \[{ISO} ?#\d+\]", "",
        "E, [2024-03-23T22:56:07.890123 #1234] ERROR -- : no such order",
    ),
    Format(
        "Android logcat, brief", "a", r"(?P<l>[VDIWEFA])/[^(]*\( *\d+\): ", "",
        "W/ActivityManager( 1702): Scheduling restart of crashed service",
    ),
    Format(
        "java.util.logging", "a",
        rf"(?P<at>{MONTH} \d\d?, \d{{4}} \d\d?:\d\d):(?P<s>[0-6]\d)(?P<more> [AP]M) ",
        "%b %d, %Y %I:%M %p",
        "Mar 23, 2024 10:56:07 PM com.example.App main",
    ),
    Format(
        "level first: Python, Maven, uvicorn", "a[", LEVEL, "",
        "ERROR:root:can't open the database",
    ),
)  # fmt: skip

PAIRS = re.compile(r'([\w.@/-]{1,64}+)=("(?:[^"\\]|\\.)*+"|\S*+)', re.ASCII)  # logfmt
PAIR_LEVELS = {"level", "lvl", "severity", "loglevel"}
PAIR_TIMES = {"time", "ts", "t", "timestamp"}
COLOURS = re.compile(r"\x1b\[[\d;]*m")
MOST = 8_192  # characters of a line that are scanned: an access log's status follows the URL

Reading = tuple[str | None, str | None]  # one of LEVELS, Unix seconds; None if missing


def read(text: str) -> Reading:
    """The level and the time in a line."""
    text = text[:MOST]
    if "\x1b[" in text:
        text = COLOURS.sub("", text)
    first = text[:1]
    kind = "0" if first.isdecimal() else "a" if first.isalpha() else first
    for row in ROWS.get(kind, ()):
        found = row.match(text)
        if found and (reading := row.reading(found)):
            return reading
    return _pairs(text) if kind == "a" else (None, None)


def named(name: str) -> str | None:
    """The one of LEVELS that a name or letter means; None for an unknown name."""
    return NAMES.get(name) or level_of(name)


class Row:
    """A compiled format."""

    def __init__(self, form: Format) -> None:
        pattern = re.compile(form.pattern, re.ASCII)
        groups = pattern.groupindex
        self.match = pattern.match
        self._clock = form.clock
        self._levels = [groups[name] for name in groups if name[0] == "l"]
        self._moment = [groups.get(name, 0) for name in ("at", "s", "f", "z")]
        self._has = groups.keys()

    def reading(self, found: re.Match[str]) -> Reading | None:
        """The level and time of a matching line; None when its time is invalid."""
        level, has = self._level(found), self._has
        if "at" in has:
            at, second, fraction, zone = found.group(*self._moment)
            if not self._moment[2]:
                fraction = found["ms"].zfill(3) if "ms" in has else None
            if not self._moment[3]:
                zone = None
            if "more" in has:
                at = f"{at} {found['more'].strip()}"
            seconds = times.seconds(at, self._clock, second, fraction, zone)
            return (level, seconds) if seconds else None
        if "epoch" in has:
            return level, times.joined(int(found["epoch"]), found["f"] if "f" in has else None)
        return level, None

    def _level(self, found: re.Match[str]) -> str | None:
        last = found.lastindex
        for group in (last,) if last in self._levels else self._levels:
            if name := found[group]:
                return named(name)
        if "pri" in self._has:
            return SYSLOG_LEVELS[int(found["pri"]) & 7]
        if "status" in self._has:
            return of_status(found["status"])
        return None


def of_status(status: str) -> str | None:
    """The level of an HTTP status; None for a status below 400."""
    return {"5": "ERROR", "4": "WARNING"}.get(status[:1]) if len(status) == 3 else None


def _pairs(text: str) -> Reading:
    """logfmt: time=2024-03-23T22:56:07Z level=error msg="no such order"."""
    if not PAIRS.match(text):
        return None, None
    level = seconds = None
    for found in PAIRS.finditer(text):
        name, value = found[1], found[2].strip('"')
        if level is None and name in PAIR_LEVELS:
            level = level_of(value)
        elif seconds is None and name in PAIR_TIMES:
            seconds = times.of_text(value)
    return level, seconds


ROWS = {
    kind: [Row(form) for form in FORMATS if kind in form.first]
    for kind in {kind for form in FORMATS for kind in form.first}
}
