#!/usr/bin/env python3
"""HTTP, OpenTelemetry, Loki, Elasticsearch's bulk and syslog → Kafka.

A front door for what is neither a file nor a Python program. What it has answered with success is
in Kafka, on all replicas. It listens on this machine alone unless COLLECTOR_TOKEN is set.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvloop

import config
from logpipeline import command_line, hosts
from logpipeline.collector import workers
from logpipeline.collector.listener import Listener
from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.collector.settings import tokens
from logpipeline.events.redaction import Redaction
from logpipeline.metrics import total
from logpipeline.shutdown import Shutdown

log = logging.getLogger("collector")

PROGRAM = "collector.py"
BACKLOG = 1_024  # connections that wait to be accepted
SHORT = 16  # characters; shorter tokens can be guessed

EXAMPLES = """\
examples:
  python collector.py                                http://127.0.0.1:4318
  curl -d '{"level": "ERROR", "message": "Payment failed"}' http://127.0.0.1:4318/events
  python collector.py --collector-syslog-port 5514   and syslog, UDP and TCP
  COLLECTOR_HOST=0.0.0.0 COLLECTOR_TOKEN_FILE=/run/secrets/collector python collector.py

exit status: 0 after SIGTERM or Ctrl-C, 2 for an invalid setting
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, _ = command_line.load(config.Collector, argv, __doc__ or "", examples=EXAMPLES)
    command_line.log_to_stderr()
    stop = Shutdown().on_signals()
    redaction = command_line.resolved(PROGRAM, settings.redaction)
    host, port = settings.collector_host, settings.collector_port
    with command_line.listen(PROGRAM, "COLLECTOR", host, port, BACKLOG) as listener:
        warn(settings)
        log.info("listening on %s", addresses(settings))
        if settings.collector_workers == 1:
            serve(settings, redaction, listener, stop)
        else:
            share = partial(serve, settings, redaction, listener, stop)
            workers.run(settings.collector_workers, share, stop)
    log.info("done")
    return 0


def serve(
    settings: config.Collector,
    redaction: Redaction | None,
    listener: socket.socket,
    stop: Shutdown,
    number: int = 0,
    folder: Path | None = None,
) -> None:
    """Answer requests in this process until `stop`, and log the totals."""
    metrics = CollectorMetrics()
    redact = redaction.event if redaction else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Listener(settings, metrics, number, folder, redact).serve(listener, stop))
    if redaction:
        log.info("redacted %s", redaction.summary() or "nothing")
    count, refused = total(metrics.events), total(metrics.refused)
    log.info("%s events stored, %s refused", f"{count:,}", f"{refused:,}")


def warn(settings: config.Collector) -> None:
    """Warn of what strangers could do."""
    if any(len(token) < SHORT for token in tokens(settings.collector_token)):
        log.warning("COLLECTOR_TOKEN has fewer than %d characters: it can be guessed", SHORT)
    if (
        settings.collector_syslog_port
        and not hosts.is_loopback(settings.collector_host)
        and not settings.collector_ssl_cafile
    ):
        log.warning(
            "syslog has no tokens: anyone who can reach COLLECTOR_HOST=%s can write by it; "
            "set COLLECTOR_SSL_CAFILE to require certificates over TCP",
            settings.collector_host,
        )


def addresses(settings: config.Collector) -> str:
    host = settings.collector_host
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.collector_ssl_certfile else "http"
    syslog = settings.collector_syslog_port
    also = f", syslog on {shown}:{syslog}" if syslog else ""
    return f"{scheme}://{shown}:{settings.collector_port}{also}"


if __name__ == "__main__":
    sys.exit(main())
