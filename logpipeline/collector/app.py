"""App: the ASGI application: who may write, in which protocol, and the answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prometheus_client import generate_latest

from logpipeline.collector.body import Bodies, Disconnected
from logpipeline.collector.bulk import BulkDialect, LookUps
from logpipeline.collector.exchange import Batch, Call, Dialect, Invalid, Reply, Writer
from logpipeline.collector.gate import BODY, OF_BROWSERS, Gate
from logpipeline.collector.loki import LokiDialect
from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.collector.otlp import OtlpDialect
from logpipeline.collector.plain import PlainDialect
from logpipeline.collector.sending import Away, Full, Outcome, Taking
from logpipeline.collector.settings import CollectorSettings

log = logging.getLogger(__name__)

ACKNOWLEDGED = 8.0  # seconds until a client is answered; most of them wait for ten
RETRY_AFTER = {408: b"1", 429: b"1", 503: b"5"}  # seconds
LONGEST_KEY = 255
DRAINED = 2**26  # bytes of a refused body that are read, so that its client reads the answer
TEXT = b"text/plain; charset=utf-8"
OWN = {"/healthz", "/readyz", "/metrics"}

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class CollectorApp:
    """Answers requests. `outlet` takes batches, `keyed` those with a key."""

    def __init__(
        self,
        settings: CollectorSettings,
        metrics: CollectorMetrics,
        outlet: Taking,
        keyed: Taking,
    ) -> None:
        self._gate = Gate(settings)
        self._metrics = metrics
        self._outlet, self._keyed = outlet, keyed
        self._bodies = Bodies()
        self._look_ups = LookUps()
        self._bulk = BulkDialect()
        self._dialects: dict[str, tuple[str, Dialect]] = {
            "/events": ("events", PlainDialect()),
            "/v1/logs": ("otlp", OtlpDialect()),
            "/loki/api/v1/push": ("loki", LokiDialect()),
            "/api/prom/push": ("loki", LokiDialect()),
            "/_bulk": ("bulk", self._bulk),
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        name, dialect = self._found(scope["path"])
        headers = dict(scope["headers"])
        address = scope["client"][0] if scope["client"] else ""
        call = Call(scope["method"], scope["path"], scope["query_string"], headers, b"", Writer())
        try:
            reply = await self._reply(call, name, dialect, address, receive)
        except Invalid as error:
            reply = _refusal(dialect, call, error)
        except Disconnected:
            return
        except Exception:
            log.exception("unexpected error")
            reply = Reply(500, b"internal error, see the log\n", TEXT)
        self._metrics.requests.labels(name, reply.status).inc()
        await _answer(call, reply, receive, send)

    def _found(self, path: str) -> tuple[str, Dialect | None]:
        """The protocol's name and dialect of a path."""
        found = self._dialects.get(path) or self._dialects.get(path.rstrip("/"))
        if found:
            return found
        parts = path.strip("/").split("/")
        if parts[-1] == "_bulk" and len(parts) <= 3:
            return "bulk", self._bulk
        return "other", None

    async def _reply(
        self, call: Call, name: str, dialect: Dialect | None, address: str, receive: Receive
    ) -> Reply:
        """Raises Invalid, Disconnected."""
        gate, headers = self._gate, call.headers
        gate.check_host(headers)
        if call.path in OWN and call.method in {"GET", "HEAD"}:
            return self._own(call.path)
        site = gate.site(headers)
        if call.method == "OPTIONS" and site:
            return Reply(204)
        call.writer = gate.writer(headers, address)
        if dialect is None or call.method not in {"POST", "PUT"}:
            if not site and (reply := self._look_ups.answer(call)):
                return reply
            raise Invalid(404 if dialect is None else 405, _WHAT)
        if site:
            gate.check_rate(address, asyncio.get_running_loop().time())
        call.body = await self._bodies.read(headers, receive, OF_BROWSERS if site else BODY)
        batch = dialect.read(call)
        await self._store(call, batch)
        self._metrics.events.labels(name).inc(len(batch.pairs))
        if batch.refused:
            self._metrics.refused.labels(name).inc(len(batch.refused))
        return dialect.stored(call, batch)

    async def _store(self, call: Call, batch: Batch) -> None:
        """Return once Kafka has all of a batch. Raises Invalid."""
        if not batch.pairs:
            return
        try:
            if key := call.headers.get(b"idempotency-key"):
                if len(key) > LONGEST_KEY:
                    raise Invalid(400, f"Idempotency-Key has more than {LONGEST_KEY} characters")
                once = call.digest(b"key", key), call.digest(b"key", key, call.body)
                stored = self._keyed.offer(batch.pairs, (), once)
            elif batch.ids:
                batch.ids += [b""] * (len(batch.pairs) - len(batch.ids))
                stored = self._keyed.offer(batch.pairs, batch.ids)
            else:
                stored = self._outlet.offer(batch.pairs)
            outcome = await _outcome(stored)
        except Full:
            raise Invalid(429, "too many events wait for Kafka") from None
        except Away as error:
            raise Invalid(503, str(error)) from None
        _check(outcome)

    def _own(self, path: str) -> Reply:
        """Metrics, liveness and readiness."""
        if path == "/metrics":
            self._metrics.waiting.set(self._outlet.waiting + self._keyed.waiting)
            self._metrics.up.set(not (self._outlet.away or self._keyed.away))
            return Reply(200, generate_latest(self._metrics.shown()), TEXT)
        if path == "/healthz":
            alive = self._outlet.alive and self._keyed.alive
            return Reply(200, b"alive\n", TEXT) if alive else Reply(503, b"a thread died\n", TEXT)
        away = self._outlet.away or self._keyed.away
        return Reply(503, f"{away}\n".encode(), TEXT) if away else Reply(200, b"ready\n", TEXT)


_WHAT = "POST to /events, /v1/logs, /loki/api/v1/push or /_bulk"


async def _outcome(stored: asyncio.Future[Outcome]) -> Outcome:
    """Raises Invalid when Kafka does not answer in time."""
    try:
        async with asyncio.timeout(ACKNOWLEDGED):
            return await stored
    except TimeoutError:
        text = "Kafka has not acknowledged the events yet; they may still arrive"
        raise Invalid(503, text) from None


def _check(outcome: Outcome) -> None:
    """Raises Invalid unless everything is stored."""
    if outcome is Outcome.CONFLICT:
        raise Invalid(422, "this Idempotency-Key was used for another body within the hour")
    if outcome is Outcome.REFUSED:
        raise Invalid(503, "Kafka refused some of the events: see the log")
    if outcome is Outcome.UNKNOWN:
        raise Invalid(503, "the collector stops; the events may still arrive")


def _refusal(dialect: Dialect | None, call: Call, error: Invalid) -> Reply:
    if dialect:
        return dialect.failed(call, error.status, str(error))
    return Reply(error.status, f"{error}\n".encode(), TEXT)


async def _answer(call: Call, reply: Reply, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", reply.kind), *reply.headers]
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    if reply.status in RETRY_AFTER:
        headers.append((b"retry-after", RETRY_AFTER[reply.status]))
    if reply.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="logs", Basic realm="logs"'))
    if origin := call.headers.get(b"origin"):
        headers += _cors(origin, reply)
    large = reply.status == 413
    if large:
        headers.append((b"connection", b"close"))
    body = b"" if call.method == "HEAD" else reply.body
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if large:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _drain(receive)
        body = b""
    await send({"type": "http.response.body", "body": body})


def _cors(origin: bytes, reply: Reply) -> list[tuple[bytes, bytes]]:
    """What lets a page of an accepted web site send, and read the answer."""
    if reply.status in {403, 421}:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", b"POST"),
        (
            b"access-control-allow-headers",
            b"authorization, content-type, content-encoding, idempotency-key",
        ),
        (b"access-control-expose-headers", b"retry-after"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"origin"),
    ]


async def _drain(receive: Receive) -> None:
    """Read the rest of a body: a connection closed before would take the answer with it."""
    left = DRAINED
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
