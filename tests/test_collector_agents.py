"""Agents whose programs are not here: the requests that they send, by their documentation and
sources, become one event each, with level, time, service and trace."""

import gzip
import json
from collections.abc import Iterator

import pytest

from tests.support.collecting import Collecting, shared
from tests.test_collector import otlp_request

pytestmark = pytest.mark.xdist_group("collector_agents")  # one worker has its collector

TRACE = "0af7651916cd43dd8448eb211c80319c"
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def collector(kafka_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collecting]:
    with shared(kafka_servers, tmp_path_factory.mktemp("collector")) as collecting:
        yield collecting


def bulk(action: object, document: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in (action, document))


FILEBEAT = bulk(
    {"create": {"_index": "filebeat-8.17.0"}},
    {
        "@timestamp": "2024-03-23T22:56:07.890Z",
        "log": {"offset": 123, "file": {"path": "/var/log/shop.log"}, "level": "error"},
        "message": "filebeat",
        "service": {"name": "shop"},
        "trace": {"id": TRACE},
        "ecs": {"version": "8.0.0"},
        "host": {"name": "h1"},
        "agent": {"type": "filebeat", "version": "8.17.0"},
    },
)
VECTOR = bulk(
    {"create": {"_index": "vector-2024.03.23", "_type": "_doc"}},
    {
        "timestamp": "2024-03-23T22:56:07.890Z",
        "message": "vector",
        "level": "error",
        "service": "shop",
        "trace_id": TRACE,
        "source_type": "file",
    },
)
FLUENT_BIT = bulk(
    {"create": {"_index": "fluent-bit", "_type": "_doc"}},
    {
        "@timestamp": "2024-03-23T22:56:07.890Z",
        "log": "fluent-bit",
        "severity": "error",
        "service": "shop",
        "trace_id": TRACE,
    },
)
ALLOY = {
    "streams": [
        {
            "stream": {"service_name": "shop", "filename": "/var/log/shop.log"},
            "values": [
                ["1711234567890000000", "alloy", {"trace_id": TRACE, "detected_level": "error"}]
            ],
        }
    ]
}
FILTER = "filter_path=errors%2Citems.%2A.error%2Citems.%2A.status"
# Agent → path, body, Content-Type, further headers.
REQUESTS: dict[str, tuple[str, bytes, str, dict[str, str]]] = {
    "filebeat": (f"/_bulk?{FILTER}", FILEBEAT, "application/json; charset=UTF-8", {}),
    "vector": ("/_bulk", gzip.compress(VECTOR), NDJSON, {"Content_Encoding": "gzip"}),
    "fluent-bit": ("/_bulk/?pipeline=", FLUENT_BIT, NDJSON, {}),
    "alloy": ("/loki/api/v1/push", json.dumps(ALLOY).encode(), "application/json", {}),
}


@pytest.mark.parametrize("agent", REQUESTS)
def test_its_request_is_one_event(collector: Collecting, agent: str) -> None:
    collector.forget()
    path, body, kind, headers = REQUESTS[agent]
    answer = collector.post(path, body, kind, **headers)
    assert answer.status in {200, 204}, answer
    [event] = collector.events()
    assert event["message"] == agent
    assert (event["level"], event["timestamp"]) == ("ERROR", 1711234567.89)
    assert (event["service"], event["trace_id"]) == ("shop", TRACE)


def test_a_collector_of_opentelemetry_retries_what_it_should(collector: Collecting) -> None:
    collector.forget()
    body = gzip.compress(otlp_request(2).SerializeToString())
    answer = collector.post(
        "/v1/logs", body, "application/x-protobuf", Content_Encoding="gzip", User_Agent="OTel"
    )
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert collector.messages() == ["failed 0", "failed 1"]


def test_filebeat_s_setup_is_answered(collector: Collecting) -> None:
    root = collector.ask("GET", "/")
    assert root.json["version"]["build_flavor"] == "default"
    assert collector.ask("GET", "/_license?human=false").json["license"]["type"] == "basic"
    assert collector.ask("HEAD", "/_index_template/filebeat-8.17.0").status == 200
    assert collector.ask("GET", "/_ilm/policy/filebeat").status == 200
    assert collector.ask("PUT", "/_data_stream/filebeat-8.17.0").status == 200
