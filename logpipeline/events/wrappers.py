"""Wrappers: the frames that container runtimes put around each line of a program.

CRI (containerd, CRI-O, Podman), Docker's json-file, `docker logs -t`, `docker compose logs` and
`kubectl logs --prefix`.
"""

import json
import re
from typing import NamedTuple

import msgspec

from logpipeline.events.event import LEVEL_OF

TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
CRI = re.compile(rb"(" + TIME + rb" (stdout|stderr) )([FP])(?::[^ ]{0,40})?(?: |$)")
DOCKER_TIME = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) (?! {0,2}[A-Z]{4,5} )"
)
KUBECTL = re.compile(rb"\[pod/([\w.-]{1,253}+)/([\w.-]{1,253}+)\] ")
COLOUR = rb"(?:\x1b\[[\d;]{0,20}m){0,3}"
COMPOSE = re.compile(COLOUR + rb"([a-z][a-z0-9_.-]{0,127}+) *\| " + COLOUR)
DOCKER = re.compile(rb'\{\s?"(?:log|stream|time|attrs)"\s?:')
PIECE = 16_384  # bytes at which Docker cuts a line
DIGITS = frozenset(b"0123456789")
OBJECT, BRACKET = b"{["
# How a line in a frame begins: all that `unwrapped` opens, and little else.
FRAMED = (
    rb"\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d{9}(?:Z|[+-][\d:]{5}) |[\d.]{0,10}(?:Z|[+-][\d:]{5}) std)"
    rb'|\{\s?"(?:log|stream|time|attrs)"\s?:(?:(?<="log":)|(?<="log" :)|[^\n]{1,4096}"log")'
    rb"|\[pod/|" + COLOUR + rb"[a-z][a-z0-9_.-]{0,127}+ *\| "
)


class Wrapped(NamedTuple):
    """A line in its frame.

    `stream` separates the lines of several writers. `head` is what precedes the content, or for
    Docker the other `fields`. `part` says that the next line of the stream continues this one.
    `time` and `labels` (stream, container, pod) are what the frame states.
    """

    stream: bytes
    content: bytes
    head: bytes = b""
    part: bool = False
    fields: dict[str, object] | None = None
    time: bytes = b""
    labels: tuple[tuple[str, bytes], ...] = ()
    name: str = "Docker"

    def around(self, content: bytes) -> bytes:
        """The line that the runtime would have written for `content`."""
        if self.fields is None:
            return self.head + content
        text = content.decode("utf-8", "replace")
        return json.dumps({**self.fields, "log": f"{text}\n"}, ensure_ascii=False).encode()


def unwrapped(line: bytes) -> Wrapped | None:
    """The content of a line in one of the frames; None without a frame.

    The first bytes decide whether a pattern is tried, since most lines have no frame.
    """
    if not line:
        return None
    first = line[0]
    if first in DIGITS:
        return _timed(line) if line[10:11] == b"T" else None
    if first == OBJECT:
        return _docker(line) if b'"log"' in line[:4_096] else None
    if first == BRACKET:
        found = KUBECTL.match(line)
        names: tuple[str, ...] = ("pod", "container")
        name = "kubectl logs --prefix"
    else:
        found = COMPOSE.match(line) if b"| " in line[:200] else None
        if found and found[1].decode() in LEVEL_OF:
            return None
        names, name = ("container",), "docker compose logs"
    if not found:
        return None
    head, stamp = found[0], DOCKER_TIME.match(line, found.end())  # --timestamps
    if stamp:
        head += stamp[0]
    time = stamp[0] if stamp else b""
    labels = tuple(zip(names, found.groups(), strict=True))
    return Wrapped(found[0], line[len(head) :], head, False, None, time, labels, name)


def _timed(line: bytes) -> Wrapped | None:
    if found := CRI.match(line):
        head, part, time = found[1] + b"F ", found[3] == b"P", found[1][: -len(found[2]) - 1]
        content = line[found.end() :]
        labels = (("stream", found[2]),)
        return Wrapped(found[2], content, head, part, None, time, labels, "CRI")
    if found := DOCKER_TIME.match(line):
        return Wrapped(b"-t", line[found.end() :], found[0], time=found[0], name="docker logs -t")
    return None


def _docker(line: bytes) -> Wrapped | None:
    """Docker's json-file; its log ends with a newline unless it is a part."""
    fields = _decoded(line) if DOCKER.match(line) else None
    if not isinstance(fields, dict):
        return None
    log, stream = fields.get("log"), fields.get("stream")
    if not isinstance(log, str) or not isinstance(stream, str):
        return None
    content = log.encode("utf-8", "replace")
    return Wrapped(
        b"docker " + stream.encode("utf-8", "replace"),
        content.removesuffix(b"\n"),
        part=not content.endswith(b"\n"),
        fields=fields,
    )


def _decoded(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return json.loads(line)  # also lone surrogates
    except (ValueError, RecursionError):
        return None
