"""Bulk: POST /_bulk and /<index>/_bulk of Elasticsearch."""

import secrets
from itertools import count

import msgspec

from logpipeline.collector import ecs, plain
from logpipeline.collector.exchange import (
    Batch,
    Call,
    Invalid,
    Pair,
    Reply,
    as_json,
    check_count,
)

KINDS = {
    *("application/json", "application/x-ndjson", ""),
    *("application/vnd.elasticsearch+json", "application/vnd.elasticsearch+x-ndjson"),
}
ACTIONS, OTHERS = ("create", "index"), ("update", "delete")
TYPES = {400: "mapper_parsing_exception", 401: "security_exception", 403: "security_exception"}
TYPES |= {429: "es_rejected_execution_exception", 503: "cluster_block_exception"}
PRODUCT = ((b"x-elastic-product", b"Elasticsearch"),)  # clients refuse an answer without it
DONE = (
    b'"_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},'
    b'"_seq_no":0,"_primary_term":1,"status":201}}'
)


class _Target(msgspec.Struct):
    index: str | None = msgspec.field(name="_index", default=None)
    id: str | int | None = msgspec.field(name="_id", default=None)


class _Action(msgspec.Struct):
    create: _Target | None = None
    index: _Target | None = None
    update: _Target | None = None
    delete: _Target | None = None


_action = msgspec.json.Decoder(_Action).decode


class BulkBatch(Batch):
    """A batch with each item's action, index and id, of which the answer consists."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, str, str]] = []


class BulkDialect:
    """What Filebeat, Vector, Fluent Bit, rsyslog and Elasticsearch's clients send."""

    def __init__(self) -> None:
        self._prefix, self._numbers = secrets.token_urlsafe(9).encode(), count(1)

    def read(self, call: Call) -> Batch:
        if call.kind.lower() not in KINDS:
            raise Invalid(415, "Content-Type must be application/x-ndjson or application/json")
        check_count(call.body.count(b"\n") // 2)
        lines = [line for line in call.body.split(b"\n") if line and not line.isspace()]
        if not lines:
            raise Invalid(400, "request body is required")
        batch, known, rest = BulkBatch(), _Known(_index_of(call.path)), iter(lines)
        documents = []
        for number, line in enumerate(rest):
            batch.items.append(known.read(line, number))
            document = b"" if batch.items[-1][0] == "delete" else next(rest, None)
            if document is None:
                raise Invalid(400, f"the action of item {number} has no document")
            documents.append(document)
        if ecs.is_nested(call.body):
            documents = [ecs.flattened(document) for document in documents]
        batch.count = len(documents)
        for found in enumerate(plain.shaped(call, documents, batch.items[0][1])):
            _add(call, batch, *found)
        return batch

    def stored(self, call: Call, batch: Batch) -> Reply:
        assert isinstance(batch, BulkBatch)
        refused, parts = dict(batch.refused), []
        heads: dict[tuple[str, str], bytes] = {}
        for at, (action, index, own) in enumerate(batch.items):
            name = as_json(own) if own else b'"%b%d"' % (self._prefix, next(self._numbers))
            result = _refusal(refused[at]) if at in refused else DONE
            head = heads.get((action, index)) or heads.setdefault(
                (action, index), _head(action, index)
            )
            parts.append(b"%b%b,%b" % (head, name, result))
        errors = b"true" if refused else b"false"
        body = b'{"took":1,"errors":%b,"items":[%b]}' % (errors, b",".join(parts))
        # An HTTP status of 200 is what its clients expect beside refused items.
        return Reply(200, body, _kind(call), PRODUCT)

    def failed(self, call: Call, status: int, sentence: str) -> Reply:
        cause = {"type": TYPES.get(status, "illegal_argument_exception"), "reason": sentence}
        error = {"root_cause": [cause], **cause}
        return Reply(status, as_json({"error": error, "status": status}), _kind(call), PRODUCT)


def _add(call: Call, batch: BulkBatch, at: int, found: Pair | str) -> None:
    """Add an item's record, or why it has none."""
    action, index, own = batch.items[at]
    if action not in ACTIONS:
        found = f"{action} is not supported: logs are never changed"
    if isinstance(found, str):
        batch.refused.append((at, found))
        return
    batch.pairs.append(found)
    if own or batch.ids:
        batch.ids += [b""] * (len(batch.pairs) - len(batch.ids) - 1)
        batch.ids.append(call.digest(b"bulk", index.encode(), own.encode()) if own else b"")


def _head(action: str, index: str) -> bytes:
    """How an item of an answer begins."""
    return b'{"%b":{"_index":%b,"_id":' % (action.encode(), as_json(index))


class _Known:
    """Reads actions; most of a request's are the same."""

    def __init__(self, index: str) -> None:
        self._index = index
        self._line = b""
        self._read = ("", "", "")

    def read(self, line: bytes, number: int) -> tuple[str, str, str]:
        """Action, index and id ("": none). Raises Invalid."""
        if line != self._line:
            self._read, self._line = self._decoded(line, number), line
        return self._read

    def _decoded(self, line: bytes, number: int) -> tuple[str, str, str]:
        try:
            found = _action(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise Invalid(400, f"the action of item {number} is invalid: {error}") from error
        for name in (*ACTIONS, *OTHERS):
            target = getattr(found, name)
            if target is not None:
                index = target.index or self._index
                if not index:
                    raise Invalid(400, f"the action of item {number} names no index")
                return name, index, "" if target.id is None else str(target.id)
        raise Invalid(400, f"the action of item {number} must be create or index")


def _refusal(why: str) -> bytes:
    """What an item has instead of its result."""
    forbidden = why.startswith("this token")
    kind, status = ("security_exception", 403) if forbidden else ("mapper_parsing_exception", 400)
    return b'"status":%d,"error":%b}}' % (status, as_json({"type": kind, "reason": why}))


def _index_of(path: str) -> str:
    return path.strip("/").removesuffix("_bulk").strip("/").removesuffix("/_doc")


def _kind(call: Call) -> bytes:
    """The Content-Type that the client accepts: its major version's, or JSON."""
    accepted = call.headers.get(b"accept", b"")
    if accepted.startswith(b"application/vnd.elasticsearch+json") and len(accepted) < 100:
        return accepted.split(b",")[0]
    return b"application/json"


class LookUps:
    """What clients of Elasticsearch ask before they send: its version, licence and templates."""

    def __init__(self) -> None:
        self._answers: dict[str, object] = {
            "": {
                "name": "collector",
                "cluster_name": "log-pipeline",
                "cluster_uuid": "log-pipeline",
                "version": {
                    "number": "8.17.0",
                    "build_flavor": "default",
                    "build_type": "docker",
                    "build_hash": "0",
                    "build_date": "2024-12-11T12:08:05.663969764Z",
                    "build_snapshot": False,
                    "lucene_version": "9.12.0",
                    "minimum_wire_compatibility_version": "7.17.0",
                    "minimum_index_compatibility_version": "7.0.0",
                },
                "tagline": "You Know, for Search",
            },
            "_license": {
                "license": {
                    "status": "active",
                    "uid": "log-pipeline",
                    "type": "basic",
                    "issue_date_in_millis": 0,
                    "start_date_in_millis": -1,
                }
            },
            "_xpack": {
                "build": {"hash": "0", "date": "2024-12-11T12:08:05.663969764Z"},
                "license": {"uid": "log-pipeline", "type": "basic", "mode": "basic"}
                | {"status": "active"},
                "features": {"ilm": {"available": True, "enabled": False}},
            },
            "_cluster": {"cluster_name": "log-pipeline", "status": "green", "timed_out": False},
            "_nodes": {"cluster_name": "log-pipeline", "nodes": {}},
            "_cat": [{"cluster": "log-pipeline", "status": "green"}],
            "_index_template": {"index_templates": []},
            "_component_template": {"component_templates": []},
        }

    def answer(self, call: Call) -> Reply | None:
        """The answer to a look-up; None for another request."""
        first = call.path.strip("/").split("/")[0]
        if call.method in {"GET", "HEAD"} and first in self._answers:
            return Reply(200, as_json(self._answers[first]), _kind(call), PRODUCT)
        if first not in {*self._answers, *SETUP} or not first:
            return None
        if call.method in {"GET", "HEAD"}:
            return Reply(200, b"{}", _kind(call), PRODUCT)
        if call.method in {"PUT", "POST"}:
            return Reply(200, as_json({"acknowledged": True}), _kind(call), PRODUCT)
        return None


# Set up by clients before they send; nothing of it has a meaning here.
SETUP = {"_ilm", "_template", "_data_stream", "_ingest", "_alias", "_aliases", "_security"}
