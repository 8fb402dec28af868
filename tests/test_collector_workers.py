"""Workers: several processes on one port, of which one knows the keys."""

import os
import signal
from collections import Counter

from config import Settings
from tests.conftest import RunScript
from tests.support.collecting import Collecting, started
from tests.support.process import children
from tests.support.waiting import until
from tests.test_collector import AN_EVENT


def test_a_key_is_known_to_all_of_them_and_a_dead_one_is_replaced(
    run_script: RunScript, environment: dict[str, str], settings: Settings
) -> None:
    collector = started(run_script, environment, settings, COLLECTOR_WORKERS="3")
    parent = collector.process.pid
    assert len(children(parent)) == 3
    until(lambda: all(ready(collector) for _ in range(20)), 60, str(collector.process))
    for number in range(40):
        body = AN_EVENT | {"message": f"m{number % 10}"}
        assert collector.post("/events", body, Idempotency_Key=f"k{number % 10}").status == 200
    for number in range(10):
        assert collector.post("/events", AN_EVENT | {"message": f"p{number}"}).status == 200
    assert set(Counter(collector.messages()).values()) == {1}
    text = collector.ask("GET", "/metrics").body.decode()
    assert 'log_collector_events_total{protocol="events"} 50.0' in text
    assert "log_collector_outages_total 0.0" in text
    os.kill(children(parent)[0], signal.SIGKILL)
    collector.process.wait_for("replacing it")
    until(lambda: len(children(parent)) == 3, 20)
    until(lambda: all(ready(collector) for _ in range(20)), 60, str(collector.process))
    again = AN_EVENT | {"message": "m1"}
    assert collector.post("/events", again, Idempotency_Key="k1").status == 200
    assert len(collector.values()) == 20
    collector.process.terminate()
    assert collector.process.wait(15) == 0


def ready(collector: Collecting) -> bool:
    try:
        return collector.ask("GET", "/readyz").status == 200
    except OSError:
        return False
