"""collector.py: what it takes in each protocol, what Kafka has of it, and what it answers."""

import gzip
import json
import re
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import snappy
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from config import Settings
from logpipeline.localstack.server import free_port
from tests.conftest import RunScript
from tests.support.collecting import Collecting, shared, started
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("collector")  # one worker has its collector

AN_EVENT = {"level": "ERROR", "message": "Payment failed", "timestamp": 1711234567.89}


@pytest.fixture(scope="module")
def running(kafka_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collecting]:
    with shared(kafka_servers, tmp_path_factory.mktemp("collector")) as collecting:
        yield collecting


@pytest.fixture
def collector(running: Collecting) -> Collecting:
    running.forget()
    return running


class TestEvents:
    def test_an_event_an_array_and_lines_are_stored_as_they_are(
        self, collector: Collecting
    ) -> None:
        def event(number: int) -> dict[str, object]:
            return AN_EVENT | {"message": f"m{number}", "service": "shop", "order": number}

        lines = b"\n".join(json.dumps(event(number)).encode() for number in (4, 5))
        pretty = json.dumps(event(6), indent=2).encode()
        for body in (event(1), [event(2), event(3)], lines, pretty):
            answer = collector.post("/events", body)
            assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert sorted(collector.events(), key=lambda each: each["order"]) == [
            event(number) for number in range(1, 7)
        ]

    def test_a_logger_s_json_is_mapped(self, collector: Collecting) -> None:
        pino = {"level": 50, "time": 1711234567890, "msg": "down", "pid": 7, "hostname": "a"}
        assert collector.post("/events", pino).status == 200
        [event] = collector.events()
        assert event == {
            "level": "ERROR",
            "message": "down",
            "timestamp": 1711234567.89,
            "pid": 7,
            "hostname": "a",
        }

    def test_what_is_invalid_is_named_and_the_others_are_in(self, collector: Collecting) -> None:
        deep = "[" * 200 + "]" * 200
        body = [AN_EVENT | {"message": "first"}, 7, "text", {"a": json.loads(deep)}]
        body.append({"message": "x" * 2_000_000})
        answer = collector.post("/events", [*body, AN_EVENT | {"message": "last"}])
        assert answer.status == 400
        assert answer.json["accepted"] == 2
        assert [each["index"] for each in answer.json["errors"]] == [1, 2, 3, 4]
        reasons = [each["error"] for each in answer.json["errors"]]
        assert reasons[0] == reasons[1] == "not a JSON object"
        assert "nested too deeply" in reasons[2]
        assert "too large" in reasons[3]
        assert collector.messages() == ["first", "last"]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"[1,", 400),
            (b"[" * 10_000, 400),
            (b'{"a":' * 10_000, 400),
            (b'{"message": "\xff"}', 400),
            (b"[" + b"1," * 600_000 + b"1]", 413),
            (b"x" * 9_000_000, 413),
        ],
    )
    def test_a_body_without_an_event_is_refused(
        self, collector: Collecting, body: bytes, status: int
    ) -> None:
        answer = collector.post("/events", body)
        assert answer.status == status
        assert answer.json["error"]
        assert collector.values() == []


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("zstd", lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data)),
        ("snappy", snappy.compress),
        ("snappy", lambda data: snappy.StreamCompressor().compress(data)),
        ("identity", bytes),
    ],
)
def test_a_compressed_body_is_expanded_whole_within_bounds(
    collector: Collecting, encoding: str, compress: object
) -> None:
    assert callable(compress)
    body = json.dumps(AN_EVENT).encode()
    assert collector.post("/events", compress(body), Content_Encoding=encoding).status == 200
    assert collector.events() == [AN_EVENT]
    if encoding == "identity":
        return
    truncated = collector.post("/events", compress(body)[:-3], Content_Encoding=encoding)
    assert truncated.status == 400
    bomb = collector.post("/events", compress(bytes(20_000_000)), Content_Encoding=encoding)
    assert bomb.status == 413
    assert len(collector.values()) == 1


def test_an_unknown_encoding_or_type_is_refused(collector: Collecting) -> None:
    assert collector.post("/events", AN_EVENT, Content_Encoding="br").status == 415
    assert collector.post("/events", AN_EVENT, "multipart/form-data").status == 415
    assert collector.post("/v1/logs", AN_EVENT, "text/plain").status == 415
    assert collector.post("/loki/api/v1/push", AN_EVENT, "text/plain").status == 415
    assert collector.post("/_bulk", AN_EVENT, "text/plain").status == 415
    assert collector.post("/elsewhere", AN_EVENT).status == 404
    assert collector.ask("GET", "/events").status == 405


def otlp_request(count: int = 1) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    attribute = logs.resource.attributes.add(key="service.name")
    attribute.value.string_value = "shop"
    logs.resource.attributes.add(key="host.name").value.string_value = "h1"
    scope = logs.scope_logs.add()
    scope.scope.name = "shop.pay"
    for number in range(count):
        record = scope.log_records.add(
            time_unix_nano=1711234567_123456789,
            severity_number=17,
            severity_text="Error",
            trace_id=bytes(range(16)),
            span_id=bytes(range(8)),
        )
        record.body.string_value = f"failed {number}"
        record.attributes.add(key="order").value.int_value = number
    return request


# A scope of 300,000 empty records.
MANY_EMPTY_RECORDS = b"\x0a\xc4\xcf\x24\x12\xc0\xcf\x24" + b"\x12\0" * 300_000
OTLP_EVENT = {
    "level": "ERROR",
    "message": "failed 0",
    "timestamp": 1711234567.123456789,
    "service": "shop",
    "host.name": "h1",
    "logger": "shop.pay",
    "order": 0,
    "trace_id": "000102030405060708090a0b0c0d0e0f",
    "span_id": "0001020304050607",
}


class TestOtlp:
    def test_protobuf_keeps_every_field_and_nanosecond(self, collector: Collecting) -> None:
        body = otlp_request().SerializeToString()
        answer = collector.post("/v1/logs", body, "application/x-protobuf")
        assert (answer.status, answer.body) == (200, b"")
        [value] = collector.values()
        assert b'"timestamp":1711234567.123456789' in value
        assert json.loads(value) == OTLP_EVENT

    def test_json_means_the_same(self, collector: Collecting) -> None:
        record = {
            "timeUnixNano": "1711234567123456789",
            "severityNumber": "SEVERITY_NUMBER_ERROR",
            "body": {"stringValue": "failed 0"},
            "attributes": [{"key": "order", "value": {"intValue": "0"}}],
            "traceId": "000102030405060708090a0b0c0d0e0f",
            "spanId": "0001020304050607",
        }
        names = {"service.name": "shop", "host.name": "h1"}
        pairs = [{"key": key, "value": {"stringValue": value}} for key, value in names.items()]
        scope = {"scope": {"name": "shop.pay"}, "logRecords": [record]}
        request = {"resourceLogs": [{"resource": {"attributes": pairs}, "scopeLogs": [scope]}]}
        answer = collector.post("/v1/logs", request)
        assert (answer.status, answer.json) == (200, {})
        [value] = collector.values()
        assert b'"timestamp":1711234567.123456789' in value
        assert json.loads(value) == OTLP_EVENT

    def test_a_partial_success_names_what_was_rejected(self, collector: Collecting) -> None:
        request = otlp_request(3)
        request.resource_logs[0].scope_logs[0].log_records[1].body.string_value = "x" * 1_500_000
        answer = collector.post("/v1/logs", request.SerializeToString(), "application/x-protobuf")
        assert answer.status == 200
        partial = ExportLogsServiceResponse.FromString(answer.body).partial_success
        assert partial.rejected_log_records == 1
        assert "record 1: too large" in partial.error_message
        assert collector.messages() == ["failed 0", "failed 2"]

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            (b"\x0a\xff\xff\xff\xff\x0f", "application/x-protobuf", 400),
            (b"garbage", "application/x-protobuf", 400),
            (b"{", "application/json", 400),
            (b'{"resourceLogs": 7}', "application/json", 400),
            (MANY_EMPTY_RECORDS, "application/x-protobuf", 413),
        ],
    )
    def test_a_broken_request_gets_a_status(
        self, collector: Collecting, body: bytes, kind: str, status: int
    ) -> None:
        answer = collector.post("/v1/logs", body, kind)
        assert (answer.status, answer.headers["content-type"]) == (status, kind)
        assert collector.values() == []


class TestLoki:
    def test_json_with_labels_and_metadata(self, collector: Collecting) -> None:
        stream = {"stream": {"app": "shop", "level": "warn", "pod": "p1"}}
        values = [
            ["1711234567123456789", "slow", {"trace_id": "abc"}],
            ["1711234567000000000", "b"],
        ]
        answer = collector.post("/loki/api/v1/push", {"streams": [stream | {"values": values}]})
        assert (answer.status, answer.body) == (204, b"")
        first, second = sorted(collector.events(), key=lambda each: -each["timestamp"])
        labels = {"app": "shop", "service": "shop", "level": "WARNING", "pod": "p1"}
        assert {name: first[name] for name in labels} == labels
        assert (first["message"], first["trace_id"]) == ("slow", "abc")
        assert second["timestamp"] == 1711234567

    def test_snappy_and_protobuf_mean_the_same(self, collector: Collecting) -> None:
        def field(number: int, data: bytes) -> bytes:
            return bytes([number << 3 | 2, len(data)]) + data

        metadata = field(3, field(1, b"trace_id") + field(2, b"abc"))
        stamp = b"\x08\x87\xf9\xfd\xaf\x06\x10\x95\x9a\xef\x3a"  # 1711242375 s, 123456789 ns
        entry = field(1, stamp) + field(2, b"slow") + metadata
        stream = field(1, b'{app="shop", level="warn"}') + field(2, entry)
        body = snappy.compress(field(1, stream))
        answer = collector.post("/loki/api/v1/push", body, "application/x-protobuf")
        assert answer.status == 204
        [value] = collector.values()
        assert b'"timestamp":1711242375.123456789' in value
        event = json.loads(value)
        assert (event["service"], event["level"], event["trace_id"]) == ("shop", "WARNING", "abc")

    def test_an_invalid_entry_is_named_and_the_others_are_in(self, collector: Collecting) -> None:
        values = [["x", "a"], ["1711234567000000000", "b"], [1]]
        answer = collector.post("/loki/api/v1/push", {"streams": [{"values": values}]})
        assert answer.status == 400
        assert b"entry 0: its time" in answer.body
        assert b"entry 2: " in answer.body
        assert collector.messages() == ["b"]


class TestBulk:
    def test_create_and_index_are_stored(self, collector: Collecting) -> None:
        lines: list[object] = [
            {"create": {"_index": "app"}},
            {"@timestamp": "2024-03-23T22:56:07.890Z", "message": "a", "log": {"level": "warn"}}
            | {"service": {"name": "shop", "version": "2"}, "trace": {"id": "abc"}},
            {"index": {"_index": "app", "_id": "7"}},
            AN_EVENT,
        ]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        answer = collector.post("/_bulk", body, "application/x-ndjson")
        assert answer.status == 200
        assert answer.headers["x-elastic-product"] == "Elasticsearch"
        assert answer.json["errors"] is False
        first, second = answer.json["items"]
        assert first["create"]["status"] == 201
        assert (second["index"]["_index"], second["index"]["_id"]) == ("app", "7")
        event, other = sorted(collector.events(), key=lambda each: str(each["message"] != "a"))
        assert other == AN_EVENT
        assert event == {
            "level": "WARNING",
            "message": "a",
            "timestamp": 1711234567.89,
            "service": "shop",
            "service.version": "2",
            "trace_id": "abc",
        }

    def test_an_invalid_item_has_its_own_status(self, collector: Collecting) -> None:
        body = b'{"create":{}}\n{"message":"a"}\n{"create":{}}\n{broken\n{"delete":{"_id":"1"}}\n'
        answer = collector.post("/app/_bulk", body)
        assert answer.json["errors"] is True
        statuses = [next(iter(item.values()))["status"] for item in answer.json["items"]]
        assert statuses == [201, 400, 400]
        assert "broken JSON" in answer.json["items"][1]["create"]["error"]["reason"]
        assert collector.messages() == ["a"]

    def test_its_clients_look_ups_are_answered(self, collector: Collecting) -> None:
        root = collector.ask("GET", "/")
        assert root.headers["x-elastic-product"] == "Elasticsearch"
        assert root.json["version"]["number"].startswith("8.")
        for path in ("_license", "_xpack", "_index_template/x", "_ilm/policy/x", "_cluster/health"):
            assert collector.ask("GET", f"/{path}").status == 200
        assert collector.ask("HEAD", "/").status == 200
        assert collector.ask("PUT", "/_index_template/x", b"{}").json == {"acknowledged": True}

    @pytest.mark.parametrize("body", [b"", b'{"create":{}}\n', b"{}\n{}\n", b"x\n{}\n"])
    def test_a_broken_request_is_refused_as_a_whole(
        self, collector: Collecting, body: bytes
    ) -> None:
        answer = collector.post("/app/_bulk", body)
        assert answer.status == 400
        assert answer.json["error"]["reason"]
        assert collector.values() == []


def test_it_shows_its_health_and_metrics_and_stops_with_totals(
    run_script: RunScript, environment: dict[str, str], settings: Settings
) -> None:
    collector = started(run_script, environment, settings)
    assert collector.ask("GET", "/healthz").body == b"alive\n"
    collector.post("/events", [AN_EVENT, AN_EVENT, 7])
    text = collector.ask("GET", "/metrics").body.decode()
    assert 'log_collector_events_total{protocol="events"} 2.0' in text
    assert 'log_collector_refused_events_total{protocol="events"} 1.0' in text
    assert "log_collector_kafka_up 1.0" in text
    collector.process.terminate()
    assert collector.process.wait(10) == 0
    assert "2 events stored, 1 refused" in collector.process.output()


def test_what_redact_names_is_replaced_before_kafka_in_every_protocol(
    run_script: RunScript, environment: dict[str, str], settings: Settings
) -> None:
    syslog = free_port()
    variables = {"REDACT": "email", "REDACT_KEY": "k", "COLLECTOR_SYSLOG_PORT": str(syslog)}
    collector = started(run_script, environment, settings, **variables)
    event = AN_EVENT | {"message": "for ada@example.org", "user": {"mail": "ada@example.org"}}
    assert collector.post("/events", event).status == 200
    for _ in range(2):  # the repeated one is still recognised
        assert collector.post("/events", event, Idempotency_Key="a").status == 200
    bulk = b'{"create":{}}\n{"message":"for ada@example.org"}\n'
    assert collector.post("/app/_bulk", bulk).status == 200
    with socket.create_connection(("127.0.0.1", syslog), timeout=10) as connection:
        connection.sendall(b"<11>for ada@example.org\n")
        connection.sendall(b"<11>" + b"x" * (2**16 - 10) + b" ada@example.org\n")  # cut there
    with collector.keeping():
        until(lambda: len(collector.values()) == 5, 20, str(collector.process))
        assert not [value for value in collector.values() if b"ada" in value]
        [message] = {each["message"] for each in collector.events() if "xxx" not in each["message"]}
        large = AN_EVENT | {"message": "a@b.cd " * 100_000}  # larger than Kafka takes once redacted
        assert collector.post("/events", [event, large]).status == 200
        [cut] = [each for each in collector.values() if len(each) > 100_000]
        assert json.loads(cut).keys() == AN_EVENT.keys()
        assert b"[cut: the line has " in cut
        assert re.fullmatch(r"for \[email:[0-9a-f]{12}\]", message)
        assert not [value for value in collector.values() if b"example.org" in value]
    collector.process.terminate()
    assert collector.process.wait(10) == 0
    assert "redacted 100,010 email" in collector.process.output()


def test_an_invalid_pattern_of_redact_file_is_refused_in_one_line(
    run_script: RunScript, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "patterns"
    path.write_text("(\n")
    process = run_script("collector.py", env=environment | {"REDACT_FILE": str(path)})
    assert process.wait(20) == 2
    [line] = process.output().splitlines()
    assert f"REDACT_FILE='{path}': line 1 must be a regular expression" in line
