"""Parts: the pieces that the patterns of lines consist of."""

from collections.abc import Iterable
from typing import NamedTuple

from logpipeline.events.event import LEVEL_OF


def alternatives(names: Iterable[str], any_case: bool = False) -> str:
    """A pattern of names, the longest first: grouped by their first letters, a quarter as slow."""
    rests: dict[str, list[str]] = {}
    for name in sorted(names, key=len, reverse=True):
        rests.setdefault(name[0], []).append(name[1:])
    if any_case:
        return "|".join(f"[{a}{a.lower()}](?i:{'|'.join(rests[a])})" for a in rests)
    return "|".join(f"{a}(?:{'|'.join(rests[a])})" for a in rests)


# Names that are also ordinary words count as levels only where a format has its level.
ORDINARY = {"ALL", "OK", "LOG", "CONFIG", "NOTSET", "NOTE", "SYSTEM", "AUDIT", "DEFAULT", "FAILED"}
USUAL = {name for name in LEVEL_OF if name.isupper()} - ORDINARY
INITIALS = "".join(sorted({name[0] for name in USUAL}))
WORDS, ANY_CASE = alternatives(USUAL), alternatives(USUAL, any_case=True)
# A level by its place: in brackets, or in capitals, or set off from what follows; or a letter
# before a component.
LEVEL = (
    rf"(?:[\[<(]\s*(?P<l1>{ANY_CASE})\d?\s*[\])>]"
    rf"|(?P<l2>{WORDS})\d?(?=[\s:|,;/\]\-\[]|$)"
    rf"|(?P<l3>{ANY_CASE})(?=\s*[:|\]]|\s\s|\t|\s-\s|\s[\w.-]++\[))"
)
LETTER = (
    r"(?:\[(?P<l4>[TDIWEFC])\]"
    r"|(?P<l5>[VTDIWEF])(?= ?\||\t|\s[A-Z][A-Z-]++\s|\s-\s++\[|\s[\w.$/-]++\s*+:\s))"
)
# What makes a time without a known zone unreadable.
NO_ZONE = rf"(?! ?(?!(?:{WORDS})\b)[A-Z]{{3,5}}(?:[\])]| \[\d++\])| [A-Z][a-z]++/[A-Z])"
# Between a time and a level there may be [thread], {file:line}, 1234, "logger.name - ", a request's
# id, Postgres' user@database and RDS' host, Laravel's "production.", Sidekiq's pid=12, BIND's
# "queries: ", SQL Server's spid7.
HEAD = (
    r"(?:\[[^\]]*+\](?:@\[[^\]]*+\])?|\{[^}]*+\}|\([^)]*+\)|[\w.:-]*+\(\d++\)|[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|\d++(?![\w.])|[\w.$/@:-]++\s(?=[-|]\s)|[\w-]*+@[\w-]*+(?:/[\w.-]++)?|[\w-]++\.(?=[A-Z]{4,9}:)|\w++=\S++"
    r"|[A-Z]{3,5}\s(?=\[)|PID\[\d++\]|[TJ]ID-\w++|[\w-]++:(?=\s[a-z]{4,8}:)|(?:spid\d++s?|Logon|Server)\s)"
)
GAP = r"[\s,:|\]>;\-]*+"
THEN_LEVEL = rf"(?:{GAP}(?:{HEAD}{GAP}){{0,6}}?(?:{LEVEL}|{LETTER}))?"
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
MOMENT = rf"(?P<at>{MONTH} +\d{{1,2}} \d\d:\d\d):(?P<s>[0-6]\d)(?:\.(?P<f>\d{{1,9}}))?"
TAG = r"(?P<service>[\w./-]{1,64}+)(?:\([^)]{1,40}\))?(?:\[[^\]]{1,40}\](?: \([^)]{1,200}\))?)?: ?"
FROM = rf" (?:(?P<host>(?!kernel: |last message)[\w.:-]{{1,255}}+) (?:{TAG})?)?"
SYSLOG = rf"{MOMENT}(?= ){FROM}"
HMS = r"\d\d:\d\d):(?P<s>[0-6]\d)"  # closes the group that `(?P<at>` opens
QUOTED = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
REQUEST = (
    r'"(?:(?P<method>[A-Z]{2,20}+) (?P<path>[^"\\ ]*+(?:\\.[^"\\ ]*+)*+)(?: '
    + QUOTED
    + r')?"|'
    + QUOTED
    + r'")'
)
STATUS = r"(?P<status>\d{3})\b(?: (?P<bytes>\d{1,15}+)(?=\s|$))?"


class Format(NamedTuple):
    """`first` has the kinds of first character: 0 a digit, a any letter, or the character itself.

    Of the pattern's groups `at` is the time down to the minute in strptime's `clock` ("" for
    ISO) with `more` after it, `s` the seconds, `f` their fraction, `z` the zone, `epoch` Unix
    seconds, `l…` a level's name, `pri` syslog's priority. `method`, `path`, `status`, `bytes`,
    `client`, `ms` or `seconds` (of its duration) are a request's; `service`, `host` and `logger`
    are fields of the event. `lead` matches the beginning of every line that the pattern matches,
    and of few others; `needs` is in each of them. "" is any. `level` is that of all its lines.
    """

    name: str
    first: str
    pattern: str
    clock: str
    example: str
    lead: str = ""
    needs: str = ""
    level: str = ""
