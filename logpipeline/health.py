"""Health: a process's metrics, liveness and readiness over HTTP, served by a thread.

`/metrics` is for Prometheus. `/healthz` answers 200 while the main loop runs; otherwise the process
should be restarted. `/readyz` answers 200 while the process is connected and working. Otherwise
they answer 503 with a line that gives the reason.

On a loopback address they refuse host names that could be rebound. On other addresses they accept
every name: clients use names that only the network knows (Compose's services, Kubernetes' pods).
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    make_wsgi_app,
)

from logpipeline import hosts
from logpipeline.server import serve
from logpipeline.shutdown import Shutdown

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

STUCK = 60.0  # seconds without an iteration of the main loop; a batch on a slow disk takes a few


class Endpoint:
    """The WSGI application. The main loop checks `stop` in each iteration; `missing` describes what
    keeps the process from working, "" when nothing does."""

    def __init__(
        self, registry: CollectorRegistry, stop: Shutdown, missing: Callable[[], str]
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each
        ProcessCollector(registry=registry)  # memory, CPU, open files
        self._metrics = make_wsgi_app(registry)
        self._stop = stop
        self._missing = missing
        self._names: set[str] = set()  # host names that are answered; empty: all

    def serve(self, host: str, port: int, setting: str = "METRICS_PORT") -> None:
        """Listen for as long as the process lives; port 0 turns it off. A port that cannot be used
        is only logged, with the name of its `setting`."""
        if not port:
            return
        if hosts.is_loopback(host):
            self._names = {"localhost", host.lower()}
        try:
            serve(host, port, self)
        except OSError as error:
            log.warning("metrics are not served: %s=%d on %s: %s", setting, port, host, error)

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        path, host = environ["PATH_INFO"], environ.get("HTTP_HOST")
        if self._names and host is not None and not hosts.is_safe(host, self._names):
            status, text = "421 Misdirected Request", "host name not allowed: use localhost"
        elif path == "/metrics":
            # prometheus_client fails over a version of OpenMetrics that is none.
            body: Iterable[bytes] = self._metrics(environ | {"HTTP_ACCEPT": ""}, start)
            return body
        elif path == "/healthz":
            status, text = self._health()
        elif path == "/readyz":
            status, text = self._readiness()
        else:
            status, text = "404 Not Found", "not found: use /metrics, /healthz or /readyz"
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    def _health(self) -> tuple[str, str]:
        still = time.monotonic() - self._stop.looked
        if still < STUCK:
            return "200 OK", "alive"
        return "503 Service Unavailable", f"the main loop has been stuck for {still:.0f} s"

    def _readiness(self) -> tuple[str, str]:
        missing = self._missing()
        return ("503 Service Unavailable", missing) if missing else ("200 OK", "ready")
