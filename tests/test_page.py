"""The page's pieces, without a browser: its HTML, its clock, its chart."""

import logging
import time
from collections import Counter
from html.parser import HTMLParser

import pytest

from logpipeline.alerts.alert import Alert, Notice
from logpipeline.dashboard import chart, event_list, panels
from logpipeline.dashboard.clock import Clock, duration
from logpipeline.dashboard.entry import EventEntry, entry
from logpipeline.dashboard.event_dialog import LinkedEvent
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.hold import Hold
from logpipeline.dashboard.query import PageQuery
from logpipeline.dashboard.search import Filters, Found
from logpipeline.dashboard.state import DashboardState
from logpipeline.supervision import Supervision
from tests.support.holding import event

NASTY = ["<script>x</script>", "</button></li><b>", "\"'><img src=x onerror=y>", "{0} {{x}} %s"]
NASTY += ["\x00\x1b[2J", "\u202e", "\ud800", "a\nb", "&lt;", "`${x}`", "w" * 100_000]
ALLOWED = {
    *("li", "button", "time", "span", "bdi", "ul", "p", "b", "h2", "div", "dt", "dd", "code"),
    *("pre", "table", "tbody", "tr", "th", "td", "details", "summary"),
}
CLOCK = Clock("Europe/Berlin")
WINTER = 1_700_000_000.123  # 2023-11-14 22:13:20.123 UTC


class Reader(HTMLParser):
    """The tags and attributes' names of HTML, as a browser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(str(html))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def made(text: str) -> EventEntry:
    return entry("1", event("ERROR", text, service=text, **{text: text, "more": {text: [text]}}))


def everything(text: str) -> str:
    """All that the page makes of Redis, with this text wherever one may be."""
    told = Notice("open", text, text, text, text, 1.0)
    alert = Alert(text, text, text, text, 1.0, 1.0, 1.0)
    state = DashboardState(
        at=time.time(),
        lists={"": [made(text)], "ERROR": [made(text)]},
        counts={},
        lag=1,
        dead_letters={text: 1},
        alerts=[alert],
        history=[told],
    )
    parts = [
        event_list.rows(state.lists[""], state.at, CLOCK),
        event_list.whole(made(text), CLOCK),
        event_list.note(state, Filters.of(words=text), Found([made(text)], 1), 1),
        panels.tiles(state),
        panels.failing(state),
        panels.alerts(state, CLOCK),
        panels.unreachable(text, text, "now"),
        panels.empty(text, text, None),
    ]
    return "".join(map(str, parts))


@pytest.mark.parametrize("text", NASTY)
def test_whatever_is_in_an_event_the_page_has_the_same_elements(text: str) -> None:
    plain, nasty = Reader(everything("plain")), Reader(everything(text))
    assert nasty.tags == plain.tags
    assert set(plain.tags) == ALLOWED
    assert nasty.attributes == plain.attributes
    assert not any(name.startswith("on") for name in nasty.attributes)
    assert nasty.text.replace("\n", "").isprintable()
    assert len(nasty.text) < 1_000_000


def test_a_whole_event_has_all_its_fields_and_bytes() -> None:
    line = event("warn", "hello", service="auth", code=7, nested={"a": [1]}, nothing=None)
    text = Reader(event_list.whole(entry("1", line), CLOCK)).text
    for words in ("hello", "auth", "code7", '"a": [', "nothingnull", line.decode()):
        assert words in text


def test_an_invalid_record_is_shown_as_it_is() -> None:
    strange = entry("1", b"<not> json")
    assert "&lt;not&gt; json" in event_list.rows([strange], 0.0, CLOCK)
    assert "none: this is an invalid record" in event_list.whole(strange, CLOCK)


def test_a_clock_is_the_viewers() -> None:
    assert CLOCK.short(WINTER, WINTER) == "23:13:20.123"
    assert CLOCK.short(WINTER, WINTER + 3_600) == "23-11-14 23:13"  # it is past midnight
    assert CLOCK.day(WINTER, WINTER) == "23:13"
    assert CLOCK.day(WINTER, WINTER + 3_600) == CLOCK.day(WINTER, 0.0) == "Nov 14, 23:13"
    assert CLOCK.full(WINTER) == "2023-11-14 23:13:20.123 Europe/Berlin (+0100)"
    assert CLOCK.full(WINTER - 180 * 86_400).endswith("(+0200)")
    assert CLOCK.utc(WINTER) == "2023-11-14T22:13:20.123+00:00"


@pytest.mark.parametrize("zone", ["None", "", "Mars/Base", "../../etc/passwd", "/etc/passwd", "\0"])
def test_an_unknown_zone_means_utc(zone: str) -> None:
    assert Clock(zone).full(WINTER) == "2023-11-14 22:13:20.123 UTC (+0000)"


@pytest.mark.parametrize("moment", [1e18, -1e18, 1e300, -62_135_596_801.0])
def test_a_moment_outside_the_calendar_is_shown_as_such(moment: float) -> None:
    assert CLOCK.short(moment, WINTER) == CLOCK.minute(moment) == CLOCK.day(moment, 0) == "no date"
    assert "outside the calendar" in CLOCK.full(moment)
    assert CLOCK.utc(moment) == f"{moment:g}"


@pytest.mark.parametrize(
    "search",
    [
        *(None, 5, "", "?", "?q=a+b&level=ERROR,CRITICAL&service=%3Cb%3E&span=day&theme=dark"),
        *("?level=nonsense,info&span=week&theme=pink", "?q=" + "a+" * 5_000, "?service=%ff%00"),
    ],
)
def test_the_query_of_an_address_is_read_back_as_written(search: object) -> None:
    query = PageQuery.parse(search)
    assert PageQuery.parse(str(query)) == query
    assert len(str(query)) < 2_000


def test_a_query_has_what_a_viewer_has_chosen() -> None:
    query = PageQuery.parse("?level=error&service=shop&q=card&span=day")
    assert query.filters == Filters.of(["ERROR"], "shop", "card")
    assert (query.span, query.theme) == ("day", "auto")
    assert str(query.filtered(words="")) == "?level=ERROR&service=shop&span=day"
    assert str(PageQuery()) == "?"
    themes = [query := query.with_next_theme() for _ in range(3)]
    assert [each.theme for each in themes] == ["dark", "light", "auto"]


@pytest.mark.parametrize("name", ["inf-a", "1e999-a", "-5-a", "nan-a", "-a", "a", "1" * 60])
def test_an_impossible_event_in_an_address_is_none(name: str) -> None:
    linked = LinkedEvent(name, lambda _: pytest.fail("it cannot be found"))
    assert linked.look(DashboardState(at=1.0, lists={}, counts={}), None) is None
    assert linked.name == ""


@pytest.mark.parametrize(
    "sent", [None, 5, "", "x", "1 2", "1 2 ERROR", "9 8 ERROR a", "1 99 ERROR a", "-1 0 ERROR a"]
)
def test_an_impossible_alert_changes_nothing(sent: object) -> None:
    query = PageQuery.parse("?q=card")
    assert query.about_alert(sent, 50.0) is query
    found = query.about_alert("7 20 ERROR,NONSENSE the shop", 50.0)
    assert found.filters == Filters.of(["ERROR"], "the shop")
    assert (found.source, found.period) == ("period", (0, 21))


def test_a_list_is_held_at_one_state_until_no_reason_is_left() -> None:
    first, second = (DashboardState(at=at, lists={}, counts={}) for at in (1.0, 2.0))
    feed = Feed(None, Supervision(logging.getLogger("test")))  # type: ignore[arg-type]
    hold = Hold(feed)
    feed.state = first
    hold.add("scrolled")
    feed.state = second
    hold.add("paused")
    hold.remove("scrolled")
    assert hold
    assert hold.state is first
    hold.remove("paused")
    assert not hold
    assert hold.state is None


def test_durations_and_counts_are_short() -> None:
    durations = [(-1, "0 s"), (59.9, "59 s"), (3_599, "59 min"), (3_660, "1 h 01 min")]
    for seconds, words in [*durations, (90_000, "1 d 1 h")]:
        assert duration(seconds) == words
    counts = [(9_999, "9,999"), (10_000, "10.0k"), (999_999, "1000k"), (12_345_678, "12.3M")]
    for count, words in counts:
        assert panels.compact(count) == words


def test_the_chart_stacks_the_chosen_levels_with_the_worst_below() -> None:
    minute = 28_000_000
    counts = {minute: {"INFO": 9, "ERROR": 1}, minute - 5: {"CRITICAL": 2}}
    state = DashboardState(at=minute * 60.0, lists={}, counts=counts)
    series = chart.options(state, "hour", [], True, CLOCK)["series"]
    assert [each["name"] for each in series] == [*chart.ORDER]
    assert {each["name"]: each["data"][-1] for each in series}["INFO"] == 9
    only = chart.options(state, "hour", ["ERROR"], False, CLOCK)["series"]
    assert [(each["name"], sum(each["data"])) for each in only] == [("ERROR", 1)]
    assert "at most 10" in chart.describe(state, "hour")
    assert "at most 2 errors" in chart.describe(state, "hour")


def test_bars_of_seconds_are_told_apart_by_their_labels() -> None:
    begin = int(WINTER) // 60 * 60
    counts = {(begin, "ERROR"): 1, (begin + 59, "INFO"): 2}
    step, steps = chart.hits(counts, 1, begin, begin + 120)
    assert step < 60
    labels = chart.bars(steps, [], True, CLOCK, "", 9)["xAxis"]["data"]
    assert labels[:2] == ["23:13:00", f"23:13:{step:02}"]
    assert len(set(labels)) == len(labels)
    hour = {(begin + 60 * minute, "INFO"): 1 for minute in range(61)}
    step, steps = chart.hits(hour, 60, begin + 30, begin + 3_630)
    assert (step, len(steps)) == (60, 61)
    _, steps = chart.hits({(begin, "INFO"): 1, (begin + 7_200, "INFO"): 1}, 1, begin, begin + 7_201)
    assert chart.bars(steps, [], True, CLOCK, "", 9)["xAxis"]["data"][0] == "23:12"
