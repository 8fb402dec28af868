"""Rules: what they find in a simulated day, and what a mistake in their file is answered with."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, islice, takewhile
from pathlib import Path

import pytest

from logpipeline.alerts import snapshot as reading
from logpipeline.alerts.alert import Alert, Notice, follow
from logpipeline.alerts.rules import Reading, Rules, RulesError, load
from logpipeline.alerts.snapshot import History, PipelineSnapshot, newest
from logpipeline.events import slices
from logpipeline.events.columns import Columns
from logpipeline.producer import simulator
from logpipeline.producer.simulator import Incident, incidents, simulate
from logpipeline.recent.backlog import News
from tests.support.process import ROOT

DAY = 24 * simulator.HOUR  # seconds: the simulator's hours last a minute
NOON = 1_700_000_000.0
CAP = 1000  # REDIS_MAX_LOGS
SOON = 30.0  # seconds in which an incident has to be noticed
DEFAULTS = load(ROOT / "alerts.toml")


@pytest.fixture(autouse=True)
def each_event_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same at each of the looks, which are half of the time of a day."""
    monkeypatch.setattr(reading, "_event", lru_cache(10_000)(reading._event))


@dataclass
class Pipeline:
    """A day of it, counted as the consumer does; `looks` is what alerts.py would read."""

    seed: int
    rate: int

    def looks(self, every: int = 2) -> Iterator[PipelineSnapshot]:
        clock = count(NOON, 1 / self.rate)  # each event asks for its time once
        events = simulate(self.seed, self.rate, clock=clock.__next__)
        news = News(CAP)
        for second in range(1, int(DAY) + 1):
            keys, values = zip(*islice(events, self.rate), strict=True)
            offsets = list(range((second - 1) * self.rate, second * self.rate))
            news.add(slices.read(0, offsets[0], Columns(offsets, [*keys], [*values])))
            if second % every == 0:
                yield self.look(news, NOON + second, second * self.rate)

    @staticmethod
    def look(news: News, now: float, offset: int) -> PipelineSnapshot:
        counts: dict[int, dict[str, int]] = {}
        for (minute, level), events in news.counts.items():
            counts.setdefault(minute, {})[level] = events
        errors = []
        for level in ("ERROR", "CRITICAL"):
            lines = list(reversed(news.lists[level]))
            errors += newest(lambda a, b, lines=lines: lines[a : b + 1], now - DEFAULTS.burst_span)  # type: ignore[misc]
        return PipelineSnapshot(now, counts, errors, {"0": offset}, {"0": 7})


def told(looks: Iterator[PipelineSnapshot], rules: Rules = DEFAULTS) -> list[Notice]:
    """All that would be told."""
    history, alerts = History(rules.span), dict[str, Alert]()
    notices = []
    for snapshot in looks:
        history.add(snapshot)
        alerts, new = follow(alerts, rules, rules.read(history), snapshot.at)
        notices += new
    return notices


def of(notices: list[Notice], rule: str, state: str) -> list[Notice]:
    return [notice for notice in notices if (notice.rule, notice.state) == (rule, state)]


def fit(rate: int) -> Rules:
    """The defaults, with the number of errors that alerts.toml advises for more traffic."""
    if rate <= 50:
        return DEFAULTS
    many = DEFAULTS.rules["many-errors"]
    more = many.model_copy(update={"over": 2 * rate})
    return DEFAULTS.model_copy(update={"rules": DEFAULTS.rules | {"many-errors": more}})


@pytest.mark.parametrize(("seed", "rate"), [(1, 50), (2, 50), (3, 50), (4, 500)])
def test_each_incident_is_noticed_within_30_s_with_its_service(seed: int, rate: int) -> None:
    notices = told(Pipeline(seed, rate).looks(), fit(rate))
    expected = list(takewhile(lambda incident: incident.end < DAY - 150, incidents(seed)))
    assert len(expected) >= 2
    # Seconds until it is over: the window, `calm`, and a minute that counts whole while it lasts.
    rules = {"error-share": 120, "service-burst": 120, "many-errors": 150}
    for rule, seconds in rules.items():
        opened = [n for n in of(notices, rule, "open") if n.at - NOON < expected[-1].end]
        assert len(opened) == len(expected)
        for incident, notice in zip(expected, opened, strict=True):
            assert incident.start < notice.at - NOON < incident.start + SOON
            assert notice.subject == (incident.service if rule == "service-burst" else "")
        assert {n.rule for n in notices} == rules.keys()
        over = [n for n in of(notices, rule, "over") if n.at - NOON < expected[-1].end + seconds]
        assert len(over) == len(expected)
        for incident, notice in zip(expected, over, strict=True):
            assert incident.end < notice.at - NOON < incident.end + seconds


@pytest.mark.parametrize("seed", range(1, 6))
def test_at_the_simulators_own_rate_each_incident_is_noticed(seed: int) -> None:
    """The number of errors needs one that lasts."""
    notices = told(Pipeline(seed, 10).looks())
    expected = list(takewhile(lambda incident: incident.end < DAY - 120, incidents(seed)))
    lasting = [incident for incident in expected if incident.end - incident.start > 60]
    for rule, noticed in (
        ("error-share", expected),
        ("service-burst", expected),
        ("many-errors", lasting),
    ):
        opened = [n.at - NOON for n in of(notices, rule, "open")]
        for incident in noticed:
            assert [at for at in opened if incident.start < at < incident.end + 5], rule


SMALL = [(seed, rate) for rate in (1, 2, 3, 5, 10) for seed in range(1, 4)]


@pytest.mark.parametrize(("seed", "rate"), [(1, 50), (2, 50), (3, 50), (4, 500), *SMALL])
def test_a_day_without_an_incident_has_no_alarm(
    seed: int, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = Incident("frontend", 2 * DAY, 3 * DAY)
    monkeypatch.setattr(simulator, "incidents", lambda _: iter([never]))
    assert told(Pipeline(seed, rate).looks(), fit(rate)) == []


def steady(seconds: range, **others: object) -> Iterator[PipelineSnapshot]:
    """A look each second, at which something has arrived."""
    for second in seconds:
        snapshot = PipelineSnapshot(NOON + second, offsets={"0": second})
        yield replace(snapshot, **others)  # type: ignore[arg-type]


class TestSilence:
    def test_is_told_after_its_bound_and_over_when_something_arrives(self) -> None:
        still = steady(range(11, 400), offsets={"0": 10})
        looks = [*steady(range(11)), *still, *steady(range(400, 500))]
        notices = told(iter(looks))
        assert [(n.rule, n.state) for n in notices] == [("silence", "open"), ("silence", "over")]
        assert notices[0].at == NOON + 10 + 301
        assert notices[1].at == NOON + 399 + DEFAULTS.calm

    def test_a_pipeline_that_never_had_an_event_is_not_silent(self) -> None:
        assert told(steady(range(2000), offsets={})) == []

    def test_a_start_of_the_watch_is_not_the_last_event(self) -> None:
        """Neither a new alarm, nor the end of one that is open."""
        history = History(DEFAULTS.span)
        open_ = Alert("silence", "", "critical", "quiet", NOON - 900, NOON - 5, NOON - 900)
        alerts = {open_.id: open_}
        for snapshot in steady(range(290), offsets={"0": 10}):
            history.add(snapshot)
            alerts, notices = follow(alerts, DEFAULTS, DEFAULTS.read(history), snapshot.at)
            assert notices == []
        assert list(alerts) == ["silence"]

    def test_the_time_in_which_redis_was_away_does_not_count(self) -> None:
        history = History(DEFAULTS.span)
        for snapshot in steady(range(200), offsets={"0": 10}):
            history.add(snapshot)
        history.resume(NOON + 1_000)
        for snapshot in steady(range(1_000, 1_300), offsets={"0": 10}):
            history.add(snapshot)
            assert follow({}, DEFAULTS, DEFAULTS.read(history), snapshot.at) == ({}, [])


class TestDeadLetters:
    def test_growth_is_told_with_the_reasons(self) -> None:
        before = steady(range(400), dead_letters={"NaN": 1000})
        after = steady(range(400, 420), dead_letters={"NaN": 1008, "broken JSON": 3})
        notices = told(iter([*before, *after]))
        assert [(n.rule, n.state) for n in notices] == [("dead-letters", "open")]
        assert "NaN 8, broken JSON 3" in notices[0].summary

    def test_old_ones_are_no_news(self) -> None:
        assert told(steady(range(900), dead_letters={"NaN": 1000})) == []

    def test_reasons_are_cut(self) -> None:
        before = steady(range(400), dead_letters={"x" * 10_000: 0})
        after = steady(range(400, 420), dead_letters={"x" * 10_000: 100})
        [notice] = told(iter([*before, *after]))
        assert notice.summary.endswith(": " + "x" * 40 + "… 100")

    def test_a_redis_that_was_emptied_begins_at_zero(self) -> None:
        before = steady(range(400), dead_letters={"NaN": 1000})
        after = steady(range(400, 900), dead_letters={"NaN": 4})
        assert told(iter([*before, *after])) == []


class TestLag:
    @staticmethod
    def lags(*lags: int) -> list[Notice]:
        looks = [replace(next(steady(range(i, i + 1))), lag={"0": n}) for i, n in enumerate(lags)]
        return told(iter(looks))

    def test_that_stays_and_grows_is_told_and_over_when_it_is_small(self) -> None:
        notices = self.lags(*range(6_000, 6_100), *[100] * 100)
        assert [(n.rule, n.state) for n in notices] == [("lag", "open"), ("lag", "over")]
        assert notices[0].at == NOON + 60

    def test_that_shrinks_is_being_made_up_for(self) -> None:
        assert self.lags(*range(90_000, 6_000, -100)) == []

    def test_of_a_moment_is_none(self) -> None:
        assert self.lags(*[10, 50_000, *range(10, 60)] * 10) == []

    def test_is_not_over_while_no_consumer_tells_it(self) -> None:
        unknown = steady(range(100, 900), lag=None)
        known = [replace(s, lag={"0": 6_000 + i}) for i, s in enumerate(steady(range(100)))]
        assert [n.state for n in told(iter([*known, *unknown]))] == ["open"]


class TestTelling:
    RULES = Rules.model_validate(
        {
            "calm": 10,
            "repeat": 100,
            "rules": {"many": {"kind": "errors", "over": 10, "window": 60, "severity": "info"}},
        }
    )

    def states(self, *errors: int) -> list[tuple[float, str]]:
        """What is told, and after how many seconds, of so many errors in each second's window."""
        looks = [
            PipelineSnapshot(NOON + i, {(int(NOON) + i) // 60: {"ERROR": n}})
            for i, n in enumerate(errors)
        ]
        return [(n.at - NOON, n.state) for n in told(iter(looks), self.RULES)]

    def test_once_then_repeated_then_over(self) -> None:
        told = self.states(*[20] * 250, *[0] * 50)
        assert told == [(0, "open"), (100, "repeat"), (200, "repeat"), (259, "over")]

    def test_what_flaps_around_the_bound_is_one_alert(self) -> None:
        assert self.states(*[11, 10, 9, 0, 0, 0, 0, 0, 0] * 11) == [(0, "open")]

    def test_the_bound_itself_is_allowed(self) -> None:
        assert self.states(*[10] * 100) == []

    def test_a_muted_alert_is_noticed_by_nobody_until_its_mute_ends(self) -> None:
        reading = {"many": [Reading(True, False, "20")]}
        alerts, (opened,) = follow({}, self.RULES, reading, NOON, {"many"})
        assert (opened.state, opened.muted) == ("open", True)
        assert follow(alerts, self.RULES, reading, NOON + 500, {"many"})[1] == []
        _, (over,) = follow(alerts, self.RULES, {"many": []}, NOON + 500)
        assert (over.state, over.muted) == ("over", True)  # of what nobody knows
        alerts, (still,) = follow(alerts, self.RULES, reading, NOON + 500)
        assert (still.state, still.muted) == ("repeat", False)
        _, (over,) = follow(alerts, self.RULES, {"many": []}, NOON + 900, {"many"})
        assert (over.state, over.muted) == ("over", True)

    def test_a_rule_that_was_removed_ends_its_alert(self) -> None:
        gone = Alert("gone", "", "info", "was", NOON, NOON, NOON)
        alerts, notices = follow({"gone": gone}, self.RULES, {"many": []}, NOON + 1)
        assert alerts == {}
        assert [n.state for n in notices] == ["over"]


MISTAKES = {
    "rules = 1": "rules = 1: must be a table",
    "": "rules is missing: must be a table",
    "repeat = 0\n[rules]": "repeat = 0: must be seconds, a whole number from 1 to 86400",
    "often = 1\n[rules]": "often is unknown: must be repeat, calm or rules",
    "[rules]\nx = 1": "rule x: ",
    "[rules.x]": 'rule x: kind is missing: must be "errors", "share"',
    '[rules.x]\nkind = "noise"': "rule x: kind = 'noise': must be \"errors\"",
    '[rules.x]\nkind = "errors"\nwindow = 60': "rule x: over is missing: must be a whole number",
    '[rules.x]\nkind = "silence"\nover = "5m"': "rule x: over = '5m': must be seconds",
    '[rules.x]\nkind = "silence"\nover = 1.5': "rule x: over = 1.5: must be seconds",
    '[rules.x]\nkind = "silence"\nover = true': "rule x: over = True: must be seconds",
    '[rules.x]\nkind = "silence"\nover = 5\nname = "y"': "rule x: name is unknown: must be",
    '[rules.x]\nkind = "silence"\nover = 5\nwindow = 5': "rule x: window is unknown: must be",
    '[rules.x]\nkind = "silence"\nover = 5\nseverity = "bad"': (
        'rule x: severity = \'bad\': must be "info", "warning" or "critical"'
    ),
    '[rules.x]\nkind = "share"\nover = 5\nat_least = 1\nwindow = 1': (
        "rule x: over = 5: must be a share: above 0, below 1"
    ),
    '[rules.x]\nkind = "burst"\nover = 1000\nshare = 0.5\nwindow = 1': (
        "rule x: over = 1000: must be a whole number from 0 to 999"
    ),
    "[rules": "is not TOML: ",
    "\x00": "is not TOML: ",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_line_with_rule_field_and_what_it_must_be(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "my rules.toml"
    path.write_text(text)
    with pytest.raises(RulesError) as error:
        load(path)
    assert re.match(rf"{re.escape(str(path))}:? {re.escape(MISTAKES[text])}", str(error.value))
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"cannot read .*none.toml: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(RulesError, match="is not TOML"):
        load(tmp_path / "bytes.toml")


def test_a_burst_that_redis_can_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text('[rules.x]\nkind = "burst"\nover = 50\nshare = 0.5\nwindow = 1')
    assert load(path, 51)
    with pytest.raises(RulesError, match="below 50, which is REDIS_MAX_LOGS"):
        load(path, 50)
