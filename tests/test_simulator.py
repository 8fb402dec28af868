"""The simulator's traffic: repeatable, lifelike, and events by the contract."""

import time
from collections import Counter
from itertools import islice, pairwise

import msgspec

from logpipeline.events import event
from logpipeline.producer.simulator import (
    FIRST_HOUR,
    HOUR,
    SERVICES,
    UNPACED,
    incidents,
    simulate,
    spoil,
)

RATE = 100.0
SEED = 7


def levels(values: list[bytes]) -> Counter[str]:
    return Counter(event.parse(value).level for value in values)


def between(
    start: float, end: float, seed: int = SEED, rate: float = RATE
) -> list[tuple[bytes, bytes]]:
    """The events of a stretch of simulated time, in seconds."""
    return list(islice(simulate(seed, rate), round(start * rate), round(end * rate)))


def test_same_seed_and_rate_make_the_same_bytes() -> None:
    def run(seed: int, rate: float) -> list[tuple[bytes, bytes]]:
        return list(islice(simulate(seed, rate, clock=lambda: 1711234567.89), 50_000))

    assert run(SEED, RATE) == run(SEED, RATE)
    assert run(SEED, 0) == run(SEED, UNPACED)
    assert run(SEED, RATE) != run(SEED + 1, RATE)


def test_every_event_is_one_by_the_contract() -> None:
    seen = set()
    before = time.time()
    for key, value in islice(simulate(SEED, 0), 200_000):
        assert event.parse(value).level in event.LEVELS
        fields = msgspec.json.decode(value)
        assert fields["service"] == key.decode()
        assert fields["host"].startswith(fields["service"])
        assert before - 1e-6 <= fields["timestamp"] <= time.time() + 1e-6
        assert "{" not in fields["message"]
        assert b"\n" not in value
        seen.add((fields["service"], fields["level"]))
    assert len(seen) == len(SERVICES) * len(event.LEVELS)


def test_levels_are_as_in_real_life() -> None:
    quiet = next(incidents(SEED)).start
    count = levels([value for _, value in between(0, quiet)])
    shares = [count[level] / count.total() for level in ("INFO", "DEBUG", "WARNING", "ERROR")]
    assert shares[0] > 0.7
    assert all(more > 2 * less for more, less in pairwise(shares))
    assert 0 < count["CRITICAL"] < count["ERROR"] / 5


def test_services_have_their_weights_and_their_hours() -> None:
    def shares(hour: int) -> dict[str, float]:
        start = (hour - FIRST_HOUR) % 24 * HOUR
        runs = [between(start, start + HOUR, seed, rate=10) for seed in range(10)]
        keys = Counter(key.decode() for run in runs for key, _ in run)
        return {service: count / keys.total() for service, count in keys.items()}

    night, noon, afternoon, evening = map(shares, (2, 12, 14, 20))
    assert noon["frontend"] > noon["search"] > noon["payments"] > noon["reports"]
    assert evening["checkout"] > 2 * night["checkout"]
    assert night["reports"] > 10 * afternoon["reports"]


def test_an_incident_is_a_burst_of_errors_of_one_service() -> None:
    service, start, end = next(incidents(SEED))
    before, burst = between(start - (end - start), start), between(start, end)
    errors = Counter(
        key.decode() for key, value in burst if event.parse(value).level in {"ERROR", "CRITICAL"}
    )
    assert (
        levels([value for _, value in burst])["ERROR"] > 5 * levels([v for _, v in before])["ERROR"]
    )
    assert errors[service] > 0.9 * errors.total()
    assert levels([value for _, value in burst])["CRITICAL"] > 5


def test_incidents_come_in_order_and_now_and_then() -> None:
    first = list(islice(incidents(SEED), 100))
    assert first == list(islice(incidents(SEED), 100))
    assert all(a.start < a.end < b.start for a, b in pairwise(first))
    assert {incident.service for incident in first} == SERVICES.keys()
    assert 300 < first[-1].end / 100 < 600


def test_spoilt_events_are_no_events() -> None:
    def refused(value: bytes) -> bool:
        try:
            event.parse(value)
        except event.InvalidRecord:
            return True
        return False

    spoilt = list(islice(spoil(simulate(SEED, 0), 0.1, SEED), 10_000))
    assert 800 < sum(refused(value) for _, value in spoilt) < 1_200
    assert [key for key, _ in spoilt] == [key for key, _ in islice(simulate(SEED, 0), 10_000)]
