"""Panels: what is around the list of events, as HTML that escapes whatever it is given."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from logpipeline.alerts.alert import Alert, Notice
from logpipeline.dashboard.clock import Clock, lasting
from logpipeline.dashboard.entry import short
from logpipeline.dashboard.state import DashboardState

TEXT = 300  # characters of an alert
FEW = 50  # errors that fill a service's bar at least: a handful is no news
FAILING = 8  # services that are shown
OPEN = 30  # alerts that are shown
PAST = 12  # notices that are shown
SEVERITIES = ("info", "warning", "critical")
STATES = {"open": "opened", "repeat": "still open", "over": "over"}


def tiles(board: DashboardState) -> Markup:
    """Now: five numbers, each with what it counts."""
    share, letters, alerts = board.error_share(), board.dead_letters, board.alerts
    return Markup("").join(
        [
            _tile("Events/s", _number(board.rate), f"{board.total:,} in all"),
            _tile(
                "Errors",
                "–" if share is None else f"{share:.1%}".replace("%", "\u202f%"),
                "of the last 5 minutes",
                "bad" if share and share >= 0.05 else "",
            ),
            _tile(
                "Lag",
                "unknown" if board.lag is None else _number(board.lag),
                "no consumer reports it" if board.lag is None else "records behind",
                "warn" if board.lag is None else "",
            ),
            _tile(
                "Dead letters",
                "unknown" if letters is None else _number(sum(letters.values())),
                _reasons(letters),
                "warn" if letters else "",
            ),
            _tile(
                "Open alerts",
                "unknown" if alerts is None else _number(len(alerts) + board.more_alerts),
                "alerts.py is not running" if alerts is None else _subjects(alerts),
                "bad" if alerts else "",
            ),
        ]
    )


def failing(board: DashboardState) -> Markup:
    """Which services log errors, most first; a click shows them."""
    seconds, services = board.failing()
    most = max([count for _, count in services] + [FEW])
    return Markup("<h2>Errors by service, last {}</h2>{}<ul>{}</ul>{}").format(
        lasting(seconds),
        "" if services else Markup('<p class="none">None.</p>'),
        Markup("").join(
            Markup(
                '<li><button data-service="{0}" aria-label="{0}: {1} errors, show them">'
                '<span class="bar" style="width:{2:.0f}%"></span>'
                '<bdi class="name">{0}</bdi><span class="count">{1}</span></button></li>'
            ).format(service, f"{count:,}", 100 * count / most)
            for service, count in services[:FAILING]
        ),
        _more(len(services) - FAILING),
    )


def alerts(board: DashboardState, clock: Clock) -> Markup:
    """The open alerts, then what alerts.py told before."""
    told = [_notice(each, board.at, clock) for each in board.history[:PAST]]
    open_ = sorted(board.alerts or [], key=lambda each: each.since, reverse=True)
    now = [_alert(each, board.at, clock) for each in open_[:OPEN]]
    if not now and not told:
        words = "alerts.py is not running." if board.alerts is None else "No alert so far."
        return Markup('<p class="none">{}</p>').format(words)
    if not now:
        now = [Markup('<li class="none">None is open.</li>')]
    return Markup('<ul class="open">{}</ul>{}<ul class="told">{}</ul>').format(
        Markup("").join(now),
        _more(len(open_[OPEN:]) + board.more_alerts),
        Markup("").join(told),
    )


def _more(count: int) -> Markup:
    return Markup('<p class="none">and {} more</p>').format(f"{count:,}") if count > 0 else Markup()


def unreachable(address: str, problem: str, since: str) -> Markup:
    return Markup(
        "<h2>Redis can’t be read</h2>"
        "<p>The page shows what Redis holds at <code>{}</code>, and that does not answer since "
        "<b>{}</b>.</p><p class='why'><code>{}</code></p>"
        "<p>Nothing is lost: the consumer goes on writing its archive without Redis. "
        "This page tries again each second and goes on by itself.</p>"
    ).format(short(address, TEXT), since, short(problem, TEXT))


def empty(address: str, key: str, lag: int | None) -> Markup:
    consumer = "No consumer reports" if lag is None else "A consumer is running"
    return Markup(
        "<h2>No events yet</h2>"
        "<p>Redis answers at <code>{}</code>, but has nothing under <code>{}</code>. {}.</p>"
        "<p>Start <code>python consumer.py</code>, then <code>python producer.py</code> or your "
        "own: the first event is here a second later.</p>"
    ).format(short(address, TEXT), short(key, TEXT), consumer)


def _tile(name: str, value: str, about: str, mood: str = "") -> Markup:
    return Markup(
        '<div class="tile {}"><dt>{}</dt><dd class="value{}">{}</dd><dd class="about">{}</dd></div>'
    ).format(mood, name, "" if value[:1].isdigit() else " word", value, about)


def compact(count: int) -> str:
    """A count in about five characters."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 10 * size:
            return (
                f"{count / size:.0f}{unit}" if count >= 100 * size else f"{count / size:.1f}{unit}"
            )
    return f"{count:,}"


def _number(value: float | None) -> str:
    if value is None:
        return "…"
    return f"{value:.1f}" if 0 < value < 10 and value != int(value) else f"{value:,.0f}"


def _reasons(letters: Mapping[str, int] | None) -> str:
    if letters is None:
        return "no consumer reports them"
    most = sorted(letters, key=letters.__getitem__, reverse=True)
    return short(", ".join(most[:OPEN]), 60) or "everything was an event"


def _subjects(alerts: Sequence[Alert]) -> str:
    return (
        short(", ".join(each.subject or each.rule for each in alerts[:OPEN]), 60) or "all is well"
    )


def _alert(alert: Alert, now: float, clock: Clock) -> Markup:
    return Markup(
        '<li class="{}"><b>{}</b> <bdi>{}</bdi><p><bdi>{}</bdi></p>'
        '<time title="{}">since {}, {}</time></li>'
    ).format(
        _severity(alert),
        short(alert.rule, 60),
        short(alert.subject, 60),
        short(alert.summary, TEXT),
        clock.full(alert.since),
        clock.minute(alert.since),
        lasting(now - alert.since),
    )


def _notice(notice: Notice, now: float, clock: Clock) -> Markup:
    return Markup(
        '<li class="{}"><time title="{}">{}</time> <b>{}</b> {} <bdi>{}</bdi></li>'
    ).format(
        "over" if notice.state == "over" else _severity(notice),
        clock.full(notice.at),
        clock.minute(notice.at),
        short(notice.rule, 60),
        STATES.get(notice.state, short(notice.state, 20)),
        short(notice.subject, 60),
    )


def _severity(told: Alert | Notice) -> str:
    return told.severity if told.severity in SEVERITIES else "warning"
