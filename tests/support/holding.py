"""Holding: what consumers and alerts.py leave in Redis, put there by a test."""

import json
import time
from collections import Counter
from contextlib import suppress

import redis

from logpipeline.events.event import InvalidRecord, parse

STEP = 1_000  # lines of a command


def event(level: str = "INFO", message: str = "hello", **fields: object) -> bytes:
    """An event's bytes, of now unless `timestamp` is given."""
    whole = {"level": level, "message": message, "timestamp": time.time(), **fields}
    return json.dumps(whole).encode()


class Holding:
    """The keys below `key`, in the form of the contract."""

    def __init__(self, client: redis.Redis, key: str, cap: int = 1_000) -> None:
        self.client = client
        self.key = key
        self._cap = cap

    def add(self, *lines: bytes) -> None:
        """The lines arrive, in this order; an invalid one is in the list of all alone."""
        lists: dict[str, list[bytes]] = {self.key: [*lines]}
        counts: Counter[tuple[int, str]] = Counter()
        for line in lines:
            with suppress(InvalidRecord):
                parsed = parse(line)
                lists.setdefault(f"{self.key}:{parsed.level}", []).append(line)
                counts[int(parsed.timestamp // 60), parsed.level] += 1
        with self.client.pipeline() as step:
            for name, some in lists.items():
                for at in range(0, len(some), STEP):
                    step.lpush(name, *some[at : at + STEP])
                step.ltrim(name, 0, self._cap - 1)
            for (minute, level), count in counts.items():
                step.hincrby(f"{self.key}:counts:{minute}", level, count)
            step.hincrby(f"{self.key}:offsets", "0", len(lines))
            step.execute()

    def tell(self, lag: int | None = None, **letters: int) -> None:
        """What consumers say of themselves."""
        if lag is not None:
            self.client.hset(f"{self.key}:lag", "0", str(lag))
        for reason, count in letters.items():
            self.client.hset(f"{self.key}:dead-letters", reason.replace("_", " "), count)

    def alert(
        self, rule: str, subject: str, summary: str, state: str = "open", **more: object
    ) -> None:
        """alerts.py opens an alert, or it is over."""
        now = time.time()
        about = {"rule": rule, "subject": subject, "severity": "critical", "summary": summary}
        words = about | more
        name = f"{self.key}:alerts"
        id_ = (f"{rule}/{subject}" if subject else rule).encode("utf-8", "surrogatepass")
        if state == "over":
            self.client.hdel(name, id_)
        else:
            value = json.dumps({"since": now, "last": now, "told": now, **words})
            self.client.hset(name, id_, value)
        self.client.set(f"{name}:lease", "somebody")
        self.client.lpush(f"{name}:history", json.dumps({"state": state, "at": now, **words}))
