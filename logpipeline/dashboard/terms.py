"""Terms: what is typed into the search box: words, phrases, fields, and what to leave out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from logpipeline.events.event import level_of
from logpipeline.events.readable import readable
from logpipeline.find.condition import Condition
from logpipeline.find.word import BadQuery, Word

MOST = 8  # terms of a search
QUOTED = r'"(?:[^"\\]|\\.)*"?'
TERM = re.compile(
    rf"(?P<minus>-?)(?:/(?P<pattern>(?:[^/\\]|\\.)+)/(?=\s|$)|(?P<phrase>{QUOTED})"
    rf"|(?P<name>[^\W\d][\w.@-]*)(?P<operator>:|!=|>=|<=|=|>|<)(?!//)(?P<value>{QUOTED}|[^\s\"]+)"
    r"|(?P<word>\S+))"
)
OPPOSITES = {"=": "!=", "!=": "=", ">": "<=", "<=": ">", "<": ">=", ">=": "<"}
VALUE = re.compile(r"(?!level=)[\w.@-]+=(.+)", re.DOTALL)
PLAIN = re.compile(r'[^\s"\\]+')


@dataclass(frozen=True)
class Terms:
    """Words and phrases are in lower case, and found in any; patterns are regular expressions;
    `where` are conditions as find.py takes them. `more` terms were too many."""

    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    more: int = 0

    @property
    def marked(self) -> tuple[str, ...]:
        """The texts that are marked where they are found: words, and the values of fields."""
        values = (VALUE.fullmatch(each) for each in self.where)
        return (*self.words, *(found[1] for found in values if found))

    @property
    def problem(self) -> str:
        """What cannot be used, in a sentence, else ""."""
        try:
            for pattern in self.patterns:
                Word(pattern, True)
            for text in self.where:
                Condition(text)
        except BadQuery as error:
            return str(error)
        return ""

    def holds(self, line: bytes) -> bool:
        """Whether an event has what only its decoded fields can tell."""
        if not self.where:
            return True
        event = readable(line)
        return event is not None and all(each.holds(event) for each in _conditions(self.where))


@lru_cache(256)
def parse(text: str) -> Terms:
    """The terms of a text; nothing in it is an error but for `problem`."""
    found: dict[str, list[str]] = {"words": [], "without": [], "patterns": [], "where": []}
    terms = list(dict.fromkeys(_terms(text)))
    for kind, term in terms[:MOST]:
        found[kind].append(term)
    return Terms(**{k: tuple(v) for k, v in found.items()}, more=max(0, len(terms) - MOST))


def term(name: str, value: str, minus: bool = False) -> str:
    """The text that asks for a field's value, or for all others."""
    if not PLAIN.fullmatch(value):
        value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{'-' * minus}{name}:{value}"


def can_be_asked(name: str) -> bool:
    return bool(re.fullmatch(r"[^\W\d][\w.@-]*", name))


def _terms(text: str) -> Iterator[tuple[str, str]]:
    for found in TERM.finditer(text):
        minus, name = bool(found["minus"]), found["name"]
        if name:
            yield "where", _condition(name, found["operator"], _unquoted(found["value"]), minus)
        elif found["pattern"]:
            if not minus:
                yield "patterns", found["pattern"]
        else:
            word = _unquoted(found["phrase"] or found["word"] or "").lower()
            if word:
                yield "without" if minus else "words", word


def _condition(name: str, operator: str, value: str, minus: bool) -> str:
    operator = "=" if operator == ":" else operator
    if name == "level" and operator in {"=", "!="}:
        value = level_of(value) or value
    return f"{name}{OPPOSITES[operator] if minus else operator}{value}"


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:])


@lru_cache(256)
def _conditions(where: tuple[str, ...]) -> tuple[Condition, ...]:
    return tuple(map(Condition, where))
