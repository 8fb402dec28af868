"""What a Python program logs becomes an event, whatever its fields hold."""

import copy
import enum
import json
import logging
import random
import sys
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest

from logpipeline.events import event
from logpipeline.events.lines import MOST
from logpipeline.producer.json_value import NESTED
from logpipeline.producer.log_record import event_of


def record(message: object = "said", *args: object, **fields: Any) -> logging.LogRecord:
    """As a logger makes it, with any attributes."""
    made = logging.LogRecord("shop", logging.INFO, __file__, 1, message, args, None)
    vars(made).update(fields)
    return made


def sent(of: logging.LogRecord, service: str = "") -> dict[str, Any]:
    """The fields of its event, which the consumer takes for one."""
    value = event_of(of, service)
    assert len(value) <= MOST
    event.parse(value)
    fields: dict[str, Any] = json.loads(value)
    assert depth(fields) <= NESTED
    return fields


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0) if isinstance(value, (dict, list)) else 0


def extra(value: Any) -> Any:
    """What an extra field becomes, beside others that are as they were."""
    fields = sent(record(before="b", it=value, after=["a"]))
    assert (fields["message"], fields["before"], fields["after"]) == ("said", "b", ["a"])
    return fields["it"]


class Nasty:
    """Raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    __iter__ = __len__ = __hash__ = __bool__ = __float__ = __int__ = __str__  # type: ignore[assignment]


class Classless(Nasty):
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("no class")


class NastyDict(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no items")


class NastyRepr:
    def __str__(self) -> str:
        return "fine"

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class NotText:
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


@dataclass
class Order:
    number: int
    owner: object = None


@dataclass
class NastyOrder:
    number: int

    def __getattribute__(self, name: str) -> Any:
        if name == "number":
            raise RuntimeError("no number")
        return super().__getattribute__(name)


class Point(NamedTuple):
    x: int
    y: int


class Cart(msgspec.Struct):
    items: list[int]


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Name(enum.StrEnum):
    SHOP = "shop"


class Share(float):
    pass


MOMENT = datetime(2026, 11, 24, 16, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (None, None),
        (7, 7),
        (2**64 - 1, 2**64 - 1),
        (2**70, str(2**70)),
        (-(2**70), str(-(2**70))),
        (0.5, 0.5),
        (Share(0.5), 0.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ([1, float("inf")], [1, "inf"]),
        ("half \ud83d", "half \ufffd"),
        ("a whole \ud83d\ude00", "a whole \U0001f600"),
        (["\udcff", {"\udcff": "\udcff"}], ["\ufffd", {"\ufffd": "\ufffd"}]),
        (b"bytes \xff", "bytes \\xff"),
        (bytearray(b"x"), "x"),
        (memoryview(b"x"), "x"),
        ({1: 2, None: 3, ("a", 1): 4}, {"1": 2, "None": 3, "('a', 1)": 4}),
        (OrderedDict(a=1), {"a": 1}),
        ((1, (2,)), [1, [2]]),
        ({5}, [5]),
        (Point(1, 2), [1, 2]),
        (Path("/tmp/x"), "/tmp/x"),  # noqa: S108
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (MOMENT, "2026-11-24T16:24:00Z"),
        (Color.RED, "red"),
        (Size.LARGE, 3),
        (Name.SHOP, "shop"),
        (Order(1, Order(2)), {"number": 1, "owner": {"number": 2, "owner": None}}),
        (Cart([1]), {"items": [1]}),
        (msgspec.Raw(b'{"a":[1]}'), {"a": [1]}),
        (ValueError("wrong"), "wrong"),
        (SimpleNamespace(a=1), "namespace(a=1)"),
        (NastyRepr(), "fine"),
    ],
)
def test_a_value_keeps_its_meaning(value: Any, expected: Any) -> None:
    assert extra(value) == expected


def test_a_value_that_has_no_text() -> None:
    for value, expected in (
        (NotText(), "<NotText: str raised TypeError>"),
        (10**5_000, hex(10**5_000)),  # str() refuses it
    ):
        assert extra(value) == expected
        assert extra([1, value]) == [1, expected]
        assert extra({"a": value}) == {"a": expected}


@pytest.mark.parametrize("make", [Nasty, Classless, lambda: NastyDict(a=1), lambda: NastyOrder(1)])
def test_a_value_that_raises_is_named_and_costs_nothing_else(make: Callable[[], Any]) -> None:
    value = make()
    name = type(value).__name__
    assert name in extra(value) or "{'a': 1}" in extra(value)
    one, nasty = extra([1, value])
    assert one == 1
    assert isinstance(nasty, str)
    assert extra({"a": value, "b": 2})["b"] == 2


@pytest.mark.parametrize(
    "value", [msgspec.Raw(b"{broken"), msgspec.Raw(b""), msgspec.Raw(b"[" * 5_000)]
)
def test_raw_bytes_that_are_no_json_do_not_spoil_the_event(value: msgspec.Raw) -> None:
    assert isinstance(extra(value), str)


def nested(levels: int, of: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = of(value)
    return value


@pytest.mark.parametrize("of", [lambda v: [v], lambda v: {"a": v}, lambda v: Order(1, v)])
def test_an_event_is_nested_no_deeper_than_the_consumer_takes(of: Callable[[Any], Any]) -> None:
    allowed = sent(record(it=nested(NESTED - 1, of)))
    assert depth(allowed) == NESTED
    assert "..." not in json.dumps(allowed)
    for levels in (NESTED, 5_000, 50_000):
        deep = sent(record(it=nested(levels, of)))
        assert depth(deep) == NESTED
        assert isinstance(deep["it"], (list, dict))


def test_cycles_end() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    assert extra(circle)[0] == 1
    loop: dict[str, Any] = {"a": 1}
    loop["b"] = [loop, loop]
    assert extra(loop)["a"] == 1
    order = Order(1)
    order.owner = order
    assert extra(order)["number"] == 1
    twice = [0]
    assert extra([twice, twice]) == [[0], [0]]


def test_what_grows_without_end_is_cut() -> None:
    """Ten lists of ten lists of … : 10^30 values from 300."""
    value: Any = "x"
    for _ in range(30):
        value = [value] * 10
    cut = extra(value)
    assert cut.startswith("[[[")
    assert "[cut: it has more than " in cut
    assert "[cut: it has more than " in extra(["y" * 100_000] * 1_000_000)


@pytest.mark.parametrize("key", [5, None, ("a", 1), "\ud800", "", b"x", 2.5])
def test_an_attribute_of_any_name(key: Any) -> None:
    made = record(fine=1)
    vars(made)[key] = "odd"
    fields = sent(made)
    assert fields["fine"] == 1
    assert "odd" in fields.values()


def test_extra_fields_replace_none_of_the_events_own() -> None:
    made = record(level=1, timestamp=2, logger=3, exception=4, stack=5, service="mine")
    vars(made)["original_level"] = 6
    made.exc_info = sys.exc_info()
    try:
        raise ValueError("wrong")
    except ValueError:
        made.exc_info = sys.exc_info()
    made.stack_info = "Stack"
    fields = sent(made, "shop")
    assert fields["logger"] == "shop"
    assert fields["exception"].endswith("ValueError: wrong")
    assert fields["stack"] == "Stack"
    assert fields["service"] == "mine"
    names = ("level", "timestamp", "logger", "exception", "stack", "original_level")
    assert [fields[f"original_{name}"] for name in names] == [1, 2, 3, 4, 5, 6]


def test_attributes_that_another_thread_adds() -> None:
    """As handlers of other threads do with the record of a QueueHandler."""

    class Adding:
        def __str__(self) -> str:
            vars(made)[f"more{len(vars(made))}"] = 1
            return "added"

    made = record(it=Adding(), last=1)
    assert sent(made)["last"] == 1


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (record("%d", "no number"), "%d ('no number',)"),
        (record("%s", Nasty()), "%s <Nasty: repr raised RuntimeError>"),
        (record("%s %s", 1, Nasty()), "%s %s 1, <Nasty: repr raised RuntimeError>"),
        (record(Nasty()), "<Nasty: str raised RuntimeError> ()"),
        (record("%(a)s", {"b": 1}), "%(a)s {'b': 1}"),
        (record("%s" * 3, *"ab"), "%s%s%s ('a', 'b')"),
        (record(5), "5"),
        (record(None), "None"),
        (record("half \ud800 %s", "\udfff"), "half \ufffd \ufffd"),
        (record(b"bytes"), "b'bytes'"),
        (record(Name.SHOP), "shop"),
    ],
)
def test_a_message_that_can_not_be_made_is_shown_in_parts(
    made: logging.LogRecord, message: str
) -> None:
    assert sent(made)["message"] == message


def test_a_record_whose_getmessage_raises_or_returns_no_text() -> None:
    class Braces(logging.LogRecord):
        def getMessage(self) -> str:  # noqa: N802
            return str(self.msg).format(*self.args)  # type: ignore[misc]

    class Number(logging.LogRecord):
        def getMessage(self) -> str:  # noqa: N802
            return 7  # type: ignore[return-value]

    def of(kind: type[logging.LogRecord], message: str, *args: object) -> Any:
        return sent(kind("shop", 20, __file__, 1, message, args, None))["message"]

    assert of(Braces, "{} of {}", 3, 4) == "3 of 4"
    assert of(Braces, "{} of {}", 3) == "{} of {} (3,)"
    assert of(Number, "x") == "7"


class NastyError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raised(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:  # noqa: BLE001
        return sys.exc_info()


class NastySyntaxError(SyntaxError):
    """Whose traceback can't be formatted."""

    lineno = "x"  # type: ignore[assignment]
    offset = Nasty()  # type: ignore[assignment]
    text = filename = property(lambda self: 1 / 0)


@pytest.mark.parametrize(
    ("exc_info", "shown"),
    [
        (raised(NastyError()), "NastyError"),
        (raised(NastySyntaxError("x")), "NastySyntaxError"),
        (raised(ValueError("half \ud800")), "half \ufffd"),
        (raised(ExceptionGroup("both", [ValueError("a"), NastyError()])), "ValueError: a"),
        (True, "True"),
        (ValueError("no tuple"), "no tuple"),
        ((ValueError,), "ValueError"),
    ],
)
def test_any_exception_is_in_the_event(exc_info: Any, shown: str) -> None:
    fields = sent(record(exc_info=exc_info, fine=1))
    assert shown in fields["exception"]
    assert fields["fine"] == 1


def test_no_exception_is_none() -> None:
    assert "exception" not in sent(record(exc_info=(None, None, None)))
    assert sent(record(exc_text="as it was"))["exception"] == "as it was"


@pytest.mark.parametrize("created", [float("nan"), float("inf"), None, "soon", 10**400, object()])
def test_a_time_that_is_none_becomes_now(created: Any) -> None:
    before = logging.LogRecord("x", 20, "", 1, "x", (), None).created
    assert before <= sent(record(created=created))["timestamp"]


@pytest.mark.parametrize(
    ("levelno", "level"),
    [
        (-5, "DEBUG"),
        (0, "DEBUG"),
        (19, "DEBUG"),
        (25, "INFO"),
        (39.5, "WARNING"),
        (49, "ERROR"),
        (10**30, "CRITICAL"),
        (float("nan"), "CRITICAL"),
    ],
)
def test_levels(levelno: Any, level: str) -> None:
    assert sent(record(levelno=levelno))["level"] == level


def test_records_that_were_made_from_something_else() -> None:
    assert sent(logging.makeLogRecord({"msg": "x"}))["level"] == "INFO"
    assert sent(logging.makeLogRecord({"levelname": "fatal"}))["level"] == "CRITICAL"
    assert sent(logging.makeLogRecord({"levelno": "40", "name": 5}))["logger"] == "5"


class TestTooLarge:
    def test_the_longest_field_is_cut_and_named(self) -> None:
        made = record("said", small="kept", big="y" * 2 * MOST, exc_info=raised(ValueError("x")))
        fields = sent(made)
        assert fields["message"] == "said"
        assert fields["small"] == "kept"
        assert fields["exception"].endswith("ValueError: x")
        assert fields["big"].startswith("yyy")
        assert fields["big"].endswith(f"y … [cut: big has {2 * MOST:,} bytes]")
        assert len(event_of(made)) > MOST - 100

    def test_several_are_cut_to_one_length(self) -> None:
        fields = sent(record("x" * 3 * MOST, a="y" * MOST, b="z" * 1_000, c="é" * MOST))
        assert fields["message"].endswith(f"x … [cut: message has {3 * MOST:,} bytes]")
        assert fields["a"].endswith(f"y … [cut: a has {MOST:,} bytes]")
        assert fields["c"].endswith(f"é … [cut: c has {2 * MOST:,} bytes]")
        assert fields["b"] == "z" * 1_000
        lengths = [len(fields[name].encode()) for name in ("message", "a", "c")]
        assert max(lengths) - min(lengths) < 200

    def test_its_exception_or_its_stack_or_its_logger(self) -> None:
        fields = sent(record(exc_info=raised(ValueError("v" * 2 * MOST)), it=1))
        assert fields["exception"].startswith("Traceback")
        assert "[cut: exception has " in fields["exception"]
        assert "[cut: stack has " in sent(record(stack_info="s" * 2 * MOST))["stack"]
        assert "[cut: logger has " in sent(record(name="s" * 2 * MOST))["logger"]
        assert fields["it"] == 1

    def test_a_structure_becomes_text(self) -> None:
        fields = sent(record(it={"numbers": list(range(500_000))}, fine=[1]))
        assert fields["it"].startswith('{"numbers":[0,1,2,')
        assert "[cut: it has " in fields["it"]
        assert fields["fine"] == [1]

    @pytest.mark.parametrize("character", ["\x00", '"', "é", "\U0001f600", "\ud800"])
    def test_of_characters_that_take_more_bytes(self, character: str) -> None:
        fields = sent(record("kept", it="a" * 500_000 + character * MOST))
        assert fields["message"] == "kept"
        assert fields["it"].startswith("a" * 500_000)
        assert "[cut: it has " in fields["it"]

    def test_names_and_many_fields(self) -> None:
        fields = sent(record(**{"n" * 2 * MOST: 1}))
        assert {name[:5] for name in fields} >= {"nnnnn", "messa"}
        many = {f"{number}" + "\x00" * 2_000: "x" * 5_000 for number in range(20_000)}
        fields = sent(record(**many))
        assert fields["message"] == "said"
        assert len(fields) > 400
        assert fields["cut_fields"] == 20_004 - 500

    def test_what_just_fits_is_whole(self) -> None:
        room = MOST - len(event_of(record(it="")))
        made = record(it="y" * room)
        made.created = 1.5
        assert "cut" not in sent(made)["it"][-100:]


def test_random_records_are_events() -> None:
    dice = random.Random(5)
    leaves: list[Callable[[], Any]] = [
        *(lambda: dice.random(), lambda: "\ud800\x00é", lambda: b"\xff", Nasty, NastyRepr),
        *(lambda: float("nan"), lambda: 2**80, lambda: None, lambda: MOMENT, lambda: Color.RED),
        lambda: "z" * dice.choice([1, 100, 300_000]),
    ]

    def value(levels: int) -> Any:
        if not levels or dice.random() < 0.3:
            return dice.choice(leaves)()
        inner = [value(levels - 1) for _ in range(dice.randrange(4))]
        if dice.random() < 0.5:
            return inner
        return {dice.choice([1, "a", None, "\ud800", (1,)]): each for each in inner}

    for _ in range(300):
        made = record(value(1), *[value(1) for _ in range(dice.randrange(2))])
        names: list[Any] = ["a", "level", 5, "\udfff"]
        vars(made).update({dice.choice(names): value(6) for _ in range(4)})
        made.exc_info = dice.choice([None, True, raised(NastyError())])
        sent(copy.copy(made))
