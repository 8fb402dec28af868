"""Findings: what an audit found wrong, and what it could not check, in bounded space."""

from collections import Counter
from dataclasses import dataclass, field

from logpipeline.terminal import printable, short

EXAMPLES = 5  # of each kind
LONGEST = 500  # characters of one


@dataclass
class Example:
    """`count` problems of one kind: described by `text`, or events of offsets `first` to `last`."""

    text: str
    first: int | None = None
    last: int | None = None
    count: int = 1

    def __str__(self) -> str:
        text = short(self.text, LONGEST)
        if self.first is None:
            return text
        span = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{text}@{span}"


@dataclass
class Findings:
    """The findings about Kafka, logs.txt or Redis.

    `agreed` is reported if nothing is wrong. `counts` are the problems of each kind; `notes` are
    not problems, but worth knowing.
    """

    agreed: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _examples: dict[str, list[Example]] = field(default_factory=dict)
    _newest: dict[str, Example] = field(default_factory=dict)

    def add(self, kind: str, text: str) -> None:
        """Add one problem."""
        self._add(kind, Example(short(text, LONGEST)))

    def add_offset(self, kind: str, stream: str, offset: int) -> None:
        """Add one event with a problem; neighbours, added one after the other, share an example."""
        newest = self._newest.get(kind)
        if newest and newest.text == stream and newest.last == offset - 1:
            newest.last = offset
            newest.count += 1
            self.counts[kind] += 1
        else:
            self._add(kind, Example(stream, offset, offset))

    def __str__(self) -> str:
        """One line with everything."""
        problems = [self._words(kind, count) for kind, count in self.counts.items()]
        verdict = "DIFFERS: " if problems else "agrees: "
        notes = [short(note, LONGEST) for note in self.notes]
        return printable(verdict + "; ".join((problems or [self.agreed]) + notes))

    def _add(self, kind: str, example: Example) -> None:
        examples = self._examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(example)
        self._newest[kind] = example
        self.counts[kind] += 1

    def _words(self, kind: str, count: int) -> str:
        examples = self._examples[kind]
        others = count - sum(example.count for example in examples)
        more = f" and {others:,} more" if others else ""
        return f"{count:,} {kind}: {', '.join(map(str, examples))}{more}"
