"""Hold: why the list of events does not move, and the state that it shows meanwhile."""

from logpipeline.dashboard.state import DashboardState


class Hold:
    """`state` is the one to show while there is a reason to hold the list, else None."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self.state: DashboardState | None = None

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def add(self, reason: str, state: DashboardState | None) -> None:
        """Hold the list for this reason too, from now on at `state` unless it is held already."""
        self._reasons.add(reason)
        self.state = self.state or state

    def remove(self, reason: str) -> None:
        """Release the list when this was the last reason."""
        self._reasons.discard(reason)
        if not self._reasons:
            self.state = None

    def clear(self) -> None:
        self._reasons.clear()
        self.state = None
