"""Watch: reading the pipeline's state from Redis, again and again, and the resulting notices."""

import logging
import time
from contextlib import suppress

import redis

from logpipeline.alerts.alert import Alert, Notice, follow
from logpipeline.alerts.ledger import Ledger
from logpipeline.alerts.mutes import Mutes
from logpipeline.alerts.rules import Rules
from logpipeline.alerts.snapshot import History, take
from logpipeline.outage import Outage
from logpipeline.recent import redis_client
from logpipeline.recent.settings import RedisSettings
from logpipeline.supervision import Supervision
from logpipeline.terminal import short

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between reads of Redis
TIMEOUT = 3.0  # seconds for one answer of Redis
NAMES = 300  # characters of the muted alerts in a log line
STEP = "watch"  # its name in log lines and metrics


class Watch:
    """Watches the pipeline whose Redis keys are in `settings`. `redis_up`: Redis answers;
    `leading`: this process sends the notices, None until that is known."""

    def __init__(
        self, settings: RedisSettings, rules: Rules, supervision: Supervision | None = None
    ) -> None:
        self.alerts: dict[str, Alert] = {}
        self.redis_up = False
        self.outages = 0  # of Redis
        self.leading: bool | None = None
        self.rules = rules.rules
        self._rules = rules
        self._key = settings.redis_key
        self._settings = settings
        self._redis = redis_client.connect(settings, TIMEOUT)
        self._ledger = Ledger(self._redis, self._key)
        self._mutes = Mutes(self._redis, self._key)
        self.muted: dict[str, float] = {}  # id → the Unix time at which its mute ends
        self._history = History(rules.span)
        self._supervision = supervision or Supervision(log, settings)
        self.wait = INTERVAL  # seconds until the next read
        self._outage = Outage(log)

    def read(self) -> list[Notice]:
        """The notices to send now: none while Redis is unavailable, another process leads, or
        reading fails."""
        self.wait = INTERVAL
        try:
            notices = self._read(time.time())
        except (redis.RedisError, OSError) as error:
            if not self._outage:
                reason = redis_client.reason(self._settings, error)
                self._outage.report(f"Redis unavailable; alerts are paused: {reason}")
                self.outages += 1
            self.redis_up = False
            return []
        except Exception as error:  # noqa: BLE001 - whatever it is, the next read may succeed
            self.wait = max(INTERVAL, self._supervision.note(STEP, error))
            return []
        self._supervision.resolve(STEP)
        self._outage.resolve("Redis available again; alerts resumed")
        self.redis_up = True
        return notices

    def close(self) -> None:
        """Release the lease, so that another process takes over at once."""
        if self.leading:
            with suppress(redis.RedisError, OSError):
                self._ledger.release()
        self._redis.close()

    def _read(self, now: float) -> list[Notice]:
        """Raises redis.RedisError, OSError."""
        if not self._leads(now):
            return []
        span, burst_span = self._rules.span, self._rules.burst_span
        self._history.add(take(self._redis, self._key, now, span, burst_span))
        muted = self._mutes.load(now)
        found = self._rules.read(self._history)
        alerts, notices = follow(self.alerts, self._rules, found, now, muted)
        if not self._ledger.store(alerts, notices):
            return []
        if muted.keys() != self.muted.keys():
            log.info("muted alerts: %s", short(", ".join(sorted(muted)) or "none", NAMES))
        self.alerts, self.muted = alerts, muted
        return notices

    def _leads(self, now: float) -> bool:
        """Whether this process holds the lease, after trying to take it."""
        if self.redis_up and self.leading and self._ledger.keep():
            return True
        before, self.leading = self.leading, self._ledger.take() or self._ledger.keep()
        if self.leading:
            log.info("watching %s: %s", self._key, ", ".join(self._rules.rules))
            # Redis may have been emptied: the alerts in memory are still open.
            self.alerts = self._ledger.load() or self.alerts
            self._history.resume(now)
        elif before is not False:
            log.info("standing by: another alerts.py is watching %s", self._key)
        return self.leading
