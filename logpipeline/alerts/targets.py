"""Targets: whom alerts are sent to, each by a thread of its own, so that none waits for another.

Apprise knows how: mail, Slack, webhooks and a hundred more. Its URLs hold secrets, so a target
is called by its number and kind, "1:mailto", and Apprise's own log lines are not let through.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import count

import apprise

from logpipeline.alerts.alert import Notice
from logpipeline.alerts.trouble import Trouble
from logpipeline.terminal import short

log = logging.getLogger(__name__)

MOST_WAITING = 100  # notices of a target that is down; then the oldest are dropped
MOST_WAIT = 60.0  # seconds between tries; the first are 1, 2, 4, …
GIVE_UP = 3600.0  # seconds after which a notice is no news any more
PATIENCE = 5.0  # seconds for what is still to be sent at the end
TITLE, BODY = 200, 1_000  # characters of a notice
# What a chat may take for a mention (<!channel>, @everyone), HTML, a link, or Markdown's link. A
# space without width after it makes it text.
OBEYED = re.compile(r"@|<|:(?=//)|](?=[(\[])")
SPACE = "\u200b"


class TargetError(Exception):
    """A URL can't be used; str() says which, without it."""


class Target:
    """One URL. `sent` and `lost` count notices."""

    def __init__(self, name: str, service: apprise.Apprise) -> None:
        self.name = name
        self.sent = 0
        self.lost = 0
        self._service = service
        self._waiting: deque[Notice] = deque()
        self._news = threading.Condition()
        self._closing = False
        self.trouble = Trouble(log, name)
        self._thread = threading.Thread(target=self._run, name=f"target {name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Notices in the queue, without the one in hand."""
        return len(self._waiting)

    def tell(self, notice: Notice) -> None:
        """Never waits."""
        with self._news:
            if len(self._waiting) >= MOST_WAITING:
                self._lose(self._waiting.popleft(), f"{MOST_WAITING} others wait")
            self._waiting.append(notice)
            self._news.notify()

    def offer(self, notice: Notice) -> bool:
        """Whether it has taken the notice."""
        try:
            taken = self.send(*message(notice))
        except Exception as error:  # noqa: BLE001 - the thread must live to try again
            self.trouble.had(error)
            return False
        self.trouble.resolve()
        return taken

    def send(self, title: str, body: str, kind: apprise.NotifyType) -> bool:
        """Whether it has taken it."""
        try:
            # As text: a service's name may look like HTML.
            form = apprise.NotifyFormat.TEXT
            return bool(self._service.notify(body, title, kind, body_format=form))
        except Exception as error:  # noqa: BLE001 - of a hundred plugins; its text may be the URL
            log.warning("%s: %s", self.name, type(error).__name__)
            return False

    def close(self) -> None:
        """Let each notice that waits have one last try."""
        with self._news:
            self._closing = True
            self._news.notify()

    def join(self, seconds: float) -> None:
        """Wait for the end of these tries, for so long at most."""
        self._thread.join(seconds)
        with self._news:
            while self._waiting:
                self._lose(self._waiting.popleft(), "alerts.py ends")

    def _run(self) -> None:
        while notice := self._next():
            if self._deliver(notice):
                self.sent += 1
            else:
                self._lose(notice, "it did not take it")

    def _next(self) -> Notice | None:
        """The oldest that waits, once there is one; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.popleft() if self._waiting else None

    def _deliver(self, notice: Notice) -> bool:
        give_up = time.monotonic() + GIVE_UP
        for tries in count():
            if self.offer(notice):
                if tries:
                    log.info("%s takes alerts again", self.name)
                return True
            if not tries:
                log.warning("%s does not take alerts: trying again", self.name)
            with self._news:
                self._news.wait_for(lambda: self._closing, min(2.0**tries, MOST_WAIT))
            if self._closing or time.monotonic() > give_up:
                return False
        return False

    def _lose(self, notice: Notice, why: str) -> None:
        self.lost += 1
        log.error("not sent to %s (%s): %s", self.name, why, notice)


class Targets:
    """All of them. Raises TargetError."""

    def __init__(self, urls: Sequence[str]) -> None:
        for name in ("apprise", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        services = {}
        for number, url in enumerate(urls, 1):
            name = f"{number}:{url.partition('://')[0]}"
            service = apprise.Apprise()
            if not service.add(url):
                allowed = "see https://appriseit.com/services/"
                raise TargetError(f"ALERT_URLS: {name} is no URL that Apprise knows: {allowed}")
            services[name] = service
        self.each = [Target(*both) for both in services.items()]

    def tell(self, notice: Notice) -> None:
        """Send it to all, without waiting for any."""
        for target in self.each:
            try:
                target.tell(notice)
            except Exception as error:  # noqa: BLE001 - the others must get it all the same
                target.lost += 1
                target.trouble.had(error)

    def try_out(self) -> list[str]:
        """Send a message to each and wait for it. Returns the names of those that fail."""
        title, body = "[test] alerts.py", "Alerts of the log pipeline arrive here."
        return [t.name for t in self.each if not t.send(title, body, apprise.NotifyType.INFO)]

    def close(self) -> None:
        """Give what waits a last try, and say what is lost."""
        deadline = time.monotonic() + PATIENCE
        for target in self.each:
            target.close()
        for target in self.each:
            target.join(max(0.0, deadline - time.monotonic()))


def message(notice: Notice) -> tuple[str, str, apprise.NotifyType]:
    """A notice as title, text and Apprise's type, which gives it a colour."""
    kinds = {
        "info": apprise.NotifyType.INFO,
        "warning": apprise.NotifyType.WARNING,
        "critical": apprise.NotifyType.FAILURE,
    }
    over = notice.state == "over"
    about = f"{notice.rule} {notice.subject}".strip()
    title = f"[{notice.state if over else notice.severity}] {about}"
    again = "still open: " if notice.state == "repeat" else ""
    kind = (
        apprise.NotifyType.SUCCESS
        if over
        else kinds.get(notice.severity, apprise.NotifyType.WARNING)
    )
    return harmless(title, TITLE), harmless(again + notice.summary, BODY), kind


def harmless(text: str, most: int) -> str:
    """Text that a chat shows and does not obey, of about `most` characters at most."""
    return OBEYED.sub(rf"\g<0>{SPACE}", short(text, most))
