"""JSON names: what loggers call the level, the message, the time, and the parts of a request.

Names are compared without case, @, _, - and dots. Of several names of one role the first counts
whose value is valid.
"""

import re
from typing import NamedTuple

MESSAGES = (
    *("record", "message", "msg", "@m", "renderedmessage", "@mt", "shortmessage", "textpayload"),
    *("logmessage", "log", "event", "text", "body", "messagetemplate", "jsonpayload", "M"),
    *("fields", "properties"),
)
LEVELS = (
    *("level", "severity", "levelname", "lvl", "loglevel", "log", "errorseverity", "severitytext"),
    *("@l", "priority", "syslogseverity", "syslogseveritytext", "levelno", "levelnumber"),
    *("severitynumber", "levelvalue", "s", "record", "leveldisplayname", "L"),
)
TIMES = (
    *("timestamp", "time", "ts", "datetime", "@t", "asctime", "eventtime"),
    *("sourcerealtimetimestamp", "realtimetimestamp", "timeunixnano", "instant", "timemillis"),
    *("timestampms", "timestamputc", "startutc", "date", "created", "timelocal", "timeiso8601"),
    *("msec", "timegenerated", "logtime", "utctime", "requestreceivedtimestamp", "t", "record"),
    *("observedtimeunixnano", "observedtimestamp", "starttime", "timecreated", "T"),
)
SERVICES = ("servicename", "resource", "syslogidentifier")
HOSTS = ("hostname",)  # journald's _HOSTNAME alone
# Of a request: nginx' and Apache's variables, Traefik's, Caddy's, GCP's, pino-http's.
REQUESTS = {
    "method": ("method", "requestmethod", "httpmethod", "cshmethod", "httprequestmethod", "verb"),
    "path": ("path", "uri", "url", "requesturi", "requestpath", "requesturl", "urlpath"),
    "status": (
        *("status", "statuscode", "httpstatus", "httpstatuscode", "downstreamstatus"),
        *("responsestatus", "httpresponsestatuscode", "responsecode"),
    ),
    "bytes": (
        *("bytes", "bodybytessent", "bytessent", "size", "downstreamcontentsize", "responsesize"),
        *("contentlength", "bytesout"),
    ),
    "duration_ms": (
        *(
            "durationms",
            "requesttime",
            "duration",
            "latency",
            "elapsed",
            "responsetime",
            "elapsedms",
        ),
        *("responsetimems", "latencyms", "took"),
    ),
    "client": (
        *("client", "remoteaddr", "remoteip", "clientip", "clienthost", "clientaddr", "remotehost"),
        *("remoteaddress", "xforwardedfor", "downstreamremoteaddress"),
    ),
    "request": ("request", "req", "httprequest", "requestline"),
    "response": ("response", "res"),
}
IGNORED = re.compile(r"[@_.-]")
MOST = 10_000  # names that are remembered
LONGEST = 100  # characters of such a name
EXACT = {"@m", "@mt", "@l", "@t", "t", "s", "L", "M", "T"}


class Role(NamedTuple):
    """`kind` is message, level, time, service, host or request; `what` is the plain name."""

    kind: str
    rank: int
    what: str


ROLES: dict[str, list[Role]] = {}
for _kind, _names in (
    *(("message", MESSAGES), ("level", LEVELS), ("time", TIMES)),
    *(("service", SERVICES), ("host", HOSTS)),
    *(("request", names) for names in REQUESTS.values()),
):
    for _rank, _name in enumerate(_names):
        ROLES.setdefault(_name, []).append(Role(_kind, _rank, _name))
PART_OF = {name: part for part, names in REQUESTS.items() for name in names}

_known: dict[str, list[Role]] = {}


def roles(name: str) -> list[Role]:
    """What a field of this name may be."""
    if len(name) > LONGEST:
        return []
    found = _known.get(name)
    if found is None:
        found = ROLES.get(name, []) if name in EXACT else ROLES.get(plain(name), [])
        if len(_known) >= MOST:
            _known.clear()
        _known[name] = found
    return found


def plain(name: str) -> str:
    """A name as it is compared."""
    plainly = IGNORED.sub("", name).lower()
    return "" if plainly in EXACT else plainly
