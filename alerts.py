#!/usr/bin/env python3
"""Redis → people: tells when something breaks, and when it is over.

Looks every second at what the consumer keeps in Redis, by the rules in alerts.toml. What there
is to tell goes to the log, to Redis (logs:alerts, logs:alerts:history), and to ALERT_URLS.
Several may run: one tells, the others stand by.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import closing

import config
from logpipeline import command_line
from logpipeline.alerts import rules
from logpipeline.alerts.metrics import AlertsMetrics
from logpipeline.alerts.targets import TargetError, Targets
from logpipeline.alerts.watch import Watch
from logpipeline.health import Endpoint
from logpipeline.settings import urls
from logpipeline.shutdown import Shutdown

log = logging.getLogger("alerts")

LOOK = 1.0  # seconds between looks at Redis

EXAMPLES = """\
examples:
  python alerts.py                           to the log and Redis alone
  ALERT_URLS=json://hooks.example.org/logs python alerts.py
  ALERT_URLS='mailto://… slack://…' python alerts.py --test

exit status: 0 after SIGTERM or Ctrl-C, 1 when --test reached not all, 2 for a rule, a setting
or an option that can't be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(config.Alerts, argv, __doc__ or "", add_options, EXAMPLES)
    command_line.log_to_stderr()
    try:
        found = rules.load(settings.alerts_file, settings.redis_max_logs)
        targets = Targets(urls(settings.alert_urls))
    except (rules.RulesError, TargetError) as error:
        command_line.fail("alerts.py", str(error))
    if options.test:
        return test(targets)
    stop = Shutdown().on_signals()
    with closing(targets), closing(Watch(settings, found)) as watch:
        metrics = AlertsMetrics(watch, targets)
        endpoint = Endpoint(metrics.registry, stop, metrics.missing)
        endpoint.serve(settings.metrics_host, settings.alerts_metrics_port, "ALERTS_METRICS_PORT")
        run(watch, targets, stop)
    log.info("done: %d alerts are open", len(watch.alerts))
    return 0


def run(watch: Watch, targets: Targets, stop: Shutdown) -> None:
    """Look, and tell what there is to tell, until a stop."""
    while not stop:
        for notice in watch.look():
            log.warning("%s", notice)
            targets.tell(notice)
        stop.wait(max(LOOK, watch.trouble.wait))


def test(targets: Targets) -> int:
    """Send a message to every target. Returns the exit status."""
    failed = targets.try_out()
    for target in targets.each:
        log.info("%s: %s", target.name, "failed" if target.name in failed else "took it")
    if not targets.each:
        log.info("ALERT_URLS is empty: alerts go to the log and to Redis alone")
    return 1 if failed else 0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--test", action="store_true", help="send a message to ALERT_URLS and end")


if __name__ == "__main__":
    sys.exit(main())
