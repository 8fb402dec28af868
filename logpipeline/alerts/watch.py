"""Watch: one look at Redis after the other, and what there is to tell about it."""

import logging
import time
from contextlib import suppress

import redis

from logpipeline.alerts.alert import Alert, Notice, follow
from logpipeline.alerts.ledger import Ledger
from logpipeline.alerts.rules import Rules
from logpipeline.alerts.snapshot import History, take
from logpipeline.alerts.trouble import Trouble
from logpipeline.outage import Outage
from logpipeline.recent import redis_client
from logpipeline.recent.settings import RedisSettings

log = logging.getLogger(__name__)

TIMEOUT = 3.0  # seconds for one answer of Redis


class Watch:
    """Watches the pipeline whose Redis keys are in `settings`. `redis_up`: Redis answers;
    `leading`: this is the one that tells, not another process; `trouble`: what nobody foresaw."""

    def __init__(self, settings: RedisSettings, rules: Rules) -> None:
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
        self._history = History(rules.span)
        self.trouble = Trouble(log, "watching")
        self._outage = Outage(log)

    def look(self) -> list[Notice]:
        """What is to be told now: nothing while Redis is away, another process tells, or a look
        fails."""
        try:
            notices = self._look(time.time())
        except (redis.RedisError, OSError) as error:
            if not self._outage:
                reason = redis_client.reason(self._settings, error)
                self._outage.report(f"Redis is away, nothing is watched: {reason}")
                self.outages += 1
            self.redis_up = False
            return []
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look may go well
            self.trouble.had(error)
            return []
        self.trouble.resolve()
        self._outage.resolve("Redis is back")
        self.redis_up = True
        return notices

    def close(self) -> None:
        """Let another process watch at once."""
        if self.leading:
            with suppress(redis.RedisError, OSError):
                self._ledger.release()
        self._redis.close()

    def _look(self, now: float) -> list[Notice]:
        """Raises redis.RedisError, OSError."""
        if not self._leads(now):
            return []
        span, burst_span = self._rules.span, self._rules.burst_span
        self._history.add(take(self._redis, self._key, now, span, burst_span))
        alerts, notices = follow(self.alerts, self._rules, self._rules.read(self._history), now)
        if not self._ledger.store(alerts, notices):
            return []
        self.alerts = alerts
        return notices

    def _leads(self, now: float) -> bool:
        """Whether this is the one that tells, after trying to become it."""
        if self.redis_up and self.leading and self._ledger.keep():
            return True
        before, self.leading = self.leading, self._ledger.take() or self._ledger.keep()
        if self.leading:
            log.info("watching %s: %s", self._key, ", ".join(self._rules.rules))
            # Redis may have been emptied: what was known before is still so.
            self.alerts = self._ledger.load() or self.alerts
            self._history.resume(now)
        elif before is not False:
            log.info("standing by: another alerts.py watches %s", self._key)
        return self.leading
