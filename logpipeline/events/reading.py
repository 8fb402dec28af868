"""Reading: what a line of text states, also inside a container runtime's frame or syslog's."""

from logpipeline.events import json_formats, times, wrappers
from logpipeline.events.text_formats import INSIDE, NOTHING, Row, Understood, understand
from logpipeline.events.wrappers import Wrapped

COOKIE = "@cee:"  # before JSON in syslog, as rsyslog and journald write it


def read(line: bytes, text: str, likely: Row | None = None) -> Understood:
    """What a line states; `text` are its bytes, decoded. `likely` is the format of the last one."""
    wrapped = wrappers.unwrapped(line)
    if wrapped is not None and wrapped.fields is None:
        return _unwrapped(wrapped)
    stated = understand(text, likely)
    if stated.rest and INSIDE.match(text, stated.rest):
        return _over(stated, _inside(text[stated.rest :].removeprefix(COOKIE).strip()))
    return stated


def _unwrapped(wrapped: Wrapped) -> Understood:
    """What the content states, with the frame's own time and labels."""
    text = wrapped.content.decode("utf-8", "replace")
    stated = _over(NOTHING, _inside(text))
    seconds = times.of_text(wrapped.time.decode()) if wrapped.time else None
    labels = {name: value.decode("utf-8", "replace") for name, value in wrapped.labels}
    fields = labels | (stated.fields or {})
    return stated._replace(seconds=seconds or stated.seconds, fields=fields)


def _inside(text: str) -> Understood | None:
    return json_formats.inside(text) if text[:1] == "{" else understand(text)


def _over(frame: Understood, inside: Understood | None) -> Understood:
    """What the inside states; what it does not, as the frame states it."""
    if inside is None:
        return frame
    fields = (frame.fields or {}) | (inside.fields or {})
    return Understood(
        inside.level or frame.level,
        _better(frame, inside),
        fields,
        frame.row or inside.row,
    )


def _better(frame: Understood, inside: Understood) -> str | None:
    """The frame's time, or the inside's if that alone has a year."""
    is_yearless = frame.row and frame.row.is_yearless
    if is_yearless and inside.seconds and not (inside.row and inside.row.is_yearless):
        return inside.seconds
    return frame.seconds or inside.seconds
