"""Ranges: a set of whole numbers, most of which have neighbours in it."""

from bisect import bisect_left, bisect_right


class Ranges:
    """Stored as the edges of its ranges: start, end, start, end …"""

    def __init__(self) -> None:
        self._edges: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add the numbers from `start` up to, not including, `end`."""
        edges = self._edges
        i, j = bisect_left(edges, start), bisect_right(edges, end)
        edges[i:j] = [start] * (i % 2 == 0) + [end] * (j % 2 == 0)

    def __contains__(self, number: int) -> bool:
        return bisect_right(self._edges, number) % 2 == 1

    def __len__(self) -> int:
        return sum(self._edges[1::2]) - sum(self._edges[::2])

    def pairs(self) -> list[tuple[int, int]]:
        return list(zip(self._edges[::2], self._edges[1::2], strict=True))
