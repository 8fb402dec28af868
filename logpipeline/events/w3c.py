"""W3C: the lines whose fields a header names, as IIS, CloudFront and Windows' firewall write them.

#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query c-ip sc-status time-taken
"""

from typing import Any

from logpipeline.events import levels, requests, times
from logpipeline.events.parts import Format
from logpipeline.events.text_formats import Row, Understood

FIELDS = "#Fields:"
LOCAL = "#Time Format: Local"  # of Windows' firewall; all others write UTC
NONE = "-"
TIME = {"date", "time"}
PARTS = {"cs-method": "method", "sc-status": "status", "sc-bytes": "bytes", "c-ip": "client"}
OURS = {"level", "message", "timestamp", "service"}
MOST = 200  # fields of a line
ROW = Row(Format("W3C: IIS, CloudFront", "", r"(?!)", "", ""))


class HeaderFields:
    """The fields of a file's lines by its header; none before it."""

    def __init__(self, names: tuple[str, ...] = (), is_local: bool = False) -> None:
        self._names = names
        self._is_local = is_local

    def __bool__(self) -> bool:
        return bool(self._names)

    def after(self, line: str) -> "HeaderFields":
        """Those of the lines after this one."""
        if line.startswith(FIELDS):
            return HeaderFields(tuple(line[len(FIELDS) :].split()[:MOST]), self._is_local)
        return HeaderFields(self._names, True) if line.startswith(LOCAL) else self

    def after_all(self, head: bytes) -> "HeaderFields":
        """Those of the lines after the whole ones in `head`."""
        columns = self
        for line in head.decode("utf-8", "replace").split("\n")[:-1]:
            columns = columns.after(line.rstrip("\r"))
        return columns

    def understood(self, text: str) -> Understood | None:
        """What a line states; None if it has other fields than the header names."""
        values = text.split("\t") if "\t" in text else text.split(" ")
        if not self._names or len(values) != len(self._names) or text[:1] == "#":
            return None
        stated = {
            name: value for name, value in zip(self._names, values, strict=True) if value != NONE
        }
        seconds = self._seconds(stated)
        if seconds is None:
            return None
        fields: dict[str, Any] = {
            name: value for name, value in stated.items() if name not in TIME | OURS
        }
        fields |= _request(stated)
        return Understood(levels.of_status(fields.get("status", "")), seconds, fields, ROW)

    def _seconds(self, stated: dict[str, str]) -> str | None:
        zone = "" if self._is_local else "Z"
        return times.of_text(f"{stated.get('date')} {stated.get('time')}{zone}")


def _request(stated: dict[str, str]) -> dict[str, Any]:
    """The fields that all access logs have."""
    made: dict[str, Any] = {
        part: stated[name]
        for name, part in PARTS.items()
        if name in stated and (part in ("method", "client") or stated[name].isdecimal())
    }
    for part in ("status", "bytes"):
        if part in made:
            made[part] = int(made[part])
    path, query = stated.get("cs-uri-stem") or stated.get("cs-uri"), stated.get("cs-uri-query")
    if path:
        made["path"] = f"{path}?{query}" if query else path
    took = stated.get("time-taken", NONE)  # IIS writes milliseconds, the others seconds
    duration = requests.rounded(took, 1_000.0 if "." in took else 1.0)
    if duration is not None:
        made["duration_ms"] = duration
    if host := stated.get("s-computername"):
        made["host"] = host
    return made
