"""DashboardState: what the web page takes from Redis, and at what cost."""

import json
import secrets
import time
import tracemalloc
from collections.abc import Iterator

import pytest
import redis

from config import Settings
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import DETAIL, entry, long, short
from logpipeline.dashboard.event_list import note, rows, whole
from logpipeline.dashboard.panels import alerts, failing, tiles
from logpipeline.dashboard.redis_reader import BUDGET, FEW, MOST, SCANNED, RedisReader
from logpipeline.dashboard.search import CHARACTERS, SECONDS, WORDS, Filters, Found
from logpipeline.dashboard.state import DashboardState
from logpipeline.events.event import LEVELS
from logpipeline.localstack.redis import Redis
from tests.support.holding import Holding, event


@pytest.fixture
def holding(redis_server: str) -> Iterator[Holding]:
    """An empty place in the session's Redis."""
    key = f"board-{secrets.token_hex(6)}"
    with redis.Redis.from_url(redis_server) as client:
        yield Holding(client, key)
        client.unlink(*(client.keys(f"{key}*") or [key]))


@pytest.fixture
def reader(redis_server: str, holding: Holding) -> Iterator[RedisReader]:
    reader = RedisReader(Settings(_env_file=None, redis_url=redis_server, redis_key=holding.key))
    yield reader
    reader.close()


def messages(state: DashboardState, level: str = "") -> list[str]:
    return [each.message for each in state.lists[level]]


def test_without_keys_the_state_is_empty_and_unknown(reader: RedisReader) -> None:
    state = reader.read()
    assert state.empty
    assert (state.lag, state.dead_letters, state.alerts, state.rate) == (None, None, None, None)
    assert state.error_share() is None


def test_it_has_the_newest_events_first_and_by_level(reader: RedisReader, holding: Holding) -> None:
    holding.add(event(message="one"), event("Warn", "two", service="auth", code=7))
    state = reader.read()
    assert not state.empty
    assert messages(state) == ["two", "one"]
    assert messages(state, "WARNING") == ["two"]
    [two] = state.lists["WARNING"]
    assert (two.level, two.service, two.fields) == ("WARNING", "auth", {"code": 7})
    assert state.services == ["auth"]
    assert state.total == 2


def test_the_next_read_has_the_newer_events_and_the_same_ids(
    reader: RedisReader, holding: Holding
) -> None:
    holding.add(event(message="one"))
    first = reader.read()
    holding.add(event(message="two"))
    second = reader.read()
    assert messages(second) == ["two", "one"]
    assert second.lists[""][1] is first.lists[""][0]


def test_equal_lines_are_different_entries(reader: RedisReader, holding: Holding) -> None:
    same = event()
    holding.add(same, same, same)
    assert len(reader.read().entries) == 3


def test_the_rate_is_the_growth_of_the_offsets(reader: RedisReader, holding: Holding) -> None:
    holding.add(event())
    began = time.time()
    assert reader.read().rate is None
    holding.add(*[event()] * 50)
    rate = reader.read().rate
    assert rate is not None
    assert rate >= 50 / (time.time() - began)
    holding.client.delete(f"{holding.key}:offsets")  # a new topic
    assert reader.read().rate is None


def test_what_consumers_and_alerts_report(reader: RedisReader, holding: Holding) -> None:
    holding.tell(lag=3)
    state = reader.read()
    assert (state.lag, state.dead_letters, state.alerts) == (3, {}, None)
    holding.tell(lag=3, broken_JSON=2, NaN=1)
    holding.alert("burst", "payments", "many errors")
    state = reader.read()
    assert state.dead_letters == {"broken JSON": 2, "NaN": 1}
    assert state.alerts
    assert [alert.subject for alert in state.alerts] == ["payments"]
    holding.alert("burst", "payments", "open for 60 s", "over")
    state = reader.read()
    assert state.alerts == []
    assert [notice.state for notice in state.history] == ["over", "open"]


def test_an_invalid_alert_is_left_out(reader: RedisReader, holding: Holding) -> None:
    holding.client.hset(f"{holding.key}:alerts", mapping={"a": b"\xff", "b": "[]", "c": "{}"})
    holding.client.lpush(f"{holding.key}:alerts:history", '{"state": 1}', "", "[" * 10_000)
    holding.client.hset(f"{holding.key}:lag", mapping={"0": "5", "1": "many", "2": "9" * 9_000})
    state = reader.read()
    assert (state.alerts, state.history, state.lag) == ([], [], 5)


def test_counts_of_the_last_day_by_minute(reader: RedisReader, holding: Holding) -> None:
    now = time.time()
    for ago, level in ((0, "ERROR"), (0, "INFO"), (0, "INFO"), (0, "INFO"), (3600 * 23, "DEBUG")):
        holding.add(event(level, timestamp=now - ago))
    holding.add(event(timestamp=now - 3600 * 25))
    state = reader.read()
    minute = int(now // 60)
    assert state.counts[minute] == {"ERROR": 1, "INFO": 3}
    assert state.counts[minute - 23 * 60] == {"DEBUG": 1}
    assert len(state.counts) == 2
    assert state.error_share() == 0.25


def test_a_late_event_of_an_old_minute_is_counted_soon(
    reader: RedisReader, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.read()
    old = time.time() - 3600
    holding.add(event(timestamp=old))
    assert int(old // 60) not in reader.read().counts
    monkeypatch.setattr("logpipeline.dashboard.redis_reader.ALL_MINUTES", 0.0)
    assert reader.read().counts[int(old // 60)] == {"INFO": 1}


def test_per_minute_is_a_mean_over_each_step_and_the_last_may_be_incomplete() -> None:
    minute = 28_000_001  # the second one of a step of ten
    counts = {minute: {"INFO": 4}, minute - 1: {"INFO": 2}, minute - 2: {"ERROR": 20}}
    state = DashboardState(at=minute * 60 + 30.0, lists={}, counts=counts)
    steps = state.per_minute(24 * 60, 10)
    assert len(steps) == 144
    assert [means["INFO"] for _, means in steps[-2:]] == [0, 3]
    assert [means["ERROR"] for _, means in steps[-2:]] == [2, 0]
    assert steps[-1][0] == (minute - 1) * 60
    hour = state.per_minute(60, 1)
    assert len(hour) == 60
    assert hour[-1] == (minute * 60, dict.fromkeys(LEVELS, 0) | {"INFO": 4})


def test_a_list_costs_a_bounded_number_of_bytes(reader: RedisReader, holding: Holding) -> None:
    big = [event(message=f"{number} " + "x" * 1_000_000) for number in range(8)]
    holding.add(*big[:-3], event("ERROR", "after"), *big[-3:], event("ERROR", "new"))
    state = reader.read()
    assert [message[:3] for message in messages(state)] == ["new", "7 x", "6 x", "aft"]
    assert sum(len(each.line) for each in state.lists[""]) <= BUDGET
    assert state.left_out == 2


def test_huge_lines_do_not_keep_redis_busy(reader: RedisReader, holding: Holding) -> None:
    for _ in range(2):
        holding.add(*[event(message="x" * 1_000_000) for _ in range(SCANNED // 2**20)])
    holding.client.rpush(holding.key, event(message="below them"))
    assert "below them" not in messages(reader.read())


def test_a_longer_list_is_read_in_part(
    reader: RedisReader, redis_server: str, holding: Holding
) -> None:
    longer = Holding(holding.client, holding.key, cap=MOST * 2)
    longer.add(*[event(message=str(number)) for number in range(MOST + 50)])
    found = messages(reader.read())
    assert (len(found), found[0], found[-1]) == (MOST, str(MOST + 49), "50")


def test_a_foreign_key_is_an_error_and_the_next_read_works(
    reader: RedisReader, holding: Holding
) -> None:
    holding.client.set(holding.key, "not a list")
    with pytest.raises(redis.RedisError, match="WRONGTYPE"):
        reader.read()
    holding.client.delete(holding.key)
    holding.add(event())
    assert messages(reader.read()) == ["hello"]


def test_an_unavailable_redis_is_an_error_and_is_reconnected(own_redis: Redis) -> None:
    reader = RedisReader(Settings(_env_file=None, redis_url=own_redis.url))
    with redis.Redis.from_url(own_redis.url) as client:
        Holding(client, "logs").add(event())
    reader.read()
    own_redis.kill()
    with pytest.raises((redis.RedisError, OSError)):
        reader.read()
    own_redis.start()
    own_redis.wait_ready()
    assert messages(reader.read()) == ["hello"]
    reader.close()


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff\xfe", b"[]", b"null", b'"text"', b"[" * 100_000, b'{"level":"INFO"}']
    + [event(timestamp=0).replace(b"0}", value + b"}") for value in (b"NaN", b"1e999", b"[]")],
)
def test_an_invalid_record_is_an_entry_as_it_is(line: bytes) -> None:
    made = entry("1", line)
    assert (made.level, made.message) == ("?", line.decode(errors="replace"))


def test_any_event_is_an_entry() -> None:
    lone = b'{"level":"fatal","message":"\\ud800","timestamp":1,"service":{"a":[1]},"deep":'
    made = entry("1", lone + b"[" * 500 + b"]" * 500 + b"}")
    assert (made.level, made.message, made.service) == ("CRITICAL", "\ud800", '{"a": [1]}')
    assert b"critical" in made.searched
    huge = entry("1", event(number=10**400))
    assert b"0" * 400 in huge.searched


def test_a_search_finds_words_in_any_order_case_and_field(
    reader: RedisReader, holding: Holding
) -> None:
    escaped = json.dumps({"level": "ERROR", "message": "Café closed", "timestamp": time.time()})
    holding.add(escaped.encode(), event(user=4711, service="auth", nested={"host": "web-1"}))
    state = reader.read()

    def found(words: str, service: str = "", *levels: str) -> list[str]:
        filters = Filters.of(levels, service, words)
        return [each.message for each in state.matching(filters).entries]

    assert found("CLOSED café") == found("error") == ["Café closed"]
    assert found("4711") == found("user=4711") == found("WEB-1") == ["hello"]
    assert found("hello closed") == []
    assert found("", "auth") == found("", "", "INFO") == ["hello"]
    assert found("", "auth", "ERROR") == []
    assert found("") == ["hello", "Café closed"]


MIB = 2**20
HOSTILE = {
    "arrays": b'"x":[' + b"[]," * (MIB // 3) + b"0]",
    "fields": b",".join(b'"%d":1' % number for number in range(MIB // 10)),
    "deep": b'"x":' + b"[" * 991 + b"1" + b"]" * 991,
    "far too deep": b'"x":' + b"[" * (MIB // 2) + b"]" * (MIB // 2),
    "emoji": '"x":"📜'.encode() + b"a" * MIB + b'"',
    "escapes": b'"x":"' + b"\\u0130" * (MIB // 6) + b'"',
    "numbers": b'"x":[' + b"1e9," * (MIB // 4) + b"0]",
    "long number": b'"x":' + b"9" * MIB,
}


def hostile(kind: str, level: str = "INFO") -> bytes:
    head = f'{{"level":"{level}","message":"hello","timestamp":{time.time()},'
    return head.encode() + HOSTILE[kind] + b"}"


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_events_take_little_more_memory_than_their_bytes(kind: str) -> None:
    lines = [hostile(kind) for _ in range(3)]
    tracemalloc.start()
    try:
        made = [entry(str(number), line) for number, line in enumerate(lines)]
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all("hello" in each.head for each in made)
    assert kept < MIB
    assert most < 150 * MIB  # while one is decoded


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_events_are_shown_searched_and_opened(kind: str) -> None:
    made = entry("1", hostile(kind))
    state = DashboardState(at=time.time(), lists={"": [made]}, counts={})
    assert state.matching(Filters.of(words="hello nothing")).entries == []
    assert state.matching(Filters.of(words="HELLO")).entries == [made]
    assert len(rows([made], state.at, Clock())) < 2_000
    assert len(whole(made, Clock())) < 1_000_000


@pytest.mark.parametrize(
    "words",
    ["a " * 30_000, " ".join(map(str, range(30_000))), "a" * 60_000, "a" * 99 + "b " + "a" * 99],
    ids=["doubled", "many", "long", "slow"],
)
@pytest.mark.parametrize("text", ["a" * 20_000, "a " * 10_000, "\u0130" * 10_000])
def test_no_search_takes_long(words: str, text: str) -> None:
    filters = Filters.of(words=words)
    assert len(filters.words) <= CHARACTERS
    assert len(filters.needles) == len(set(filters.needles)) <= WORDS
    made = [entry(str(number), event(message=text)) for number in range(500)]
    state = DashboardState(at=time.time(), lists={"": made}, counts={})
    assert state.entries
    began = time.thread_time()
    found = state.matching(filters)
    assert time.thread_time() - began < SECONDS + 0.3
    assert found.searched <= 500


def test_a_search_that_timed_out_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logpipeline.dashboard.search.SECONDS", -1.0)
    made = [entry(str(number), event(message="a")) for number in range(5)]
    state = DashboardState(at=time.time(), lists={"": made}, counts={})
    filters = Filters.of(words="a")
    found = state.matching(filters)
    assert (found.entries, found.searched) == ([], 0)
    assert "the search timed out after 0 of them" in note(state, filters, found, 0)
    nine = Filters.of(words="1 2 3 4 5 6 7 8 9")
    assert "only the first 8 words are searched" in note(state, nine, Found([], 5), 0)


@pytest.mark.parametrize("sent", [None, 1, 1.5, [], {}, [["a"]], {"a": 1}, True, "x" * 10**6])
def test_filters_accept_anything_that_a_browser_sends(sent: object) -> None:
    filters = Filters.of([sent, "ERROR"], sent, sent)
    assert filters.levels == {"ERROR"}
    assert len(filters.service + filters.words) < 1_000


def test_lists_of_megabytes_are_read_in_part(reader: RedisReader, holding: Holding) -> None:
    for level in ("INFO", "ERROR"):
        for kind in ("arrays", "fields"):
            for _ in range(4):
                holding.add(*[hostile(kind, level) for _ in range(8)])
    holding.add(event(message="newest"))
    before = holding.client.info("stats")["total_net_output_bytes"]
    state = reader.read()
    sent = holding.client.info("stats")["total_net_output_bytes"] - before
    assert messages(state)[0] == "newest"
    assert sent < 6 * BUDGET + FEW
    assert 0 < state.left_out <= SCANNED // MIB + 1


def test_alerts_and_notices_are_bounded_too(reader: RedisReader, holding: Holding) -> None:
    for number in range(300):
        holding.alert(f"burst {number}", "s" * 50_000, "x" * 50_000)
    before = holding.client.info("stats")["total_net_output_bytes"]
    state = reader.read()
    sent = holding.client.info("stats")["total_net_output_bytes"] - before
    assert state.alerts
    assert state.history
    assert sent < 6 * FEW
    shown = alerts(state, Clock())
    count = shown.partition('class="past"')[0].count("data-alert=")
    assert count
    assert f"and {300 - count} more" in shown
    assert len(shown) < 100_000
    assert '<dd class="value">300</dd>' in tiles(state)


def test_of_ten_thousand_services_a_few_are_shown(reader: RedisReader, holding: Holding) -> None:
    big = Holding(holding.client, holding.key)
    big.add(*[event("ERROR", service=f"service {number}") for number in range(10_000)])
    big.add(*[event("ERROR", service="the worst")] * 5)
    state = reader.read()
    assert state.services[0] == "the worst"
    assert len(state.services) == 996
    shown = failing(state)
    assert "the worst" in shown
    assert "and 988 more" in shown
    assert len(shown) < 5_000


def test_a_filter_reaches_further_back_than_the_list_of_all(
    reader: RedisReader, holding: Holding
) -> None:
    short_list = Holding(holding.client, holding.key, cap=5)
    short_list.add(event("ERROR", "old"), *[event() for _ in range(5)])
    state = reader.read()
    assert "old" not in messages(state)
    errors = state.matching(Filters.of(["ERROR"])).entries
    assert [each.message for each in errors] == ["old"]


def test_failing_services_are_those_with_errors_of_late(
    reader: RedisReader, holding: Holding
) -> None:
    old = time.time() - 600
    holding.add(event("ERROR", service="auth", timestamp=old), event(service="quiet"))
    holding.add(event("CRITICAL", service="auth"), *[event("ERROR", service="pay")] * 2)
    assert reader.read().failing() == ([("pay", 2), ("auth", 1)], True)


def test_failing_estimates_what_redis_does_not_hold() -> None:
    minute = 28_000_001
    held = [entry(str(n), event("ERROR", timestamp=minute * 60 + 59, service="pay")) for n in "ab"]
    counts = {minute: {"ERROR": 50, "INFO": 950}}
    state = DashboardState(at=minute * 60 + 60 - 1e-3, lists={"ERROR": held}, counts=counts)
    assert state.failing() == ([("pay", 50)], False)
    assert state.error_share() == 0.05


def test_text_is_cut_and_says_so() -> None:
    assert short("x" * 50, 40) == "x" * 40 + "…"
    assert short("a\nb\x1b[2J\u202e", 40) == "a\\nb\\x1b[2J\\u202e"
    cut = long("x" * (DETAIL + 1_500))
    assert cut.endswith("x\n… 1,500 more characters are in the archive")
    assert long("a\r\nb\tc\x00") == "a\nb    c\\x00"
