"""Simulator: the log events of a small company's services, generated from a seed.

The same seed and rate generate the same events, byte for byte except `timestamp`, which is the
clock's. The simulated time of an event is its number / rate, never the clock's, so a stall changes
nothing. An hour of the company's day lasts a minute of that time: each hour changes the services'
shares, not the rate. From time to time one service has an incident.
"""

import logging
import re
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from math import ceil
from random import Random
from typing import NamedTuple

import msgspec

log = logging.getLogger(__name__)

UNPACED = 1000.0  # events in a second of simulated time when --rate is 0
HOUR = 60.0  # seconds of simulated time
FIRST_HOUR = 9
INCIDENT_AFTER = (120.0, 600.0)  # seconds of simulated time since the last one
INCIDENT_LASTS = (30.0, 120.0)
INCIDENT_SHARE = 1 / 3  # of all events come from the service that fails

# Percent of a service's events; while it fails; and the levels' order in a service's messages.
LEVELS = {"DEBUG": 12.0, "INFO": 81.0, "WARNING": 5.4, "ERROR": 1.5, "CRITICAL": 0.1}
FAILING = {"DEBUG": 2.0, "INFO": 18.0, "WARNING": 15.0, "ERROR": 60.0, "CRITICAL": 5.0}

# Events by hour, relative: people at the screen, people in the shop, machines at night.
OFFICE = (1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 8, 9, 10, 10, 9, 8, 7, 6, 5, 4, 2, 1)
SHOP = (2, 1, 1, 1, 1, 1, 2, 4, 6, 7, 8, 9, 10, 9, 8, 8, 8, 9, 11, 13, 14, 12, 8, 4)
NIGHT = (12, 14, 15, 14, 10, 6, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 6, 9)


class Service(NamedTuple):
    """`messages` has the templates of each level, in the order of LEVELS."""

    weight: float
    day: Sequence[int]
    hosts: int
    duration: float  # milliseconds, the median
    messages: tuple[tuple[str, ...], ...]


# The values for {name} in a message; a float has two decimals.
HOLES: dict[str, Sequence[object]] = {
    "order": range(100_000, 1_000_000),
    "user": range(1_000, 60_000),
    "number": range(1, 500),
    "few": range(1, 6),
    "percent": range(71, 99),
    "wait": range(500, 30_000),
    "euros": [cents / 100 for cents in range(199, 49_900, 37)],
    "card": ["Visa", "Mastercard", "Amex", "Maestro"],
    "bank": ["acquirer-eu", "acquirer-us", "paypal", "klarna"],
    "path": ["/", "/cart", "/login", "/search", "/orders", "/product/red-shoes", "/api/v2/prices"],
    "words": ["red shoes", "rain coat", "café crème", "usb-c cable", 'tv 55"', "gift < 20 €"],
    "item": ["SKU-1042", "SKU-2210", "SKU-3377", "SKU-4815", "SKU-5009", "SKU-6150"],
    "mail": ["order confirmation", "password reset", "newsletter", "shipping notice"],
    "report": ["daily revenue", "stock levels", "refunds", "open invoices", "search terms"],
    "address": [f"203.0.113.{last}" for last in range(1, 255)],
}
HOLE = re.compile(r"\{(\w+)\}")
FORMATS = {int: "%d", float: "%.2f", str: "%b"}
# With these names the usual four partitions have 30, 36, 20 and 19 % of the events.
SERVICES = {
    "frontend": Service(30, SHOP, 3, 35.0, (
        ("route {path} matched in {few} rules", "keep-alive from {address} reused {number} times"),
        ("GET {path} 200 for user {user}", "POST {path} 201 for user {user}", "GET {path} 304"),
        ("GET {path} 429 for {address}: {number} requests a minute", "slow upstream on {path}"),
        ("GET {path} 502: upstream reset the connection", "POST {path} 504 after {wait} ms"),
        ("no healthy upstream for {path}",),
    )),
    "search": Service(20, SHOP, 3, 60.0, (
        ("cache miss for '{words}'", "query plan for '{words}' has {few} steps"),
        ("'{words}' found {number} products", "'{words}' found nothing", "suggested {few} words"),
        ("'{words}' took {wait} ms", "index is {number} s behind the catalogue"),
        ("shard {few} timed out on '{words}'", "'{words}' failed: too many clauses"),
        ("shard {few} has no replica left",),
    )),
    "auth": Service(14, OFFICE, 2, 18.0, (
        ("token of user {user} checked", "session cache {percent} % full"),
        ("user {user} logged in from {address}", "user {user} logged out", "token renewed: {user}"),
        ("wrong password for user {user} from {address}", "user {user} locked: {few} attempts"),
        ("directory did not answer in {wait} ms", "token of user {user} has a bad signature"),
        ("signing key expired {number} s ago",),
    )),
    "checkout": Service(12, SHOP, 2, 90.0, (
        ("cart of user {user} loaded with {few} items",),
        ("order {order} placed by user {user}", "{few} x {item} added to cart of user {user}"),
        ("cart of user {user} left at payment", "order {order} retried, attempt {few}"),
        ("order {order} failed: payment declined", "order {order} failed: {item} sold out"),
        ("orders can't be stored: database is read-only",),
    )),
    "payments": Service(10, SHOP, 2, 240.0, (
        ("{bank} answered in {wait} ms", "order {order} scored {percent} for fraud"),
        ("{euros} EUR captured for order {order} by {card}", "order {order} refunded {euros} EUR"),
        ("{bank} is slow: {wait} ms", "order {order} held for review, {euros} EUR"),
        ("order {order} failed: {bank} timed out", "{card} declined for order {order}"),
        ("{bank} refuses our certificate", "{number} captures without a booking"),
    )),
    "inventory": Service(8, OFFICE, 2, 25.0, (
        ("{item} locked for order {order}",),
        ("{few} x {item} reserved for order {order}", "{number} x {item} arrived in aisle {few}"),
        ("{item} is low: {few} left", "count of {item} differs by {few}"),
        ("reservation for order {order} lost", "warehouse did not answer in {wait} ms"),
        ("stock of {item} is negative",),
    )),
    "notifications": Service(6, OFFICE, 1, 120.0, (
        ("template '{mail}' rendered in {few} ms",),
        ("{mail} sent to user {user}", "{number} messages queued"),
        ("{mail} to user {user} bounced", "mail server asks to slow down"),
        ("{mail} to user {user} given up after {few} tries", "mail server refused connection"),
        ("queue is full: {number} messages dropped",),
    )),
    "reports": Service(5, NIGHT, 1, 4_000.0, (
        ("{report}: read {number}000 rows",),
        ("{report} done: {number} pages", "{report} started", "{number} old files removed"),
        ("{report} is late by {number} s", "disk {percent} % full"),
        ("{report} failed: query cancelled after {wait} ms",),
        ("no space left for {report}",),
    )),
}  # fmt: skip


class Incident(NamedTuple):
    """`service` fails from `start` to `end`, seconds of simulated time since the run's start."""

    service: str
    start: float
    end: float


def incidents(seed: int) -> Iterator[Incident]:
    """The endless incidents of a run, in order."""
    random = Random(f"incidents {seed}")
    end = 0.0
    while True:
        start = end + random.uniform(*INCIDENT_AFTER)
        end = start + random.uniform(*INCIDENT_LASTS)
        yield Incident(random.choice([*SERVICES]), start, end)


def simulate(
    seed: int, rate: float, clock: Callable[[], float] = time.time
) -> Iterator[tuple[bytes, bytes]]:
    """Endless events: (service, JSON). `rate` is in events a second; 0 counts as UNPACED."""
    random = Random(f"events {seed}")
    durations = Random(f"durations {seed}")
    factors = [durations.lognormvariate(0, 0.7) for _ in range(1_000)]  # of the median
    lines = [
        _line(name, level, message, factors, random, clock)
        for name, service in SERVICES.items()
        for level, messages in zip(LEVELS, service.messages, strict=True)
        for message in messages
    ]
    draw, count = random.random, 0
    for hour, failing, end in _periods(seed):
        chances = _chances(hour, failing)
        until = ceil(end * (rate or UNPACED))
        for _ in range(count, until):
            key, template, fields = lines[bisect(chances, draw())]
            yield key, template % tuple([field() for field in fields])
        count = until


def spoil(
    events: Iterator[tuple[bytes, bytes]], share: float, seed: int
) -> Iterator[tuple[bytes, bytes]]:
    """The same, but a `share` (0 to 1) is cut in the middle, which makes it invalid."""
    random = Random(f"spoilt {seed}")
    for key, value in events:
        yield key, value[: len(value) // 2] if random.random() < share else value


def _periods(seed: int) -> Iterator[tuple[int, str, float]]:
    """Endless periods: hour of the day, failing service ("" for none), end in seconds."""
    now = 0.0
    for service, start, end in incidents(seed):
        for failing, edge in (("", start), (service, end)):
            if failing:
                log.info("incident: %s fails for %.0f s", service, end - start)
            while now < edge:
                hours = int(now // HOUR)
                now = min(edge, (hours + 1) * HOUR)
                yield (FIRST_HOUR + hours) % 24, failing, now


def _chances(hour: int, failing: str) -> list[float]:
    """Where each line's share ends between 0 and 1, except the last, in `simulate`'s order."""
    shares = {
        name: service.weight * service.day[hour] / sum(service.day)
        for name, service in SERVICES.items()
    }
    if failing:
        others = sum(shares.values()) - shares[failing]
        shares[failing] = others * INCIDENT_SHARE / (1 - INCIDENT_SHARE)
    ends = list(
        accumulate(
            shares[name] * percent / len(messages)
            for name, service in SERVICES.items()
            for percent, messages in zip(
                (FAILING if name == failing else LEVELS).values(), service.messages, strict=True
            )
            for _ in messages
        )
    )
    return [end / ends[-1] for end in ends[:-1]]


def _line(
    name: str,
    level: str,
    message: str,
    factors: Sequence[float],
    random: Random,
    clock: Callable[[], float],
) -> tuple[bytes, bytes, tuple[Callable[[], object], ...]]:
    """One kind of event as (key, template, fields): its JSON is template % the fields' results."""
    service = SERVICES[name]
    text = message.replace("%", "%%")
    holes = [HOLES[hole] for hole in HOLE.findall(message)]
    fields = [_any_of(values, random) for values in holes] + [clock]
    text = HOLE.sub(lambda hole: FORMATS[type(HOLES[hole[1]][0])], text)
    template = f'{{"level":"{level}","message":"{text}","timestamp":%.6f,"service":"{name}"'
    template += f',"host":"{name}-%d"'
    fields.append(_any_of(range(1, service.hosts + 1), random))
    if service.day is SHOP:
        template += ',"trace_id":"%016x"'
        fields.append(partial(random.getrandbits, 64))
    if level in {"INFO", "WARNING"}:
        template += ',"duration_ms":%.1f'
        fields.append(_any_of([service.duration * factor for factor in factors], random))
    return name.encode(), f"{template}}}".encode(), tuple(fields)


def _any_of(values: Sequence[object], random: Random) -> Callable[[], object]:
    """A function that picks one of `values`, faster than random.choice; text as unquoted JSON."""
    if isinstance(values[0], str):
        values = [msgspec.json.encode(text)[1:-1] for text in values]
    draw, count = random.random, len(values)
    return lambda: values[int(draw() * count)]
