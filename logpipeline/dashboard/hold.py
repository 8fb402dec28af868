"""Hold: why the list of events does not move, and the state that it shows meanwhile."""

from typing import TYPE_CHECKING

from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.state import DashboardState

if TYPE_CHECKING:
    from weakref import ref


class Hold:
    """The reasons of one tab. The `feed` keeps the states, within a bound for all tabs."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._reasons: set[str] = set()
        self._held: ref[DashboardState] | None = None
        self._is_new = False  # a pause whose list has not been shown yet

    def __bool__(self) -> bool:
        return bool(self._reasons)

    @property
    def state(self) -> DashboardState | None:
        """The one to show while there is a reason to hold the list, else None."""
        if not self._reasons:
            return None
        state = self._held() if self._held else None
        if state is None:
            self._held = self._feed.newest_kept() or self._feed.keep()
            state = self._held() if self._held else None
        return state

    def add(self, reason: str) -> None:
        """Hold the list for this reason too, from now on unless it is held already."""
        if not self._reasons:
            self._held = self._feed.keep()
        self._reasons.add(reason)

    def remove(self, reason: str) -> None:
        """Release the list when this was the last reason."""
        self._reasons.discard(reason)

    def pause(self) -> None:
        self.add("paused")
        self._is_new = True

    def settle(self, shows_events: bool) -> None:
        """End a pause that has begun with an empty list: no event would appear in it."""
        if self._is_new and not shows_events:
            self.remove("paused")
        self._is_new = False

    def clear(self) -> None:
        self._reasons.clear()
