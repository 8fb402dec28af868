"""Endpoint: what a process says about itself over HTTP, from a thread.

`/metrics` is for Prometheus. `/healthz` is 200 while the main loop turns, else the process
should be started again. `/readyz` is 200 while it is connected and does its work. Else 503, with
a line that says why.

On a loopback address they answer no name that could be rebound. On others they answer any: there
they are asked by names that only the network knows (Compose's services, Kubernetes' pods).
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

STUCK = 60.0  # seconds without a turn of the main loop; a batch on a slow disk takes a few


class Endpoint:
    """Its answers. `stop` is what the main loop looks at each turn; `missing` says what is in
    the way of the process's work, "" when nothing is."""

    def __init__(
        self, registry: CollectorRegistry, stop: Shutdown, missing: Callable[[], str]
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each
        ProcessCollector(registry=registry)  # memory, CPU, open files
        self._metrics = make_wsgi_app(registry)
        self._stop = stop
        self._missing = missing
        self._names: set[str] = set()  # that are answered; none: all

    def serve(self, host: str, port: int, setting: str = "METRICS_PORT") -> None:
        """Listen, for as long as the process lives; 0 is off. A port that is taken is only said,
        with the name of the `setting` that it is from."""
        if not port:
            return
        if hosts.is_loopback(host):
            self._names = {"localhost", host.lower()}
        try:
            serve(host, port, self)
        except OSError as error:
            log.warning("no metrics: %s=%d on %s: %s", setting, port, host, error)

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        path, host = environ["PATH_INFO"], environ.get("HTTP_HOST")
        if self._names and host is not None and not hosts.is_safe(host, self._names):
            status, text = "421 Misdirected Request", "this name is not answered: use localhost"
        elif path == "/metrics":
            # prometheus_client fails over a version of OpenMetrics that is none.
            body: Iterable[bytes] = self._metrics(environ | {"HTTP_ACCEPT": ""}, start)
            return body
        elif path == "/healthz":
            status, text = self._health()
        elif path == "/readyz":
            status, text = self._readiness()
        else:
            status, text = "404 Not Found", "here are /metrics, /healthz and /readyz"
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    def _health(self) -> tuple[str, str]:
        still = time.monotonic() - self._stop.looked
        if still < STUCK:
            return "200 OK", "alive"
        return "503 Service Unavailable", f"the main loop has not turned for {still:.0f} s"

    def _readiness(self) -> tuple[str, str]:
        missing = self._missing()
        return ("503 Service Unavailable", missing) if missing else ("200 OK", "ready")
