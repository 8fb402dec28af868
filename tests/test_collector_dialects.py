"""Dialects of the collector: requests of every shape that their protocols allow, without Kafka."""

import base64
import json
from typing import Any

import pytest
import snappy

from logpipeline.collector.bulk import BulkDialect
from logpipeline.collector.exchange import Batch, Call, Dialect, Invalid, Writer
from logpipeline.collector.loki import LokiDialect, labels_of
from logpipeline.collector.otlp import OtlpDialect
from logpipeline.collector.plain import PlainDialect
from logpipeline.events.event import is_event

JSON, NDJSON, PROTOBUF = "application/json", "application/x-ndjson", "application/x-protobuf"
SHOP = Writer("shop", b"token", "127.0.0.1")
ANYONE = Writer(address="127.0.0.1")
STAMP = "1711234567890123456"
TRACE, SPAN = bytes(range(16)), bytes(range(8))


def read(
    dialect: Dialect, body: object, kind: str = JSON, path: str = "/", writer: Writer = ANYONE
) -> Batch:
    """What a dialect finds in a body, which is bytes, or becomes JSON. Raises Invalid."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    batch = dialect.read(Call("POST", path, b"", {b"content-type": kind.encode()}, data, writer))
    assert all(is_event(value) for _, value in batch.pairs)
    return batch


def events(batch: Batch) -> list[dict[str, Any]]:
    return [json.loads(value) for _, value in batch.pairs]


def otlp(*records: object, **resource: str) -> dict[str, object]:
    """A request with these records; `a_b` is the attribute a.b of their resource."""
    pairs = [
        {"key": name.replace("_", "."), "value": {"stringValue": value}}
        for name, value in resource.items()
    ]
    logs = {"resource": {"attributes": pairs}, "scopeLogs": [{"logRecords": list(records)}]}
    return {"resourceLogs": [logs]}


def attributes(**values: object) -> list[object]:
    return [{"key": name, "value": value} for name, value in values.items()]


class TestOtlpJson:
    @pytest.mark.parametrize(
        ("stated", "level"),
        [
            ({"severityNumber": 1}, "DEBUG"),
            ({"severityNumber": "17"}, "ERROR"),
            ({"severityNumber": "SEVERITY_NUMBER_WARN3"}, "WARNING"),
            ({"severityNumber": 24}, "CRITICAL"),
            ({"severityText": "Fatal"}, "CRITICAL"),
            ({"severityNumber": 0, "severityText": "warn"}, "WARNING"),
            ({"severityNumber": 99}, "INFO"),
            ({}, "INFO"),
        ],
    )
    def test_a_severity_is_a_number_a_name_or_a_text(
        self, stated: dict[str, object], level: str
    ) -> None:
        [event] = events(read(OtlpDialect(), otlp({"timeUnixNano": STAMP} | stated)))
        assert event["level"] == level

    @pytest.mark.parametrize("name", ["timeUnixNano", "observedTimeUnixNano"])
    @pytest.mark.parametrize("stamp", [STAMP, int(STAMP)])
    def test_either_time_keeps_its_nanoseconds(self, name: str, stamp: object) -> None:
        batch = read(OtlpDialect(), otlp({name: stamp}))
        assert b'"timestamp":1711234567.890123456' in batch.pairs[0][1]

    @pytest.mark.parametrize("stamp", ["abc", -1, "1" * 30, "1_0", "٣"])
    def test_a_record_with_another_time_is_rejected(self, stamp: object) -> None:
        batch = read(OtlpDialect(), otlp({}, {"timeUnixNano": stamp}, {}))
        assert batch.refused == [(1, "a time must be a number of nanoseconds")]
        assert len(batch.pairs) == 2

    @pytest.mark.parametrize(
        ("trace", "span"),
        [
            (TRACE.hex(), SPAN.hex()),
            (TRACE.hex().upper(), SPAN.hex().upper()),
            (base64.b64encode(TRACE).decode(), base64.b64encode(SPAN).decode()),
        ],
    )
    def test_ids_are_hexadecimal_also_from_base64(self, trace: str, span: str) -> None:
        [event] = events(read(OtlpDialect(), otlp({"traceId": trace, "spanId": span})))
        assert (event["trace_id"], event["span_id"]) == (TRACE.hex(), SPAN.hex())

    def test_ids_of_zeros_and_missing_values_are_left_out(self) -> None:
        record = {"traceId": "0" * 32, "spanId": "", "body": None, "attributes": None}
        [event] = events(read(OtlpDialect(), otlp(record)))
        assert event.keys() == {"level", "message", "timestamp"}
        assert event["message"] == ""

    def test_nested_values_and_large_integers_are_kept(self) -> None:
        values = [{"stringValue": "b"}, {"intValue": "9007199254740993"}, {"boolValue": False}, {}]
        inner = {"arrayValue": {"values": values}}
        nested = {"kvlistValue": {"values": [{"key": "a", "value": inner}]}}
        more = attributes(nested=nested, nan={"doubleValue": "NaN"}, none={})
        [event] = events(read(OtlpDialect(), otlp({"body": nested, "attributes": more})))
        expected = {"a": ["b", 9007199254740993, False, None]}
        assert json.loads(event["message"]) == event["nested"] == expected
        assert (event["nan"], event["none"]) == ("NaN", None)

    def test_an_invalid_record_is_named_and_the_others_are_in(self) -> None:
        large = {"attributes": attributes(n={"intValue": "9" * 30})}
        batch = read(OtlpDialect(), otlp({}, large, {"attributes": 7}, 7, {}))
        assert [index for index, _ in batch.refused] == [1, 2, 3]
        assert batch.refused[0][1] == "an intValue must be an integer of 64 bits"
        assert len(batch.pairs) == 2

    @pytest.mark.parametrize("depth", [60, 110, 300, 2_000, 10_000])
    def test_deeply_nested_values_end_in_an_answer(self, depth: int) -> None:
        start = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"attributes":[{"value":'
        level = b'{"kvlistValue":{"values":[{"key":"a","value":'
        body = start + level * depth + b"{}" + b"}]}}" * depth + b"}]}]}]}]}"
        if depth > 200:
            with pytest.raises(Invalid, match="recursion"):
                read(OtlpDialect(), body)
            return
        batch = read(OtlpDialect(), body)
        assert [index for index, _ in batch.refused] == [1] * (depth > 100)

    def test_the_names_of_protobuf_are_understood_too(self) -> None:
        text = 'say "time_unix_nano": 5'
        record = {"time_unix_nano": STAMP, "body": {"string_value": text}, "severity_number": 17}
        pairs = [{"key": "service.name", "value": {"string_value": "shop"}}]
        logs = {"resource": {"attributes": pairs}, "scope_logs": [{"log_records": [record]}]}
        [event] = events(read(OtlpDialect(), {"resource_logs": [logs]}))
        assert (event["message"], event["level"], event["service"]) == (text, "ERROR", "shop")
        assert event["timestamp"] == 1711234567.890123456

    def test_a_record_s_own_service_is_the_key(self) -> None:
        service = {"stringValue": "pay"}
        own = {"attributes": [{"key": "service.name", "value": service}]}
        batch = read(OtlpDialect(), otlp({"attributes": attributes(service=service)}, own))
        assert [key for key, _ in batch.pairs] == [b"pay", b"pay"]
        assert [event["service"] for event in events(batch)] == ["pay", "pay"]
        refused = read(OtlpDialect(), otlp(own, service_name="pay"), writer=SHOP).refused
        assert refused == [(0, "this token may write as the service shop only")]

    def test_fields_named_like_an_event_s_own_are_renamed(self) -> None:
        more = attributes(level={"stringValue": "a"}, timestamp={"intValue": 5})
        [event] = events(read(OtlpDialect(), otlp({"attributes": more}, host_name="h1")))
        assert (event["original_level"], event["original_timestamp"]) == ("a", 5)
        assert (event["level"], event["host.name"]) == ("INFO", "h1")


# A body of 8 million empty parts; of a message's first or second field.
@pytest.mark.parametrize("number", [1, 2])
def test_millions_of_empty_parts_are_refused_before_they_fill_the_memory(number: int) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    empty = bytes([number << 3 | 2, 0]) * 8_000_000
    for levels in range(4 - number):
        body = empty[: len(empty) - 20]
        for _ in range(levels):
            body = bytes([10 if number == 1 else 18]) + _varint(len(body)) + body
        body = b"\x0a" + _varint(len(body)) + body if levels else body
        with pytest.raises(Invalid) as raised:
            read(OtlpDialect(), body, PROTOBUF)
        assert raised.value.status in {400, 413}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000  # KB


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


class TestLoki:
    @pytest.mark.parametrize(
        ("text", "labels"),
        [
            (r'{job="a", x="b\"c\n\\d"}', {"job": "a", "x": 'b"c\n\\d'}),
            ('{a="é",}', {"a": "é"}),
            (r'{a="\x1b[31m\u00e9\U0001F600\101\a"}', {"a": "\x1b[31mé😀A\a"}),
            (r"{a=`x\y`}", {"a": r"x\y"}),
            ("{}", {}),
        ],
    )
    def test_labels_are_strings_of_go(self, text: str, labels: dict[str, str]) -> None:
        assert labels_of(text) == labels

    @pytest.mark.parametrize("text", ["", "a", "{a}", '{a="b" c="d"}', r'{a="\z"}', '{a=~"b"}'])
    def test_other_labels_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="label"):
            labels_of(text)

    def test_its_first_format_is_understood(self) -> None:
        entries = [{"ts": "2024-03-23T22:56:07.89Z", "line": "x"}, {"ts": "now", "line": "y"}]
        stream = {"labels": '{job="shop", level="error"}', "entries": entries}
        batch = read(LokiDialect(), {"streams": [stream]}, path="/api/prom/push")
        [event] = events(batch)
        assert (event["service"], event["level"]) == ("shop", "ERROR")
        assert (event["message"], event["timestamp"]) == ("x", 1711234567.89)
        assert batch.refused == [(1, "its ts is not a time")]

    def test_a_time_out_of_range_is_refused_alone(self) -> None:
        def field(number: int, data: bytes) -> bytes:
            return bytes([number << 3 | 2, len(data)]) + data

        late = field(1, b"\x08" + b"\xff" * 9 + b"\x01") + field(2, b"late")
        good = field(1, b"\x08\x87\xf9\xfd\xaf\x06") + field(2, b"good")
        body = field(1, field(1, b'{a="b"}') + field(2, late) + field(2, good))
        batch = read(LokiDialect(), snappy.compress(body), PROTOBUF)
        assert batch.refused == [(0, "its time is not a number of nanoseconds")]
        assert [event["message"] for event in events(batch)] == ["good"]


class TestBulk:
    def test_every_action_has_its_item_with_its_index_and_id(self) -> None:
        lines: list[object] = [{"index": {"_index": "a"}}, {"message": "m"}]
        lines += [{"create": {"_index": "a", "_id": "1"}}, {"message": "n"}]
        lines += [{"delete": {"_index": "z", "_id": "2"}}]
        lines += [{"update": {"_index": "a", "_id": 3}}, {"doc": {}}]
        body = b"\r\n".join(json.dumps(line).encode() for line in lines)  # no newline at its end
        call = Call("POST", "/_bulk", b"", {b"content-type": NDJSON.encode()}, body, ANYONE)
        dialect = BulkDialect()
        batch = dialect.read(call)
        answer = json.loads(dialect.stored(call, batch).body)
        items = [(name, item) for each in answer["items"] for name, item in each.items()]
        assert [name for name, _ in items] == ["index", "create", "delete", "update"]
        assert [item["_index"] for _, item in items] == ["a", "a", "z", "a"]
        assert [item["_id"] for _, item in items[1:]] == ["1", "2", "3"]
        assert [item["status"] for _, item in items] == [201, 201, 400, 400]

    def test_many_of_a_logger_s_documents_become_what_each_becomes_alone(self) -> None:
        documents: list[dict[str, object]] = [
            {"@timestamp": "2024-03-23T22:56:07.890Z", "level": "warn", "message": "é", "n": [1]},
            {"time": 1711234567890, "severity": "error", "msg": "x", "service": "shop"},
            {"time": 1711234567890, "level": 50, "msg": "x", "service": {"name": "shop"}},
            {"timestamp": 1711234567.89, "level": "INFO", "message": "ours", "service": "a"},
            {"@timestamp": "2024-03-23T22:56:07Z", "log": {"level": "error"}, "message": "m"},
            {"@timestamp": "2024-03-23T22:56:07Z", "message": "level=error", "level": ""},
        ]
        for writer in (ANYONE, SHOP):
            alone = [self._pairs([each], writer) for each in documents]
            together = self._pairs(documents * 3, writer)
            assert together == [pair for each in alone for pair in each] * 3

    @staticmethod
    def _pairs(documents: list[dict[str, object]], writer: Writer) -> list[tuple[bytes, object]]:
        body = b"".join(b'{"create":{}}\n%b\n' % json.dumps(each).encode() for each in documents)
        batch = read(BulkDialect(), body, NDJSON, "/app/_bulk", writer)
        return [(key, json.loads(value)) for key, value in batch.pairs]


class TestPlain:
    def test_blank_lines_are_no_events_and_the_index_is_the_event_s(self) -> None:
        body = b'{"message":"a"}\n\n  \r\n{"message":\n{"message":"b"}\r\n'
        batch = read(PlainDialect(), body, NDJSON)
        assert [event["message"] for event in events(batch)] == ["a", "b"]
        assert [index for index, _ in batch.refused] == [1]

    @pytest.mark.parametrize("body", [b'\xef\xbb\xbf{"message":"a"}', b'\xef\xbb\xbf[{"msg":"a"}]'])
    def test_a_byte_order_mark_is_left_out(self, body: bytes) -> None:
        assert events(read(PlainDialect(), body))[0]["message"] == "a"

    def test_a_json_sequence_is_understood(self) -> None:
        body = b'\x1e{"message":"a"}\n\x1e{"message":\n"b"}\n'
        batch = read(PlainDialect(), body.replace(b":\n", b":"), "application/json-seq")
        assert [event["message"] for event in events(batch)] == ["a", "b"]

    def test_a_token_s_service_replaces_what_is_no_service(self) -> None:
        batch = read(PlainDialect(), [{"message": "a", "service": 5, "n": 1.50}], writer=SHOP)
        [(key, value)] = batch.pairs
        assert key == b"shop"
        assert value.count(b'"service"') == 1
        assert json.loads(value)["service"] == "shop"
