"""Haystack: events of every kind as lines, and a plain loop that searches them."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import zstandard

from logpipeline.archive.indexing import index
from logpipeline.archive.packing import pack
from logpipeline.archive.rotated import RotatedFile
from logpipeline.events.event import level_of
from logpipeline.find.query import Query

NOW = 1_790_000_000.0
LEVELS = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "err", "Critical", "FATAL")
SERVICES = ("payments", "shop", "café", "7", "")
TEXTS = (
    *("Payment failed", "payment", "Straße", "STRASSE", "café", "CAFÉ", "naïve", "日本語"),
    *("emoji 🎉", 'say "hello"', "back\\slash", "a/b/c", "line one\nline two", "tab\there"),
    *("\u212aelvin", "İstanbul", "ΣΊΣΥΦΟΣ", "σίσυφος", "null", "true", "x" * 40, "0", "-1.5e3"),
    *("=", "a=b", "status=500", "é", "Connection reset by peer", "TimeoutError", "timeout"),
    *("order 4711 placed", "ab", "\x7f", "<b>"),
)
NUMBERS = ("500", "500.0", "404", "0.25", "1e3", "-7", "12345678901234567890", "1.50")


def escaped(dice: Random, text: str) -> str:
    """A JSON string, each of whose characters is written in one of the ways that JSON has."""
    parts = []
    for character in text:
        plain = json.dumps(character, ensure_ascii=dice.random() < 0.5)[1:-1]
        units = character.encode("utf-16-be").hex()
        long = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        parts.append(long if dice.random() < 0.05 else plain)
    return f'"{"".join(parts)}"'


def written(dice: Random, value: Any) -> str:
    """A value as JSON; numbers are given as bytes."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return escaped(dice, value) if dice.random() < 0.5 else json.dumps(value)
    if isinstance(value, dict):
        comma, colon = dice.choice([(",", ":"), (", ", ": ")])
        pairs = (f"{written(dice, k)}{colon}{written(dice, v)}" for k, v in value.items())
        return "{" + comma.join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(dice, each) for each in value) + "]"
    return json.dumps(value)


def line(dice: Random, moment: float) -> bytes:
    """An event, without its newline."""
    event: dict[str, Any] = {
        "level": dice.choice(LEVELS),
        "message": " ".join(dice.choices(TEXTS, k=dice.randrange(1, 4))),
        "timestamp": str(round(moment, 3)).encode(),
    }
    if dice.random() < 0.8:
        event["service"] = dice.choice([*SERVICES, None, b"7"])
    if dice.random() < 0.8:
        event["trace_id"] = f"{dice.getrandbits(128):032x}"
    if dice.random() < 0.5:
        event["http"] = {"status": dice.choice(NUMBERS).encode(), "path": dice.choice(TEXTS)}
    if dice.random() < 0.3:
        event["tags"] = [dice.choice(TEXTS), dice.choice([True, None, b"3"])]
    if dice.random() < 0.3:
        event["host"] = f"web-{dice.randrange(3)}"
    if dice.random() < 0.3:
        event[dice.choice(TEXTS)] = dice.choice(TEXTS)
    names = list(event)
    dice.shuffle(names)
    return written(dice, {name: event[name] for name in names}).encode()


def lines(dice: Random, count: int) -> list[bytes]:
    """Of one hour, in order but for a few."""
    late = (dice.choice([0, 0, 0, 0, -300, 900]) for _ in range(count))
    return [line(dice, NOW + n * 3_600 / count + each) for n, each in enumerate(late)]


def archive(folder: Path, found: Sequence[bytes], files: int) -> Path:
    """logs.txt and its rotated files: packed and indexed, packed in one frame, with a damaged
    index, plain, of gzip."""
    log_file = folder / "logs.txt"
    edges = [len(found) * n // files for n in range(files + 1)]
    for number, (begin, end) in enumerate(pairwise(edges)):
        data = b"".join(each + b"\n" for each in found[begin:end])
        ended = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=number)
        stamp = f"{ended:%Y%m%dT%H%M%S.%fZ}"
        file = RotatedFile(stamp, folder / f"logs-{stamp}.txt")
        _make(number, log_file if number == files - 1 else file.plain, file, data)
    return log_file


def _make(number: int, path: Path, file: RotatedFile, data: bytes) -> None:
    path.write_bytes(data)
    kind = number % 5
    if path != file.plain or kind == 3:
        return
    if kind == 1:
        file.packed(".zst").write_bytes(zstandard.compress(data))
    else:
        pack(path, file.packed(".gz" if kind == 4 else ".zst"), threading.Event())
    path.unlink()
    if kind != 1:
        index(file, small=0)
    if kind == 2:
        beside = path.with_name(f"{path.name}.index")
        beside.write_bytes(beside.read_bytes()[:-3])


def plain_search(found: Sequence[bytes], query: Query) -> list[bytes]:
    """What a person would find by reading all lines."""
    return [each for each in found if matches(each, query)]


@cache
def decoded(line: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line, parse_float=str)
    return event


@cache
def texts_of(line: bytes) -> tuple[str, ...]:
    """All that a person reads of it, each field alone."""
    event = decoded(line)
    return (event["message"], *read(event, ()))


def matches(line: bytes, query: Query) -> bool:
    event = decoded(line)
    level = level_of(event["level"])
    service = event.get("service")
    named = "" if service is None else str(service)
    if not query.since <= float(event["timestamp"]) < query.to:
        return False
    if query.levels and level not in {level_of(name) for name in query.levels}:
        return False
    if query.services and named not in query.services:
        return False
    if not all(holds(event, each) for each in query.where):
        return False
    return all(has(texts_of(line), word, query.regex) for word in query.words)


def has(texts: Sequence[str], word: str, regex: bool) -> bool:
    small = word == word.lower()
    if regex:
        return any(re.search(word, text, re.IGNORECASE if small else 0) for text in texts)
    return any(word in (text.lower() if small else text) for text in texts)


def read(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if path or name not in ("message", "timestamp"):
                yield from read(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from read(inner, path)
    else:
        yield f"{'.'.join(path)}={text_of(value)}"


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def holds(event: dict[str, Any], condition: str) -> bool:
    found = re.fullmatch(r"([\w.]+)(!=|<=|>=|=|<|>|~)(.*)", condition, re.DOTALL)
    assert found
    values = [text_of(each) for each in fields(event, found[1])]
    if found[2] == "!=":
        return not any(equal(value, found[3]) for value in values)
    if found[2] == "=":
        return any(equal(value, found[3]) for value in values)
    if found[2] == "~":
        flags = re.IGNORECASE if found[3] == found[3].lower() else 0
        return any(re.search(found[3], value, flags) for value in values)
    return any(ordered(value, found[2], found[3]) for value in values)


def equal(left: str, right: str) -> bool:
    return left == right or trimmed(left) == trimmed(right)


def trimmed(number: str) -> str:
    if not re.fullmatch(r"-?\d+\.\d+", number):
        return number
    return number.rstrip("0").rstrip(".")


def ordered(value: str, operator: str, other: str) -> bool:
    try:
        limit = float(other)
    except ValueError:
        return COMPARE[operator](value, other)
    try:
        return COMPARE[operator](float(value), limit)
    except ValueError:
        return False


def fields(value: Any, name: str) -> list[Any]:
    """The leaves with this name."""
    head, _, rest = name.partition(".")
    if isinstance(value, list):
        return [leaf for each in value for leaf in (fields(each, name) if name else [each])]
    if not name:
        return [] if isinstance(value, dict) else [value]
    if not isinstance(value, dict) or head not in value:
        return []
    found = fields(value[head], rest)
    return [level_of(value[head]), *found] if name == "level" else found


def queries(dice: Random, found: Sequence[bytes]) -> Iterator[Query]:
    """Random ones, for ever: most have an event that matches."""
    while True:
        event = json.loads(dice.choice(found), parse_float=str, parse_int=str)
        words, where = [], []
        for _ in range(dice.choice([0, 1, 1, 1, 2])):
            texts = [event["message"], *read(event, ())]
            words.append(piece(dice, dice.choice(texts)))
        for _ in range(dice.choice([0, 0, 0, 1, 2])):
            where.append(condition(dice, event))
        moment = float(event["timestamp"])
        regex = dice.random() < 0.15
        yield Query(
            tuple(pattern(dice, word) if regex else word for word in words),
            regex,
            tuple({dice.choice(LEVELS), event["level"]}) if dice.random() < 0.2 else (),
            (dice.choice(SERVICES),) if dice.random() < 0.2 else (),
            tuple(where),
            moment - dice.choice([0, 60, 900]) if dice.random() < 0.2 else float("-inf"),
            moment + dice.choice([0.001, 60, 900]) if dice.random() < 0.2 else float("inf"),
        )


def piece(dice: Random, text: str) -> str:
    begin = dice.randrange(len(text))
    word = text[begin : begin + dice.choice([1, 3, 6, 15, 40])]
    word = dice.choice([word, word, word.lower(), word.upper(), word + "q", word[::-1]])
    return word.replace("\0", "") or "payment"


def pattern(dice: Random, word: str) -> str:
    simple = re.sub(r"[^\w ]", ".", word)
    return dice.choice([simple, re.escape(word), f"{simple[:4]}.*{simple[4:]}", f"^{simple}|zz"])


def condition(dice: Random, event: dict[str, Any]) -> str:
    name = dice.choice(["http.status", "trace_id", "service", "level", "tags", "host", "http.path"])
    known = fields(event, name)
    value = text_of(dice.choice(known)) if known and dice.random() < 0.8 else dice.choice(NUMBERS)
    operator = dice.choice(["=", "=", "=", "!=", "<", ">", "<=", ">=", "~"])
    if operator == "~":
        value = pattern(dice, value[:10])
    return f"{name}{operator}{value.strip()}"
