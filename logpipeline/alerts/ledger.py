"""Ledger: the open alerts and past notices in Redis, and the lease of the alerts.py that watches.

Any number of alerts.py may run: the one that holds the lease watches, the others stand by. Alerts
are stored only while the lease is held, and notices are sent only after they were stored.
"""

import logging
import secrets
from collections.abc import Iterable, Mapping

import msgspec
import redis

from logpipeline.alerts.alert import Alert, Notice
from logpipeline.recent import fields
from logpipeline.terminal import short

log = logging.getLogger(__name__)

LEASE = 6.0  # seconds until another alerts.py takes over from one that died
HISTORY = 1_000  # notices kept

KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
# KEYS: lease, open alerts, history. ARGV: holder, cap, number of alerts, (id, alert)…, notices…
STORE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local last = 3 + 2 * ARGV[3]
for i = 4, last, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('LPUSH', KEYS[3], ARGV[i]) end
redis.call('LTRIM', KEYS[3], 0, ARGV[2] - 1)
return 1
"""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Ledger:
    """The keys `prefix`:alerts and `prefix`:alerts:*. All methods raise redis.RedisError,
    OSError."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._open = f"{prefix}:alerts"
        self._history = f"{prefix}:alerts:history"
        self._lease = f"{prefix}:alerts:lease"
        self._holder = secrets.token_hex(8)
        self._keep = client.register_script(KEEP)
        self._store = client.register_script(STORE)
        self._release = client.register_script(RELEASE)

    def take(self) -> bool:
        """Take the lease for LEASE seconds; False when another process holds it."""
        return bool(self._redis.set(self._lease, self._holder, nx=True, px=int(LEASE * 1000)))

    def keep(self) -> bool:
        """Extend the lease by LEASE seconds; False when it is lost."""
        return bool(self._keep([self._lease], [self._holder, int(LEASE * 1000)]))

    def release(self) -> None:
        self._release([self._lease], [self._holder])

    def load(self) -> dict[str, Alert]:
        """The open alerts, by id; of more than rules can have, some."""
        alerts = {}
        for name, value in fields.pairs(fields.ask(self._redis, self._open)).items():
            try:
                alert = msgspec.json.decode(value, type=Alert)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                reason = short(str(error), 100)
                log.warning("%s: ignoring %.100r, an invalid alert: %s", self._open, name, reason)
            else:
                alerts[alert.id] = alert
        return alerts

    def store(self, alerts: Mapping[str, Alert], notices: Iterable[Notice]) -> bool:
        """Replace the open alerts, add the notices. Without the lease, return False and change
        nothing."""
        fields = [part for id_, alert in alerts.items() for part in (id_, _json(alert))]
        encoded = [_json(notice) for notice in notices]
        arguments = [self._holder, HISTORY, len(alerts), *fields, *encoded]
        return bool(self._store([self._lease, self._open, self._history], arguments))


def _json(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value)
