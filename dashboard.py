#!/usr/bin/env python3
"""Redis → a web page.

Show the newest events live, with filters and a search over what Redis holds, events per minute by
level, and current problems. The page writes nothing to Redis but mutes of alerts: it can lag or
fail without affecting the pipeline.
"""

import logging
import signal
import sys
from collections.abc import Sequence

import uvicorn

import config
from logpipeline import command_line
from logpipeline.dashboard.app import create_app
from logpipeline.dashboard.connection import HEAD, Connection, Socket
from logpipeline.dashboard.repeats import Repeats
from logpipeline.dashboard.sockets import MESSAGE

log = logging.getLogger("dashboard")

BACKLOG = 128  # connections that wait to be accepted
STOP = 3  # seconds for open connections to end

EXAMPLES = """\
examples:
  python dashboard.py                                       http://127.0.0.1:8080
  python dashboard.py --dashboard-port 8000 --redis-key app
  DASHBOARD_HOST=0.0.0.0 DASHBOARD_PASSWORD=… python dashboard.py

exit status: 0 after SIGTERM or Ctrl-C, 2 for an invalid setting
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, _ = command_line.load(config.Dashboard, argv, __doc__ or "", examples=EXAMPLES)
    command_line.log_to_stderr()
    for handler in logging.getLogger().handlers:
        handler.addFilter(Repeats())
    host, port = settings.dashboard_host, settings.dashboard_port
    with command_line.listen("dashboard.py", "DASHBOARD", host, port, BACKLOG) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(settings),
                http=Connection,
                ws=Socket,
                h11_max_incomplete_event_size=HEAD,
                ws_max_size=MESSAGE,
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=STOP,
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)  # also before the server runs
        log.info("the page is at http://%s:%d", *address(settings))
        server.run(sockets=[listener])
    log.info("done")
    return 0


def address(settings: config.Dashboard) -> tuple[str, int]:
    host = settings.dashboard_host
    return f"[{host}]" if ":" in host else host, settings.dashboard_port


if __name__ == "__main__":
    sys.exit(main())
