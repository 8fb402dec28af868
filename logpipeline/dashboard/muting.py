"""Muting: an open alert, for an hour or a day, by one viewer. Nothing else on the page writes."""

from collections.abc import Callable

from logpipeline.alerts.mutes import LONGEST
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.terminal import short

CHOICES = {"0": 0, "3600": 3_600, "86400": LONGEST}  # as a browser sends it → seconds
NAME = 300  # characters of an alert


class Muting:
    """`problem` is why the last attempt has failed; only a visitor who has logged in, or one of
    this machine, `may` do it."""

    def __init__(
        self, feed: Feed, settings: DashboardSettings, on_change: Callable[[], None]
    ) -> None:
        self.may = bool(settings.dashboard_password) or settings.is_private
        self.problem = ""
        self._feed = feed
        self._on_change = on_change
        self._asked: tuple[str, int] | None = None  # an alert's id, and for how many seconds

    def ask(self, sent: object) -> None:
        """Remember what a browser asks for: one of CHOICES, and what `name` calls an alert."""
        choice, _, called = sent.partition(" ") if isinstance(sent, str) else ("", "", "")
        alerts = (self._feed.state.alerts if self._feed.state else None) or ()
        id_ = next((each.id for each in alerts if name(each.id) == called), None)
        if self.may and id_ is not None and choice in CHOICES:
            self._asked = id_, CHOICES[choice]
            self._on_change()

    async def do(self) -> None:
        """Do it, if there is something to do."""
        if self._asked:
            (id_, seconds), self._asked = self._asked, None
            self.problem = await self._feed.mute(id_, seconds)


def name(id_: str) -> str:
    """An alert's, as the page shows it."""
    return short(id_, NAME)
