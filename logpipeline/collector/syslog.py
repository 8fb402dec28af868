"""Syslog: messages of RFC 5424, with structured data, and of RFC 3164."""

import re
from typing import Any

from logpipeline.collector import shaping
from logpipeline.events import text_formats, times

PRIORITY = re.compile(rb"<(\d{1,3})>")
LEVELS = ("CRITICAL",) * 3 + ("ERROR", "WARNING", "INFO", "INFO", "DEBUG")  # of RFC 5424
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
# <34>1 2003-10-11T22:14:15.003Z host app procid msgid; then structured data and the message.
RFC_5424 = re.compile(r"1 (\S{1,40}) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) (?=[-\[])")
ELEMENT = re.compile(
    r'\[([^\s="\]]{1,64})((?: [^\s="\]]{1,255}="(?:[^"\\\]]|\\.)*")*)\]', re.DOTALL
)
PARAMETER = re.compile(r' ([^\s="\]]+)="((?:[^"\\\]]|\\.)*)"', re.S)
ESCAPED = re.compile(r'\\(["\\\]])')
# Oct 11 22:14:15 host; or an ISO time, as rsyslog's own format has it.
RFC_3164 = re.compile(
    r"(?:(?P<at>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d):(?P<s>\d\d)(?:\.(?P<f>\d{1,9}))?"
    r"|(?P<iso>\d{4}-\d\d-\d\dT\S{8,24})) (?:(?P<host>[^\s:\[]{1,255}) )?"
)
TAG = re.compile(r"([\w./@-]{1,48})(?:\[(\d{1,10})\])?: ?")
BOM = "\ufeff"
NIL = "-"


def event_of(message: bytes, service: str = "", address: str = "") -> tuple[str, bytes]:
    """The service and the event of a message. Text without a priority is a message too.

    Raises ValueError, with the reason, for one that has no event.
    """
    priority = PRIORITY.match(message)
    text = message[priority.end() if priority else 0 :].decode("utf-8", "replace")
    text = text.rstrip("\r\n\0")
    fields: dict[str, Any] = {}
    number = int(priority[1]) if priority else 0
    if number >= 8 * len(FACILITIES):
        number, text, priority = 0, message.decode("utf-8", "replace"), None
    level = LEVELS[number % 8] if priority else None
    stamp, rest = _of_5424(text, fields) or _of_3164(text, fields, bool(priority))
    if priority:
        fields["facility"] = FACILITIES[number // 8]
    if address and "host" not in fields:
        fields["host"] = address
    found = str(fields.get("service", "") or service)
    if found:
        fields["service"] = found
    level = level or text_formats.read(rest)[0] or "INFO"
    return found, shaping.made(level, rest, (stamp or times.now()).encode(), fields)


def _of_5424(text: str, fields: dict[str, Any]) -> tuple[str | None, str] | None:
    """Time and message, and the header's `fields`; None for another format."""
    head = RFC_5424.match(text)
    if not head:
        return None
    stamp, host, app, process, kind = head.groups()
    names = {"host": host, "service": app, "pid": process, "msgid": kind}
    fields |= {name: value for name, value in names.items() if value != NIL}
    at = head.end()
    if text[at] == NIL:
        at += 1
    while element := ELEMENT.match(text, at):
        for name, value in PARAMETER.findall(element[2]):
            own = name if name not in fields else f"{element[1]}.{name}"
            fields[own] = ESCAPED.sub(r"\1", value)
        at = element.end()
    # rsyslog keeps the space that follows a tag of RFC 3164.
    return times.of_text(stamp), text[at:].removeprefix(" ").removeprefix(BOM).removeprefix(" ")


def _of_3164(text: str, fields: dict[str, Any], tagged: bool) -> tuple[str | None, str]:
    """Time and message, and what the header and the tag tell."""
    head, stamp = RFC_3164.match(text), None
    if head:
        if head["iso"]:
            stamp = times.of_text(head["iso"])
        else:
            at = " ".join(head["at"].split())
            stamp = times.seconds(at, "%b %d %H:%M", head["s"], head["f"])
        if head["host"]:
            fields["host"] = head["host"]
        text = text[head.end() :]
    if (head or tagged) and (tag := TAG.match(text)):
        fields["service"] = tag[1]
        if tag[2]:
            fields["pid"] = tag[2]
        text = text[tag.end() :]
    return stamp, text
