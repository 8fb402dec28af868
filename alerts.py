#!/usr/bin/env python3
"""Redis → people: report when something breaks, and when it is resolved.

Every second, apply the rules in alerts.toml to what consumer.py keeps in Redis. Notices go to the
log, to Redis (logs:alerts, logs:alerts:history), and to ALERT_URLS, unless somebody has muted the
alert on the web page. Several alerts.py may run: one sends the notices, the others stand by.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import closing

import config
from logpipeline import command_line
from logpipeline.alerts import rules
from logpipeline.alerts.metrics import AlertsMetrics, failure_counter
from logpipeline.alerts.targets import TargetError, Targets
from logpipeline.alerts.watch import Watch
from logpipeline.health import Endpoint
from logpipeline.settings import urls
from logpipeline.shutdown import Shutdown
from logpipeline.supervision import Supervision

log = logging.getLogger("alerts")

EXAMPLES = """\
examples:
  python alerts.py                           notify in the log and Redis only
  ALERT_URLS=json://hooks.example.org/logs python alerts.py
  ALERT_URLS='mailto://… slack://…' python alerts.py --test

exit status: 0 after SIGTERM or Ctrl-C, 1 when --test failed for a target, 2 for an invalid rule,
setting or option
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(config.Alerts, argv, __doc__ or "", add_options, EXAMPLES)
    command_line.log_to_stderr()
    failures = failure_counter()
    supervision = Supervision(log, settings, lambda work: failures.labels(work).inc())
    try:
        found = rules.load(settings.alerts_file, settings.redis_max_logs)
        targets = Targets(urls(settings.alert_urls), supervision)
    except (rules.RulesError, TargetError) as error:
        command_line.fail("alerts.py", str(error))
    if options.test:
        return test(targets)
    stop = Shutdown().on_signals()
    with closing(targets), closing(Watch(settings, found, supervision)) as watch:

        def missing() -> str:
            redis = "" if watch.redis_up else "Redis does not answer"
            return "; ".join(filter(None, (supervision.missing(), redis)))

        endpoint = Endpoint(AlertsMetrics(watch, targets, failures).registry, stop, missing)
        endpoint.serve(settings.metrics_host, settings.alerts_metrics_port, "ALERTS_METRICS_PORT")
        run(watch, targets, stop)
    log.info("done: open alerts: %d", len(watch.alerts))
    if targets.is_sending():
        os._exit(0)  # Python would wait for Apprise's thread
    return 0


def run(watch: Watch, targets: Targets, stop: Shutdown) -> None:
    """Read Redis and send notices until a stop."""
    while not stop:
        for notice in watch.read():
            log.warning("%s", notice)
            if not notice.muted:
                targets.notify(notice)
        stop.wait(watch.wait)


def test(targets: Targets) -> int:
    """Send a message to every target. Returns the exit status."""
    failed = targets.try_out()
    for target in targets.each:
        log.info("%s: %s", target.name, "failed" if target.name in failed else "accepted")
    if not targets.each:
        log.info("ALERT_URLS is empty: notices go to the log and Redis only")
    return 1 if failed else 0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--test", action="store_true", help="send a message to each of ALERT_URLS, then exit"
    )


if __name__ == "__main__":
    sys.exit(main())
