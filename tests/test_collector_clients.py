"""The collector's clients as people run them: each sends through it to logs.txt, once."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from logpipeline.localstack.server import free_port
from tests.support.collecting import Collecting, shared
from tests.support.forked import Forked
from tests.support.process import Process
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("collector_clients")  # one worker has its collector

PATIENCE = 60.0
TRACE = "0af7651916cd43dd8448eb211c80319c"

OPENTELEMETRY = """
import logging, os, warnings
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator

class Ids(IdGenerator):
    def generate_trace_id(self):
        return int("TRACE", 16)
    def generate_span_id(self):
        return 7

provider = LoggerProvider(Resource.create({"service.name": "sdk"}))
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**{arguments})))
logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
with TracerProvider(id_generator=Ids()).get_tracer("t").start_as_current_span("s"):
    for number in range(20):
        logging.getLogger("shop").error("failed %d", number, extra={"order": number})
provider.shutdown()
""".replace("TRACE", TRACE)

ELASTICSEARCH = """
from elasticsearch import Elasticsearch, helpers
client = Elasticsearch("{url}")
assert client.info()["version"]["number"]
done, failed = helpers.bulk(client, (
    {{"_op_type": "create", "_index": "app", "_id": str(n), "message": f"failed {{n}}",
      "log.level": "error", "@timestamp": "2024-03-23T22:56:07.890Z",
      "service": "elastic", "trace_id": "TRACE"}}
    for n in range(20)))
assert (done, failed) == (20, [])
""".replace("TRACE", TRACE)

LOKI = """
import logging, logging_loki
handler = logging_loki.LokiHandler(url="{url}/loki/api/v1/push", version="1",
    tags={{"service": "loki", "trace_id": "TRACE"}})
logging.getLogger("shop").addHandler(handler)
for number in range(20):
    logging.getLogger("shop").error("failed %d", number)
""".replace("TRACE", TRACE)

RSYSLOG = """
module(load="imuxsock" SysSock.Use="off")
module(load="omelasticsearch")
global(workDirectory="{folder}")
input(type="imuxsock" Socket="{folder}/log.sock" createPath="on" UseSpecialParser="off")
template(name="ecs" type="list" option.jsonf="on") {{
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="message" name="msg" format="jsonf" position.from="2")
  property(outname="severity" name="syslogseverity-text" format="jsonf")
  constant(outname="service" value="omelasticsearch" format="jsonf")
}}
template(name="id" type="string" string="%uuid%")
action(type="omfwd" target="127.0.0.1" port="{syslog}" protocol="tcp" TCP_Framing="octet-counted"
  template="RSYSLOG_SyslogProtocol23Format")
action(type="omelasticsearch" server="127.0.0.1" serverport="{http}" template="ecs" bulkmode="on"
  searchIndex="app" searchType="" writeoperation="create" bulkid="id" dynbulkid="on")
"""


class Pipeline:
    """A collector, and a consumer that writes what it takes to logs.txt."""

    def __init__(self, collector: Collecting, syslog: int, logs: Path, folder: Path) -> None:
        self.collector, self.syslog, self.logs, self.folder = collector, syslog, logs, folder

    def events(self, service: str) -> list[dict[str, Any]]:
        lines = self.logs.read_bytes().splitlines() if self.logs.exists() else []
        found = [json.loads(line) for line in lines]
        return [event for event in found if event.get("service") == service]

    def wait_for(self, service: str, count: int) -> list[dict[str, Any]]:
        """The events of a service, once as many are there. Raises AssertionError for more."""
        until(
            lambda: len(self.events(service)) >= count,
            PATIENCE,
            f"{service}: {self.collector.process}",
        )
        assert len(self.events(service)) == count
        return self.events(service)

    def run(self, program: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pipeline(
    kafka_servers: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    folder, port = tmp_path_factory.mktemp("collector"), free_port()
    with shared(kafka_servers, folder, COLLECTOR_SYSLOG_PORT=str(port)) as collector:
        left_out = {field.upper() for field in Settings.model_fields}
        env = {name: value for name, value in os.environ.items() if name not in left_out}
        topic = collector.topic
        env |= {"KAFKA_BOOTSTRAP_SERVERS": kafka_servers, "KAFKA_TOPIC": topic}
        env |= {"REDIS_URL": redis_server, "REDIS_KEY": topic, "METRICS_PORT": "0"}
        env |= {"KAFKA_GROUP_ID": topic, "KAFKA_DEAD_LETTER_TOPIC": f"{topic}.dead-letter"}
        consumer = Forked("consumer.py", [], folder / "consumer.output", env)
        try:
            yield Pipeline(collector, port, folder / "logs.txt", folder)
        finally:
            consumer.kill()


def check(events: list[dict[str, Any]], **fields: object) -> None:
    """Each of 20 events once, with these fields."""
    assert sorted(event["message"] for event in events) == sorted(f"failed {n}" for n in range(20))
    for event in events:
        assert {name: event.get(name) for name in fields} == fields


def test_opentelemetry_s_sdk(pipeline: Pipeline) -> None:
    endpoint = f"{pipeline.collector.url}/v1/logs"
    pipeline.run(OPENTELEMETRY.replace("{arguments}", repr({"endpoint": endpoint})))
    events = pipeline.wait_for("sdk", 20)
    check(events, level="ERROR", trace_id=TRACE, span_id=f"{7:016x}", logger="shop")
    assert all(event["order"] == int(event["message"].split()[1]) for event in events)


def test_elasticsearch_s_client(pipeline: Pipeline) -> None:
    for _ in range(2):  # the ids are known the second time
        pipeline.run(ELASTICSEARCH.format(url=pipeline.collector.url))
    events = pipeline.wait_for("elastic", 20)
    check(events, level="ERROR", trace_id=TRACE, timestamp=1711234567.89)


def test_a_handler_for_loki(pipeline: Pipeline) -> None:
    pipeline.run(LOKI.format(url=pipeline.collector.url))
    check(pipeline.wait_for("loki", 20), level="ERROR", trace_id=TRACE)


@pytest.mark.needs("curl")
def test_curl(pipeline: Pipeline) -> None:
    for number in range(20):
        event = {"level": "ERROR", "message": f"failed {number}", "service": "curl"}
        url = f"{pipeline.collector.url}/events"
        subprocess.run(["curl", "-sSf", "-d", json.dumps(event), url], check=True, timeout=60)
    check(pipeline.wait_for("curl", 20), level="ERROR")


@pytest.mark.needs("logger")
@pytest.mark.parametrize("way", [["--udp"], ["--tcp"], ["--tcp", "--octet-count"]])
def test_logger(pipeline: Pipeline, way: list[str]) -> None:
    service = "logger" + "".join(way)
    for number in range(20):
        server = ["--server", "127.0.0.1", "--port", str(pipeline.syslog), "--tag", service]
        trace = ["--sd-id", "trace@1", "--sd-param", f'trace_id="{TRACE}"']
        text = ["--priority", "user.err", "--rfc5424", f"failed {number}"]
        subprocess.run(["logger", *way, *server, *trace, *text], check=True, timeout=60)
    check(pipeline.wait_for(service, 20), level="ERROR", trace_id=TRACE, facility="user")


@pytest.mark.needs("rsyslogd", "logger")
def test_rsyslog_s_omfwd_and_omelasticsearch(pipeline: Pipeline) -> None:
    folder = pipeline.folder / "rsyslog"
    folder.mkdir()
    ports = {"syslog": pipeline.syslog, "http": pipeline.collector.port}
    (folder / "rsyslog.conf").write_text(RSYSLOG.format(folder=folder, **ports))
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    command = [program, "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    rsyslog = Process(command, folder / "output", dict(os.environ))
    try:
        until((folder / "log.sock").exists, 20, str(rsyslog))
        for number in range(20):
            socket = ["--socket", str(folder / "log.sock"), "--tag", "omfwd"]
            text = ["--priority", "user.err", f"failed {number}"]
            subprocess.run(["logger", *socket, *text], check=True, timeout=60)
        check(pipeline.wait_for("omfwd", 20), level="ERROR", facility="user")
        check(pipeline.wait_for("omelasticsearch", 20), level="ERROR")
    finally:
        rsyslog.kill()
