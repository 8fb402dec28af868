"""Targets: where notices are sent, each by a thread of its own, so that none waits for another.

Apprise sends them: by mail, Slack, webhooks and a hundred other services. Its URLs contain
secrets, so a target is named by its number and scheme, "1:mailto", and Apprise's own log lines are
suppressed.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import count

import apprise

from logpipeline.alerts.alert import SHOWN, Notice
from logpipeline.supervision import Supervision
from logpipeline.terminal import short

log = logging.getLogger(__name__)

MOST_WAITING = 100  # notices queued for a target that is down; then the oldest are dropped
MOST_WAIT = 60.0  # seconds between tries; the first are 1, 2, 4, …
GIVE_UP = 3600.0  # seconds after which a notice is too old to be sent
PATIENCE = 5.0  # seconds to send the queued notices when alerts.py stops
TITLE, BODY = 200, 1_000  # characters of a notice
# What a chat may take for a mention (<!channel>, @everyone), HTML, a link, or a Markdown link. A
# zero-width space after it makes it plain text.
OBEYED = re.compile(r"@|<|:(?=//)|](?=[(\[])")
SPACE = "\u200b"


class TargetError(Exception):
    """A URL is invalid; str() names the target, without the URL."""


class Target:
    """One URL. `sent` and `lost` count notices."""

    def __init__(self, name: str, service: apprise.Apprise, supervision: Supervision) -> None:
        self.name = name
        self.sent = 0
        self.lost = 0
        self._service = service
        self._supervision = supervision
        self._waiting: deque[Notice] = deque()
        self._in_hand: Notice | None = None  # is being sent
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"target {name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Notices in the queue, without the one that is being sent."""
        return len(self._waiting)

    @property
    def is_sending(self) -> bool:
        return self._in_hand is not None

    def notify(self, notice: Notice) -> None:
        """Queue the notice; never wait."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._lose(self._waiting.popleft(), f"{MOST_WAITING} newer notices are queued")
            self._waiting.append(notice)
            self._changed.notify()

    def offer(self, notice: Notice) -> bool:
        """Whether the target has accepted the notice."""
        with self._supervision.optional(self.name):
            return self.send(*message(notice))
        return False

    def send(self, title: str, body: str, kind: apprise.NotifyType) -> bool:
        """Whether the target has accepted the message."""
        try:
            # As text: the name of a service may look like HTML.
            form = apprise.NotifyFormat.TEXT
            return bool(self._service.notify(body, title, kind, body_format=form))
        except Exception as error:  # noqa: BLE001 - of a hundred plugins; its text may be the URL
            log.warning("%s: %s", self.name, type(error).__name__)
            return False

    def close(self) -> None:
        """Give each queued notice one last try."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait for these tries, at most `seconds`."""
        self._thread.join(seconds)
        with self._changed:
            if self._in_hand:
                self._lose(self._in_hand, "no answer before alerts.py stopped")
            while self._waiting:
                self._lose(self._waiting.popleft(), "alerts.py stops")

    def _run(self) -> None:
        while notice := self._next():
            delivered = self._deliver(notice)
            with self._changed:
                self._in_hand = None
                if delivered:
                    self.sent += 1
                else:
                    self._lose(notice, "not accepted")

    def _next(self) -> Notice | None:
        """The oldest queued notice, once there is one; None after close()."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._in_hand = self._waiting.popleft() if self._waiting else None
            return self._in_hand

    def _deliver(self, notice: Notice) -> bool:
        give_up = time.monotonic() + GIVE_UP
        for tries in count():
            if self.offer(notice):
                if tries:
                    log.info("%s accepts notices again", self.name)
                return True
            if not tries:
                log.warning("%s does not accept notices, retrying", self.name)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, min(2.0**tries, MOST_WAIT))
            if self._closing or time.monotonic() > give_up:
                return False
        return False

    def _lose(self, notice: Notice, why: str) -> None:
        self.lost += 1
        log.error("notice lost, not sent to %s (%s): %s", self.name, why, notice)


class Targets:
    """The targets of all URLs. Raises TargetError."""

    def __init__(self, urls: Sequence[str], supervision: Supervision | None = None) -> None:
        for name in ("apprise", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        services = {}
        for number, url in enumerate(urls, 1):
            name = f"{number}:{url.partition('://')[0]}"
            service = apprise.Apprise()
            if not service.add(url):
                must_be = "a URL from https://appriseit.com/services/"
                raise TargetError(f"ALERT_URLS: {name} must be {must_be}")
            services[name] = service
        self._supervision = supervision or Supervision(log)
        self.each = [Target(*both, self._supervision) for both in services.items()]

    def notify(self, notice: Notice) -> None:
        """Queue the notice for each target. When that fails for one, the others still get it."""
        for target in self.each:
            try:
                target.notify(notice)
            except Exception as error:  # noqa: BLE001
                target.lost += 1
                self._supervision.note(target.name, error)

    def try_out(self) -> list[str]:
        """Send a message to each target and wait. Returns the names of those that fail."""
        title, body = "[test] alerts.py", "Alerts from the log pipeline arrive here."
        return [t.name for t in self.each if not t.send(title, body, apprise.NotifyType.INFO)]

    def close(self) -> None:
        """Give queued notices a last try, and report the lost ones."""
        deadline = time.monotonic() + PATIENCE
        for target in self.each:
            target.close()
        for target in self.each:
            target.join(max(0.0, deadline - time.monotonic()))

    def is_sending(self) -> bool:
        """Whether a target has still not answered."""
        return any(target.is_sending for target in self.each)


def message(notice: Notice) -> tuple[str, str, apprise.NotifyType]:
    """A notice as title, text and Apprise type, which sets the colour."""
    kinds = {
        "info": apprise.NotifyType.INFO,
        "warning": apprise.NotifyType.WARNING,
        "critical": apprise.NotifyType.FAILURE,
    }
    resolved = notice.state == "over"
    about = f"{notice.rule} {notice.subject}".strip()
    title = f"[{SHOWN[notice.state] if resolved else notice.severity}] {about}"
    prefix = f"{SHOWN[notice.state]}: " if notice.state == "repeat" else ""
    kind = (
        apprise.NotifyType.SUCCESS
        if resolved
        else kinds.get(notice.severity, apprise.NotifyType.WARNING)
    )
    return harmless(title, TITLE), harmless(prefix + notice.summary, BODY), kind


def harmless(text: str, most: int) -> str:
    """Text that a chat shows without obeying it, cut to about `most` characters."""
    return OBEYED.sub(rf"\g<0>{SPACE}", short(text, most))
