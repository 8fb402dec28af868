"""The board: what the web page takes from Redis, and at what cost."""

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
def look(redis_server: str, holding: Holding) -> Iterator[RedisReader]:
    look = RedisReader(Settings(_env_file=None, redis_url=redis_server, redis_key=holding.key))
    yield look
    look.close()


def messages(board: DashboardState, level: str = "") -> list[str]:
    return [each.message for each in board.lists[level]]


def test_nothing_there_is_empty_and_unknown(look: RedisReader) -> None:
    board = look.take()
    assert board.empty
    assert (board.lag, board.dead_letters, board.alerts, board.rate) == (None, None, None, None)
    assert board.error_share() is None


def test_it_has_the_newest_events_first_and_by_level(look: RedisReader, holding: Holding) -> None:
    holding.add(event(message="one"), event("Warn", "two", service="auth", code=7))
    board = look.take()
    assert not board.empty
    assert messages(board) == ["two", "one"]
    assert messages(board, "WARNING") == ["two"]
    [two] = board.lists["WARNING"]
    assert (two.level, two.service, two.fields) == ("WARNING", "auth", {"code": 7})
    assert board.services == ["auth"]
    assert board.total == 2


def test_the_next_look_has_what_came_since_and_the_same_ids(
    look: RedisReader, holding: Holding
) -> None:
    holding.add(event(message="one"))
    first = look.take()
    holding.add(event(message="two"))
    second = look.take()
    assert messages(second) == ["two", "one"]
    assert second.lists[""][1] is first.lists[""][0]


def test_equal_lines_are_different_entries(look: RedisReader, holding: Holding) -> None:
    same = event()
    holding.add(same, same, same)
    assert len(look.take().entries) == 3


def test_the_rate_is_the_growth_of_the_offsets(look: RedisReader, holding: Holding) -> None:
    holding.add(event())
    began = time.time()
    assert look.take().rate is None
    holding.add(*[event()] * 50)
    rate = look.take().rate
    assert rate is not None
    assert rate >= 50 / (time.time() - began)
    holding.client.delete(f"{holding.key}:offsets")  # a new topic
    assert look.take().rate is None


def test_what_consumers_and_alerts_tell(look: RedisReader, holding: Holding) -> None:
    holding.tell(lag=3)
    board = look.take()
    assert (board.lag, board.dead_letters, board.alerts) == (3, {}, None)
    holding.tell(lag=3, broken_JSON=2, NaN=1)
    holding.alert("burst", "payments", "many errors")
    board = look.take()
    assert board.dead_letters == {"broken JSON": 2, "NaN": 1}
    assert board.alerts
    assert [alert.subject for alert in board.alerts] == ["payments"]
    holding.alert("burst", "payments", "it was open for 60 s", "over")
    board = look.take()
    assert board.alerts == []
    assert [notice.state for notice in board.history] == ["over", "open"]


def test_what_is_no_alert_is_left_out(look: RedisReader, holding: Holding) -> None:
    holding.client.hset(f"{holding.key}:alerts", mapping={"a": b"\xff", "b": "[]", "c": "{}"})
    holding.client.lpush(f"{holding.key}:alerts:history", '{"state": 1}', "", "[" * 10_000)
    holding.client.hset(f"{holding.key}:lag", mapping={"0": "5", "1": "many", "2": "9" * 9_000})
    board = look.take()
    assert (board.alerts, board.history, board.lag) == ([], [], 5)


def test_counts_of_the_last_day_by_minute(look: RedisReader, holding: Holding) -> None:
    now = time.time()
    for ago, level in ((0, "ERROR"), (0, "INFO"), (0, "INFO"), (0, "INFO"), (3600 * 23, "DEBUG")):
        holding.add(event(level, timestamp=now - ago))
    holding.add(event(timestamp=now - 3600 * 25))
    board = look.take()
    minute = int(now // 60)
    assert board.counts[minute] == {"ERROR": 1, "INFO": 3}
    assert board.counts[minute - 23 * 60] == {"DEBUG": 1}
    assert len(board.counts) == 2
    assert board.error_share() == 0.25


def test_a_late_event_of_an_old_minute_is_counted_soon(
    look: RedisReader, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    look.take()
    old = time.time() - 3600
    holding.add(event(timestamp=old))
    assert int(old // 60) not in look.take().counts
    monkeypatch.setattr("logpipeline.dashboard.redis_reader.ALL_MINUTES", 0.0)
    assert look.take().counts[int(old // 60)] == {"INFO": 1}


def test_per_minute_is_a_mean_over_each_step_and_of_the_minutes_that_were() -> None:
    minute = 28_000_001  # the second one of a step of ten
    counts = {minute: {"INFO": 4}, minute - 1: {"INFO": 2}, minute - 2: {"ERROR": 20}}
    board = DashboardState(at=minute * 60 + 30.0, lists={}, counts=counts)
    steps = board.per_minute(24 * 60, 10)
    assert len(steps) == 144
    assert [means["INFO"] for _, means in steps[-2:]] == [0, 3]
    assert [means["ERROR"] for _, means in steps[-2:]] == [2, 0]
    assert steps[-1][0] == (minute - 1) * 60
    hour = board.per_minute(60, 1)
    assert len(hour) == 60
    assert hour[-1] == (minute * 60, dict.fromkeys(LEVELS, 0) | {"INFO": 4})


def test_a_list_costs_a_bounded_number_of_bytes(look: RedisReader, holding: Holding) -> None:
    big = [event(message=f"{number} " + "x" * 1_000_000) for number in range(8)]
    holding.add(*big[:-3], event("ERROR", "after"), *big[-3:], event("ERROR", "new"))
    board = look.take()
    assert [message[:3] for message in messages(board)] == ["new", "7 x", "6 x", "aft"]
    assert sum(len(each.line) for each in board.lists[""]) <= BUDGET
    assert board.left_out == 2


def test_huge_lines_do_not_keep_redis_busy(look: RedisReader, holding: Holding) -> None:
    for _ in range(2):
        holding.add(*[event(message="x" * 1_000_000) for _ in range(SCANNED // 2**20)])
    holding.client.rpush(holding.key, event(message="below them"))
    assert "below them" not in messages(look.take())


def test_a_longer_list_is_read_in_part(
    look: RedisReader, redis_server: str, holding: Holding
) -> None:
    longer = Holding(holding.client, holding.key, cap=MOST * 2)
    longer.add(*[event(message=str(number)) for number in range(MOST + 50)])
    found = messages(look.take())
    assert (len(found), found[0], found[-1]) == (MOST, str(MOST + 49), "50")


def test_a_foreign_key_is_an_error_and_the_next_look_goes_on(
    look: RedisReader, holding: Holding
) -> None:
    holding.client.set(holding.key, "not a list")
    with pytest.raises(redis.RedisError, match="WRONGTYPE"):
        look.take()
    holding.client.delete(holding.key)
    holding.add(event())
    assert messages(look.take()) == ["hello"]


def test_a_redis_that_is_away_is_an_error_and_found_again(own_redis: Redis) -> None:
    look = RedisReader(Settings(_env_file=None, redis_url=own_redis.url))
    with redis.Redis.from_url(own_redis.url) as client:
        Holding(client, "logs").add(event())
    look.take()
    own_redis.kill()
    with pytest.raises((redis.RedisError, OSError)):
        look.take()
    own_redis.start()
    own_redis.wait_ready()
    assert messages(look.take()) == ["hello"]
    look.close()


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff\xfe", b"[]", b"null", b'"text"', b"[" * 100_000, b'{"level":"INFO"}']
    + [event(timestamp=0).replace(b"0}", value + b"}") for value in (b"NaN", b"1e999", b"[]")],
)
def test_what_is_no_event_is_an_entry_as_it_is(line: bytes) -> None:
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
    look: RedisReader, holding: Holding
) -> None:
    escaped = json.dumps({"level": "ERROR", "message": "Café closed", "timestamp": time.time()})
    holding.add(escaped.encode(), event(user=4711, service="auth", nested={"host": "web-1"}))
    board = look.take()

    def found(words: str, service: str = "", *levels: str) -> list[str]:
        filters = Filters.of(levels, service, words)
        return [each.message for each in board.matching(filters).entries]

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
    board = DashboardState(at=time.time(), lists={"": [made]}, counts={})
    assert board.matching(Filters.of(words="hello nothing")).entries == []
    assert board.matching(Filters.of(words="HELLO")).entries == [made]
    assert len(rows([made], board.at, Clock())) < 2_000
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
    board = DashboardState(at=time.time(), lists={"": made}, counts={})
    assert board.entries
    began = time.thread_time()
    found = board.matching(filters)
    assert time.thread_time() - began < SECONDS + 0.3
    assert found.looked <= 500


def test_a_search_that_was_ended_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logpipeline.dashboard.search.SECONDS", -1.0)
    made = [entry(str(number), event(message="a")) for number in range(5)]
    board = DashboardState(at=time.time(), lists={"": made}, counts={})
    filters = Filters.of(words="a")
    found = board.matching(filters)
    assert (found.entries, found.looked) == ([], 0)
    assert "the search took too long and ended after 0 of them" in note(board, filters, found, 0)
    nine = Filters.of(words="1 2 3 4 5 6 7 8 9")
    assert "only the first 8 words are looked for" in note(board, nine, Found([], 5), 0)


@pytest.mark.parametrize("sent", [None, 1, 1.5, [], {}, [["a"]], {"a": 1}, True, "x" * 10**6])
def test_filters_are_made_of_anything_that_a_browser_sends(sent: object) -> None:
    filters = Filters.of([sent, "ERROR"], sent, sent)
    assert filters.levels == {"ERROR"}
    assert len(filters.service + filters.words) < 1_000


def test_lists_of_megabytes_are_read_in_part(look: RedisReader, holding: Holding) -> None:
    for level in ("INFO", "ERROR"):
        for kind in ("arrays", "fields"):
            for _ in range(4):
                holding.add(*[hostile(kind, level) for _ in range(8)])
    holding.add(event(message="newest"))
    before = holding.client.info("stats")["total_net_output_bytes"]
    board = look.take()
    sent = holding.client.info("stats")["total_net_output_bytes"] - before
    assert messages(board)[0] == "newest"
    assert sent < 6 * BUDGET + FEW
    assert 0 < board.left_out <= SCANNED // MIB + 1


def test_what_tells_of_alerts_is_bounded_too(look: RedisReader, holding: Holding) -> None:
    for number in range(300):
        holding.alert(f"burst {number}", "s" * 50_000, "x" * 50_000)
    before = holding.client.info("stats")["total_net_output_bytes"]
    board = look.take()
    sent = holding.client.info("stats")["total_net_output_bytes"] - before
    assert board.alerts
    assert board.history
    assert sent < 6 * FEW
    shown = alerts(board, Clock())
    count = shown.count('class="critical"><b>')
    assert count + board.more_alerts == 300
    assert f"and {board.more_alerts} more" in shown
    assert len(shown) < 100_000
    assert '<dd class="value">300</dd>' in tiles(board)


def test_of_ten_thousand_services_a_few_are_shown(look: RedisReader, holding: Holding) -> None:
    big = Holding(holding.client, holding.key)
    big.add(*[event("ERROR", service=f"service {number}") for number in range(10_000)])
    big.add(*[event("ERROR", service="the worst")] * 5)
    board = look.take()
    assert board.services[0] == "the worst"
    assert len(board.services) == 996
    shown = failing(board)
    assert "the worst" in shown
    assert "and 988 more" in shown
    assert len(shown) < 5_000


def test_a_filter_reaches_further_back_than_the_list_of_all(
    look: RedisReader, holding: Holding
) -> None:
    short_list = Holding(holding.client, holding.key, cap=5)
    short_list.add(event("ERROR", "old"), *[event() for _ in range(5)])
    board = look.take()
    assert "old" not in messages(board)
    errors = board.matching(Filters.of(["ERROR"])).entries
    assert [each.message for each in errors] == ["old"]


def test_failing_services_are_those_with_errors_of_late(
    look: RedisReader, holding: Holding
) -> None:
    old = time.time() - 600
    holding.add(event("ERROR", service="auth", timestamp=old), event(service="quiet"))
    holding.add(event("CRITICAL", service="auth"), *[event("ERROR", service="pay")] * 2)
    seconds, services = look.take().failing()
    assert services == [("pay", 2), ("auth", 1)]
    assert seconds == pytest.approx(300)


def test_failing_says_how_far_back_it_sees(look: RedisReader, holding: Holding) -> None:
    capped = Holding(holding.client, holding.key, cap=10)
    now = time.time()
    capped.add(*[event("ERROR", timestamp=now - 100 + n) for n in range(50)])
    seconds, [(name, count)] = look.take().failing()
    assert (name, count) == ("without a service", 10)
    assert 59 < seconds < 65


def test_text_is_cut_and_says_so() -> None:
    assert short("x" * 50, 40) == "x" * 40 + "…"
    assert short("a\nb\x1b[2J\u202e", 40) == "a\\nb\\x1b[2J\\u202e"
    cut = long("x" * (DETAIL + 1_500))
    assert cut.endswith("x\n… 1,500 more characters are in the archive")
    assert long("a\r\nb\tc\x00") == "a\nb    c\\x00"
