"""Window: a period."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """From `since` up to, not including, `to`, in Unix seconds."""

    since: float = 0.0
    to: float = math.inf

    def __contains__(self, moment: float) -> bool:
        return self.since <= moment < self.to
