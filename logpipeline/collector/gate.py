"""Gate: decides who may send what, before a body is read."""

import base64
import binascii
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache, partial

from logpipeline import hosts
from logpipeline.collector.exchange import Invalid, Writer
from logpipeline.collector.settings import CollectorSettings, tokens

BODY = 8 * 2**20  # bytes of a body as it is sent
OF_BROWSERS = 2**16  # and of one from a web page
RATE, BURST = 10.0, 50.0  # requests of web pages: a second from each address, and at once
ADDRESSES = 10_000  # whose requests are counted
LONGEST_HOST = 300  # characters of a name with its port
Headers = Mapping[bytes, bytes]


class Gate:
    """Knows the tokens, the web sites and the names of the collector."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._tokens = tokens(settings.collector_token)
        self._origins = {each.encode() for each in settings.collector_origins.split(",") if each}
        names = frozenset({"localhost", settings.collector_host.lower()})
        self._is_safe = lru_cache(256)(partial(hosts.is_safe, names=names))
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check_host(self, headers: Headers) -> None:
        """Without a token, refuse names that a web page may have bound to this address. Raises
        Invalid."""
        if self._tokens or b"host" not in headers:
            return
        if not self._is_safe(headers[b"host"][:LONGEST_HOST].decode("latin-1")):
            raise Invalid(421, "host name not allowed: use localhost or an IP address")

    def site(self, headers: Headers) -> bytes:
        """The web site whose page sends this; b"" for other programs. Raises Invalid."""
        origin = headers.get(b"origin", b"").lower()
        if origin and origin not in self._origins:
            raise Invalid(403, "pages of this web site may not send: see COLLECTOR_ORIGINS")
        return origin

    def writer(self, headers: Headers, address: str) -> Writer:
        """Who sends this. Raises Invalid."""
        if not self._tokens:
            return Writer(address=address)
        given = _credentials(headers.get(b"authorization", b""))
        for token, service in self._tokens.items():
            if any(hmac.compare_digest(token, each) for each in given):
                return Writer(service, token, address)
        raise Invalid(401, "a token is required: Authorization: Bearer TOKEN, or HTTP basic")

    def check_rate(self, address: str, now: float) -> None:
        """For requests of web pages, at the loop's time `now`. Raises Invalid."""
        level, since = self._buckets.pop(address, (0.0, now))
        level = max(0.0, level - (now - since) * RATE) + 1
        self._buckets[address] = (min(level, BURST), now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        if level > BURST:
            raise Invalid(429, "too many requests from pages at this address")


def _credentials(header: bytes) -> list[bytes]:
    """The tokens that an Authorization header may mean."""
    scheme, _, value = header.partition(b" ")
    scheme, value = scheme.lower(), value.strip()
    if scheme == b"bearer":
        return [value]
    if scheme not in {b"basic", b"apikey"}:
        return []
    try:
        user, _, password = base64.b64decode(value, validate=True).partition(b":")
    except binascii.Error:
        return [value] if scheme == b"apikey" else []
    return [password, value] if scheme == b"apikey" else [password or user]
