"""Alert: an open problem, and the notices that are sent about it."""

from collections import Counter
from collections.abc import Container, Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from logpipeline.alerts.rules import SUBJECTS, Reading, Rules
from logpipeline.terminal import short

State = Literal["open", "repeat", "over"]
SHOWN = {"open": "open", "repeat": "still open", "over": "resolved"}  # state → what people read

NAMES, SUMMARY = 300, 1_000  # characters of a notice in one line


class Alert(msgspec.Struct, frozen=True):
    """An open alert. Times are Unix seconds: it opened at `since`, its value was last too high at
    `last`, and the latest notice about it was sent at `told`, 0 for none. `levels` are those of the
    events that it is about, if it is about some. Redis holds these names."""

    rule: str
    subject: str
    severity: str
    summary: str
    since: float
    last: float
    told: float
    levels: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.rule}/{self.subject}" if self.subject else self.rule


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What people are notified of: an alert is open, still open, or resolved, at Unix time `at`.
    `muted`: it is only logged and kept in Redis."""

    state: State
    rule: str
    subject: str
    severity: str
    summary: str
    at: float
    muted: bool = False

    def __str__(self) -> str:
        """In one line: it may be of an alert that somebody else has put into Redis."""
        about = f" {self.subject}" if self.subject else ""
        muted = ", muted" if self.muted else ""
        words = f"{SHOWN[self.state]}: {self.rule}{about} ({self.severity}{muted}): "
        return short(words, NAMES) + short(self.summary, SUMMARY)


def follow(
    alerts: Mapping[str, Alert],
    rules: Rules,
    found: Mapping[str, list[Reading] | None],
    now: float,
    muted: Container[str] = (),
) -> tuple[dict[str, Alert], list[Notice]]:
    """The alerts that are open at `now` by what the rules have `found`, and the notices to send.

    `alerts` are those that were open, by id. An alert stays open while its rule cannot decide, and
    is resolved when its rule has been removed. Nobody is notified of those whose ids are `muted`:
    of one that is still open when its mute ends, at once or when it is due.
    """
    still_open: dict[str, Alert] = {}
    notices = []
    readings = {
        (name, reading.subject): reading for name, each in found.items() for reading in each or []
    }
    for alert in alerts.values():
        rule = rules.rules.get(alert.rule)
        reading = readings.pop((alert.rule, alert.subject), None)
        if reading and not reading.calm:
            alert = replace(alert, summary=reading.summary, last=now)
        elif rule and found[alert.rule] is None:
            alert = replace(alert, last=now)
        if not rule or now - alert.last >= rules.calm:
            notices.append(_notice("over", alert, now, alert.id in muted or not alert.told))
            continue
        is_due = now - alert.told >= rules.repeat and alert.id not in muted
        if reading and reading.broken and is_due:
            alert = replace(alert, told=now)
            notices.append(_notice("repeat", alert, now))
        still_open[alert.id] = alert
    open_ = Counter(alert.rule for alert in still_open.values())
    for (name, subject), reading in readings.items():
        if reading.broken and open_[name] < SUBJECTS:
            open_[name] += 1
            rule = rules.rules[name]
            alert = Alert(
                *(name, subject, rule.severity, reading.summary, now, now, now), rule.levels
            )
            notices.append(_notice("open", alert, now, alert.id in muted))
            still_open[alert.id] = replace(alert, told=0.0) if alert.id in muted else alert
    return still_open, notices


def _notice(state: State, alert: Alert, now: float, muted: bool = False) -> Notice:
    summary = alert.summary
    if state == "over":
        summary = f"open for {now - alert.since:,.0f} s; last reading: {summary}"
    return Notice(state, alert.rule, alert.subject, alert.severity, summary, now, muted)
