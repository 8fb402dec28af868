"""Panels: everything around the list of events, as HTML with all values escaped."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from logpipeline.alerts.alert import SHOWN, Alert, Notice
from logpipeline.dashboard import muting
from logpipeline.dashboard.clock import Clock, duration
from logpipeline.dashboard.entry import short
from logpipeline.dashboard.state import RECENT, DashboardState
from logpipeline.events.event import LEVELS

TEXT = 300  # characters of an alert
FEW = 50  # the fewest errors that fill a service's bar: a handful is not remarkable
FAILING = 8  # services shown
BAD_SHARE = 0.05  # of errors, from which on their tile is red; and while an alert is critical
CALM = 8.0  # seconds below its bound after which an open alert says so
OPEN = 30  # alerts shown
PAST = 12  # notices shown
MUTE_TAKES = Markup('<p class="none">To mute alerts here, set DASHBOARD_PASSWORD.</p>')
SEVERITIES = ("info", "warning", "critical")
STATES = {**SHOWN, "open": "opened"}  # of a past notice


def tiles(state: DashboardState) -> Markup:
    """The current state: five numbers, each with what it counts."""
    share, letters, alerts = state.error_share(), state.dead_letters, state.alerts
    return Markup("").join(
        [
            _tile("Events/s", _number(state.rate), f"{state.total:,} in total"),
            _tile(
                "Errors",
                "–" if share is None else f"{share:.1%}".replace("%", "\u202f%"),
                f"of the last {RECENT} s",
                "bad" if share and (share >= BAD_SHARE or _is_critical(alerts)) else "",
            ),
            _tile(
                "Lag",
                "unknown" if state.lag is None else _number(state.lag),
                "no consumer reports it" if state.lag is None else "records behind",
                "warn" if state.lag is None else "",
            ),
            _tile(
                "Dead letters",
                "unknown" if letters is None else _number(sum(letters.values())),
                _reasons(letters),
                "warn" if letters else "",
            ),
            _tile(
                "Open alerts",
                "unknown" if alerts is None else _number(len(alerts) + state.more_alerts),
                "alerts.py is not running" if alerts is None else _subjects(state, alerts),
                "bad" if _loud(state) else "",
            ),
        ]
    )


def failing(state: DashboardState) -> Markup:
    """The services that log errors, most first; a click shows these errors."""
    services, exact = state.failing()
    most = max([count for _, count in services] + [FEW])
    return Markup("<h2>Errors by service, last {} s{}</h2>{}<ul>{}</ul>{}").format(
        RECENT,
        "" if exact else ", estimated from the newest",
        "" if services else Markup('<p class="none">None.</p>'),
        Markup("").join(
            Markup(
                '<li data-key="{0}"><button data-service="{0}" title="{0}">'
                '<span class="bar" style="width:{2:.0f}%"></span><span class="name"><bdi>{0}</bdi>'
                '<span class="spoken">: {1} errors</span></span>'
                '<span class="count" aria-hidden="true">{1}</span></button></li>'
            ).format(service, f"{count:,}", 100 * count / most)
            for service, count in services[:FAILING]
        ),
        _more(len(services) - FAILING),
    )


def alerts(
    state: DashboardState, clock: Clock, may_mute: bool = False, problem: str = ""
) -> Markup:
    """The open alerts, then the past notices. `problem` is why muting one has failed."""
    past = [_notice(state, number, clock) for number in range(len(state.history[:PAST]))]
    open_ = sorted(state.alerts or [], key=lambda each: (_is_critical([each]), each.since))[::-1]
    now = [_alert(each, state, clock, may_mute) for each in open_[:OPEN]]
    if not now and not past:
        text = "alerts.py is not running." if state.alerts is None else "No alerts so far."
        return Markup('<p class="none">{}</p>').format(text)
    if not now:
        now = [Markup('<li class="none">No open alerts.</li>')]
    return Markup('{}<ul class="open">{}</ul>{}{}<ul class="past">{}</ul>{}').format(
        Markup('<p role="alert">Cannot mute: {}</p>').format(short(problem, TEXT))
        if problem
        else "",
        Markup("").join(now),
        _more(len(open_[OPEN:]) + state.more_alerts),
        MUTE_TAKES if open_ and not may_mute else "",
        Markup("").join(past),
        _more(len(state.history) - PAST),
    )


def _more(count: int) -> Markup:
    return Markup('<p class="none">and {} more</p>').format(f"{count:,}") if count > 0 else Markup()


def title(state: DashboardState) -> str:
    """The tab's, with the number of open alerts that are not muted."""
    return f"({n}) Logs" if (n := _loud(state)) else "Logs"


def _loud(state: DashboardState) -> int:
    """The open alerts that are not muted."""
    return sum(each.id not in state.muted for each in state.alerts or ()) + state.more_alerts


def unreachable(address: str, problem: str, since: str) -> Markup:
    return Markup(
        "<h2>Cannot read Redis</h2>"
        "<p>This page shows what Redis at <code>{}</code> holds. Reading it has failed since "
        "<b>{}</b>:</p><p class='why'><code>{}</code></p>"
        "<p>Nothing is lost: consumer.py keeps archiving without Redis. "
        "This page retries every few seconds and resumes by itself.</p>"
    ).format(short(address, TEXT), since, short(problem, TEXT))


def outdated(problem: str, since: str) -> Markup:
    return Markup(
        "<b>Cannot read Redis</b> since {}: <code>{}</code> These events are of before; this page "
        "retries every few seconds."
    ).format(since, short(problem, TEXT))


def empty(address: str, key: str, lag: int | None) -> Markup:
    consumer = "No consumer is running" if lag is None else "A consumer is running"
    return Markup(
        "<h2>No events yet</h2>"
        "<p>Redis at <code>{}</code> answers, but has no events under the key <code>{}</code>. "
        "{}.</p>"
        "<p>Start <code>python consumer.py</code>, then <code>python producer.py</code> or your "
        "own producer: the first event appears here within a second.</p>"
    ).format(short(address, TEXT), short(key, TEXT), consumer)


def _tile(name: str, value: str, about: str, mood: str = "") -> Markup:
    return Markup(
        '<div class="tile {}"><dt>{}</dt><dd class="value{}">{}</dd><dd class="about">{}</dd></div>'
    ).format(mood, name, "" if value[:1].isdigit() else " word", value, about)


def compact(count: int) -> str:
    """A count in about five characters, such as 12.3k."""
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
    return short(", ".join(most[:OPEN]), 60) or "no invalid records"


def _subjects(state: DashboardState, alerts: Sequence[Alert]) -> str:
    names = short(", ".join(each.subject or each.rule for each in alerts[:OPEN]), 60)
    muted = sum(each.id in state.muted for each in alerts)
    return f"{names} · {muted:,} muted" if muted else names or "none"


def _alert(alert: Alert, state: DashboardState, clock: Clock, may_mute: bool) -> Markup:
    low = state.at - alert.last
    why = f" · below its bound for {duration(low)}, open until it stays there" if low > CALM else ""
    until = state.muted.get(alert.id, 0.0)
    return Markup(
        '<li data-key="{}" class="{}{}"><button data-alert="{}"><b>{}</b> <bdi>{}</bdi></button>'
        '<p><bdi>{}</bdi></p><time title="{}">since {}, {}{}</time>{}</li>'
    ).format(
        muting.name(alert.id),
        _severity(alert),
        " muted" if until else "",
        _period(alert.since, 0.0, alert.levels, alert.subject),
        short(alert.rule, 60),
        short(alert.subject, 60),
        short(alert.summary, TEXT),
        clock.full(alert.since),
        clock.day(alert.since, state.at),
        duration(state.at - alert.since),
        why,
        _mute(alert, clock.day(until, state.at) if until else "", may_mute),
    )


def _mute(alert: Alert, until: str, may_mute: bool) -> Markup:
    """Until when it is muted, and the buttons to mute it or to end that."""
    choices = {"0": "Unmute"} if until else {"3600": "Mute 1 h", "86400": "Mute 1 day"}
    button = Markup('<button data-mute="{} {}">{}<span class="unseen"> {}</span></button>')
    name = muting.name(alert.id)
    return Markup('<p class="mute">{}{}</p>').format(
        f"muted until {until} " if until else "",
        Markup("").join(
            button.format(choice, name, text, name) for choice, text in choices.items() if may_mute
        ),
    )


def _notice(state: DashboardState, number: int, clock: Clock) -> Markup:
    notice = state.history[number]
    over = notice.state == "over"
    return Markup(
        '<li data-key="{}" class="{}"><button data-alert="{}"><time title="{}">{}</time>'
        " <b>{}</b> <bdi>{}</bdi> {}{} <bdi>{}</bdi></button></li>"
    ).format(
        short(f"{notice.at} {notice.state} {notice.rule} {notice.subject}", TEXT),
        "over" if over else _severity(notice),
        _period(*_times(state.history, number), (), notice.subject),
        clock.full(notice.at),
        clock.day(notice.at, state.at),
        short(notice.rule, 60),
        short(notice.subject, 60),
        STATES.get(notice.state, short(notice.state, 20)) + (", muted" if notice.muted else ""),
        ":" if over else "",
        short(notice.summary, TEXT) if over else "",
    )


def _times(history: Sequence[Notice], number: int) -> tuple[float, float]:
    """When the alert of one of the notices, newest first, was opened, and was over, 0 if it is not
    or nobody knows."""
    notice = history[number]
    same = [each for each in history if (each.rule, each.subject) == (notice.rule, notice.subject)]
    opened = (each.at for each in same if each.state == "open" and each.at <= notice.at)
    over = [each.at for each in same if each.state == "over" and each.at >= notice.at]
    return next(opened, notice.at), over[-1] if over else 0.0


def _period(since: float, to: float, levels: Sequence[str], subject: str) -> str:
    """For `about_alert` of a query; `to` is 0 while it is open."""
    known = ",".join(level for level in LEVELS if level in levels)
    return f"{since:.0f} {to:.0f} {known} {short(subject, TEXT)}"


def _is_critical(alerts: Sequence[Alert] | None) -> bool:
    return any(alert.severity == "critical" for alert in alerts or ())


def _severity(about: Alert | Notice) -> str:
    return about.severity if about.severity in SEVERITIES else "warning"
