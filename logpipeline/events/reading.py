"""Reading: what a line of text states, also inside a container runtime's frame or syslog's."""

from logpipeline.events import json_formats, times, wrappers
from logpipeline.events.text_formats import NOTHING, Row, Understood, understand
from logpipeline.events.wrappers import Wrapped


def read(line: bytes, text: str, likely: Row | None = None) -> Understood:
    """What a line states; `text` are its bytes, decoded. `likely` is the format of the last one."""
    wrapped = wrappers.unwrapped(line)
    if wrapped is not None and wrapped.fields is None:
        return _unwrapped(wrapped)
    stated = understand(text, likely)
    if stated.rest and text[stated.rest : stated.rest + 1] == "{":
        return _over(stated, json_formats.inside(text[stated.rest :].rstrip()))
    return stated


def _unwrapped(wrapped: Wrapped) -> Understood:
    """What the content states, with the frame's own time and labels."""
    text = wrapped.content.decode("utf-8", "replace")
    inside = json_formats.inside(text) if text[:1] == "{" else understand(text)
    stated = _over(NOTHING, inside)
    seconds = times.of_text(wrapped.time.decode()) if wrapped.time else None
    labels = {name: value.decode("utf-8", "replace") for name, value in wrapped.labels}
    fields = labels | (stated.fields or {})
    return stated._replace(seconds=seconds or stated.seconds, fields=fields)


def _over(frame: Understood, inside: Understood | None) -> Understood:
    """What the inside states; what it does not, as the frame states it."""
    if inside is None:
        return frame
    fields = (frame.fields or {}) | (inside.fields or {})
    return Understood(
        inside.level or frame.level,
        frame.seconds or inside.seconds,
        fields,
        frame.row or inside.row,
    )
