"""Rules: what alerts.py watches for, from a TOML file.

Each kind of rule is a class: its fields, and how it reads a History. A reading is a pure function
of the two, so a day of snapshots is read in seconds.
"""

import tomllib
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from logpipeline.alerts.snapshot import MOST_ERRORS, History
from logpipeline.settings import one_of
from logpipeline.terminal import short

SECONDS = "seconds, a whole number from 1 to 86400"
COUNT = "a whole number from 0"
SHARE = "a share: above 0, below 1"
RELIEF = 0.8  # of a bound: an alert is resolved once its value has stayed at or below it for `calm`
SERIOUS = ("ERROR", "CRITICAL")
SUBJECTS = 20  # open alerts of one rule: others open when some of these are resolved


class RulesError(Exception):
    """The file is invalid; str() is one line that says where, and what the value must be."""


@dataclass(frozen=True)
class Reading:
    """What a rule finds about one subject ("" for the whole pipeline).

    `broken`: the value is above its bound. `calm`: it is well below.
    """

    broken: bool
    calm: bool
    summary: str
    subject: str = ""


def _field(must_be: str, default: Any = ..., **bounds: Any) -> Any:
    return Field(default, json_schema_extra={"must_be": must_be}, **bounds)


def _seconds(default: Any = ...) -> Any:
    return _field(SECONDS, default, ge=1, le=86_400)


class _Rule(BaseModel):
    """What all rules have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    severity: Literal["info", "warning", "critical"] = _field(
        '"info", "warning" or "critical"', "warning"
    )

    @property
    def span(self) -> int:
        """Seconds of history that the rule needs."""
        return int(getattr(self, "window", 0))

    @property
    def levels(self) -> tuple[str, ...]:
        """Those of the events that it is about; empty when it is about something else."""
        return ()

    @abstractmethod
    def read(self, history: History) -> list[Reading] | None:
        """A reading for each subject that is not quite calm; None while that is unknown."""


class _ErrorRule(_Rule):
    """About ERROR and CRITICAL events."""

    @property
    def levels(self) -> tuple[str, ...]:
        return SERIOUS


def _reading(value: float, bound: float, summary: str, subject: str = "") -> Reading:
    return Reading(value > bound, value <= RELIEF * bound, summary, subject)


class Errors(_ErrorRule):
    """More than `over` ERROR and CRITICAL events in `window`."""

    kind: Literal["errors"]
    over: int = _field(COUNT, ge=0)
    window: int = _seconds()

    def read(self, history: History) -> list[Reading] | None:
        errors = history.now.events(self.window, SERIOUS)
        summary = f"about {errors:,.0f} ERROR and CRITICAL events in {self.window} s"
        return [_reading(errors, self.over, f"{summary} (bound {self.over:,})")]


class Share(_ErrorRule):
    """More than `over` of at least `at_least` events in `window` are ERROR or CRITICAL."""

    kind: Literal["share"]
    over: float = _field(SHARE, gt=0, lt=1)
    at_least: int = _field("a whole number from 1", ge=1)
    window: int = _seconds()

    def read(self, history: History) -> list[Reading] | None:
        events = history.now.events(self.window)
        errors = history.now.events(self.window, SERIOUS)
        share = errors / events if events >= self.at_least else 0.0
        summary = f"{share:.1%} of about {events:,.0f} events in {self.window} s are ERROR or"
        return [_reading(share, self.over, f"{summary} CRITICAL (bound {self.over:.1%})")]


class Burst(_ErrorRule):
    """One service has more than `over` ERROR and CRITICAL events in `window`, and more than
    `share` of all services' errors, among the newest that Redis keeps (MOST_ERRORS a level)."""

    kind: Literal["burst"]
    over: int = _field(f"a whole number from 0 to {MOST_ERRORS - 1}", ge=0, lt=MOST_ERRORS)
    share: float = _field(SHARE, gt=0, lt=1)
    window: int = _seconds()

    def read(self, history: History) -> list[Reading] | None:
        services = history.now.services(self.window)
        total = sum(services.values())
        return [
            _reading(
                errors,
                self.over,
                f"{service}: {errors:,} of {total:,} ERROR and CRITICAL events in {self.window} s",
                service,
            )
            for service, errors in services.most_common()
            if service and errors > self.share * total
        ]


class Silence(_Rule):
    """No record has arrived for `over` seconds. A pipeline that never had one is not silent."""

    kind: Literal["silence"]
    over: int = _seconds()

    def read(self, history: History) -> list[Reading] | None:
        quiet, certain = history.quiet
        if not history.now.offsets or not (certain or quiet > self.over):
            return None
        return [_reading(quiet, self.over, f"no record for {quiet:,.0f} s (bound {self.over:,} s)")]


class DeadLetterRule(_Rule):
    """More than `over` new dead letters in `window`."""

    kind: Literal["dead-letters"]
    over: int = _field(COUNT, ge=0)
    window: int = _seconds()

    def read(self, history: History) -> list[Reading] | None:
        past = history.since(self.window)
        if not past:
            return None
        before, after = past[0].dead_letters, past[-1].dead_letters
        # A count that shrank is of a Redis that was emptied: it began at zero again.
        new = {
            reason: letters - (before.get(reason, 0) if letters >= before.get(reason, 0) else 0)
            for reason, letters in after.items()
        }
        most = sorted(((n, reason) for reason, n in new.items() if n), reverse=True)
        reasons = ", ".join(f"{short(reason, 40)} {n:,}" for n, reason in most[:3]) or "none"
        total = sum(new.values())
        summary = f"{total:,} dead letters in {self.window} s (bound {self.over:,}): {reasons}"
        return [_reading(total, self.over, summary)]


class Lag(_Rule):
    """The consumers have been more than `over` records behind for `window`, with growing lag."""

    kind: Literal["lag"]
    over: int = _field(COUNT, ge=0)
    window: int = _seconds()

    def read(self, history: History) -> list[Reading] | None:
        past = history.since(self.window)
        lags = [sum(each.lag.values()) for each in past if each.lag is not None]
        if not lags or len(lags) < len(past):
            return None
        lag = lags[-1]
        broken = min(lags) > self.over and lag > lags[0]
        summary = f"{lag:,} records behind, {lag - lags[0]:+,} in {self.window} s"
        return [Reading(broken, lag <= RELIEF * self.over, f"{summary} (bound {self.over:,})")]


AnyRule = Errors | Share | Burst | Silence | DeadLetterRule | Lag
Rule = Annotated[AnyRule, Field(discriminator="kind")]
KINDS: dict[str, type[_Rule]] = {
    get_args(rule.model_fields["kind"].annotation)[0]: rule for rule in get_args(AnyRule)
}


class Rules(BaseModel):
    """The whole file. `repeat` and `calm` are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    repeat: int = _seconds(3600)
    calm: int = _seconds(30)
    rules: dict[str, Rule]

    @property
    def span(self) -> int:
        """Seconds of history that the rules need."""
        return max([60, *(rule.span for rule in self.rules.values())])

    @property
    def burst_span(self) -> int:
        """Seconds for which the rules need single errors."""
        bursts = [rule.span for rule in self.rules.values() if isinstance(rule, Burst)]
        return max(bursts, default=0)

    def read(self, history: History) -> dict[str, list[Reading] | None]:
        """The readings of each rule, by its name."""
        return {name: rule.read(history) for name, rule in self.rules.items()}


def load(path: Path, cap: int = MOST_ERRORS) -> Rules:
    """The rules in the file, for Redis lists of `cap` events. Raises RulesError."""
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RulesError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RulesError(f"{path} is not TOML: {error}") from None
    try:
        rules = Rules.model_validate(found)
    except ValidationError as error:
        raise RulesError(f"{path}: {_sentence(error.errors()[0])}") from None
    for name, rule in rules.rules.items():
        if isinstance(rule, Burst) and rule.over >= cap:
            must_be = f"below {cap}, which is REDIS_MAX_LOGS"
            raise RulesError(f"{path}: rule {name}: over = {rule.over}: must be {must_be}")
    return rules


def _sentence(error: Any) -> str:
    """The first mistake, as 'rule NAME: FIELD = value: must be …'."""
    where = [str(part) for part in error["loc"]]
    rule = f"rule {where[1]}: " if where[:1] == ["rules"] and len(where) > 1 else ""
    model = Rules if not rule else KINDS.get(where[2] if len(where) > 2 else "", _Rule)
    name = where[-1]
    if error["type"] == "extra_forbidden":
        return f"{rule}{name} is unknown: must be {one_of([*model.model_fields])}"
    if error["type"] in {"union_tag_not_found", "union_tag_invalid"}:
        kind, kinds = error["input"].get("kind"), one_of([f'"{name}"' for name in KINDS])
        return f"{rule}kind {'is missing' if kind is None else f'= {kind!r}'}: must be {kinds}"
    field = model.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    must_be = extra["must_be"] if isinstance(extra, dict) else "a table, [rules.<name>]"
    if error["type"] == "missing":
        return f"{rule}{name} is missing: must be {must_be}"
    return f"{rule}{name} = {error['input']!r}: must be {must_be}"
