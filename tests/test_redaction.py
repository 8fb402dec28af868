"""Redaction: what is replaced before Kafka, and what is not."""

import json
import logging
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import logpipeline
from config import Settings
from logpipeline.events.event import parse
from logpipeline.events.lines import HELD, MOST, Lines, Splitter, fitted
from logpipeline.events.redaction import KINDS, Redaction, has_check_digit
from logpipeline.events.settings import RedactionSettings
from logpipeline.producer.log_record import event_of
from logpipeline.settings import SettingsError
from tests.conftest import RunScript
from tests.support.process import ROOT
from tests.support.topics import records
from tests.support.waiting import until

VISA = "4111111111111111"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
FOUND = [
    ("email", "to alice@example.org now", "to [email] now"),
    ("email", "Alice.B+x@mail.example.co.uk", "[email]"),
    ("email", "?u=alice%40example.org&x=1", "?u=[email]&x=1"),
    ("email", "<o'hara@example.org>, bob@example.com", "<[email]>, [email]"),
    ("email", "müller@example.org", "[email]"),
    ("card", f"paid with {VISA}.", "paid with [card]."),
    ("card", "4111 1111 1111 1111", "[card]"),
    ("card", "5555-5555-5555-4444", "[card]"),
    ("card", "378282246310005", "[card]"),
    ("token", "Authorization: Bearer abcdef123456", "Authorization: Bearer [token]"),
    ("token", f"jwt {JWT}", "jwt [token]"),
    ("token", "password=hunter2&x=1", "password=[token]&x=1"),
    ("token", "DB_PASSWORD: hunter2", "DB_PASSWORD: [token]"),
    ("token", "postgres://bob:s3cret@db:5432/x", "postgres://[token]@db:5432/x"),
    ("token", "key AKIAIOSFODNN7EXAMPLE", "key [token]"),
    ("token", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "[token]"),
    ("token", '{"api_key": "abc"}', '{"api_key": "[token]"}'),
    ("ip", "from 192.0.2.1:443", "from [ip]:443"),
    ("ip", "[::1]:80 and 2001:db8::1", "[[ip]]:80 and [ip]"),
    ("ip", "client=10.0.0.1, x", "client=[ip], x"),
]
KEPT = [
    ("email", "a@b @ c@ @example.org"),
    ("card", "4111111111111112"),
    ("card", "1714557600500 1714557600500000 1714557600500000000"),
    ("card", "order 0000000000000000"),
    ("card", f"9{VISA}9999"),
    ("token", "the token expired; no password was given"),
    ("token", "tokens: 12".replace(":", "")),
    ("ip", "version 1.2.3.4.5 and 999.1.1.1"),
    ("ip", "10:00:00 std::vector"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), FOUND)
class TestFound:
    def test_it_is_replaced_in_a_text(self, kind: str, text: str, expected: str) -> None:
        redaction = Redaction([kind])
        assert redaction.text(text) == expected
        assert redaction.counts.keys() == {kind}

    def test_it_is_replaced_in_an_event(self, kind: str, text: str, expected: str) -> None:
        fields = {"level": "ERROR", "message": text, "timestamp": 1.5, "x": {"y": [text]}}
        for ascii_only in (True, False):
            value = json.dumps(fields, ensure_ascii=ascii_only).encode()
            made = json.loads(Redaction([kind]).event(value))
            assert made == fields | {"message": expected, "x": {"y": [expected]}}

    def test_it_stays_when_its_kind_is_not_asked_for(
        self, kind: str, text: str, expected: str
    ) -> None:
        others = Redaction([other for other in KINDS if other != kind])
        assert expected not in others.text(text) or kind not in others.counts


@pytest.mark.parametrize(("kind", "text"), KEPT)
def test_what_is_none_stays(kind: str, text: str) -> None:
    assert Redaction([kind]).text(text) == text


class TestEvent:
    def test_it_stays_an_event_whatever_is_redacted(self) -> None:
        value = b'{"level":"error","message":"1","timestamp":4111111111111111,"n":1.10,"b":1e999}'
        assert Redaction(KINDS).event(value) == value

    def test_a_card_number_that_is_a_number_becomes_a_string(self) -> None:
        value = b'{"level":"INFO","message":"x","timestamp":1,"card":%s}' % VISA.encode()
        assert Redaction(["card"]).event(value).endswith(b'"card":"[card]"}')

    def test_the_value_of_a_secret_name_is_replaced_whatever_it_is(self) -> None:
        value = b'{"level":"INFO","message":"x","timestamp":1,"user_password":"a b","passed":"y"}'
        made = json.loads(Redaction(["token"]).event(value))
        assert (made["user_password"], made["passed"]) == ("[token]", "y")

    def test_escapes_hide_nothing(self) -> None:
        value = b'{"level":"INFO","message":"a\\u0040example.org","timestamp":1}'
        assert b'"[email]"' in Redaction(["email"]).event(value)

    def test_broken_json_is_redacted_too(self) -> None:
        value = b'{"level":"INFO","message":"for a@x.org \\" b@x.org'
        assert Redaction(["email"]).event(value).endswith(b'"for [email] \\" [email]')

    def test_a_pattern_of_ones_own_leaves_the_level(self) -> None:
        settings = b'{"level":"INFO","message":"INFO","timestamp":1}'
        redaction = RedactionSettings(redact="email").redaction()
        assert redaction is not None
        assert redaction.event(settings) == settings


class TestKey:
    def test_the_same_value_has_the_same_hash_and_another_another(self) -> None:
        redaction = Redaction(KINDS, "key")
        first, second = redaction.text("a@x.org"), redaction.text("A@x.org")
        assert first == second != redaction.text("b@x.org")
        assert first.startswith("[email:")
        assert len(first) == len("[email:]") + 12

    def test_a_card_has_it_however_it_is_written(self) -> None:
        redaction = Redaction(["card"], "key")
        assert redaction.text(VISA) == redaction.text("4111-1111-1111-1111")

    def test_another_key_gives_other_hashes(self) -> None:
        assert Redaction(["email"], "a").text("a@x.org") != Redaction(["email"], "b").text(
            "a@x.org"
        )

    def test_what_was_replaced_is_not_replaced_again(self) -> None:
        redaction = Redaction(KINDS, "key")
        for _, text, _ in FOUND:
            assert redaction.text(redaction.text(text)) == redaction.text(text)


class TestSettings:
    def test_nothing_is_redacted_by_default(self) -> None:
        assert RedactionSettings().redaction() is None

    def test_patterns_of_a_file_have_names_and_groups(self, tmp_path: Path) -> None:
        path = tmp_path / "patterns"
        path.write_text("# ours\n\ncustomer = \\bK-\\d{6}\\b\nname=(\\w+)\n\\bsecret-\\w+\n")
        redaction = RedactionSettings(redact_file=str(path)).redaction()
        assert redaction is not None
        text = redaction.text("K-123456 name=bob secret-x K-12")
        assert text == "[customer] name=[redacted] [redacted] K-12"

    @pytest.mark.parametrize(
        ("text", "said"),
        [("a\nb = (\n", "line 2 must be a regular expression"), ("a*", "must not match an empty")],
    )
    def test_an_invalid_pattern_is_named(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "patterns"
        path.write_text(text)
        with pytest.raises(SettingsError, match=said) as caught:
            RedactionSettings(redact_file=str(path)).redaction()
        assert "\n" not in str(caught.value)

    def test_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="REDACT='emial': must be some of email, card"):
            RedactionSettings.checked(redact="emial")

    def test_the_key_is_secret(self) -> None:
        assert "redact_key" in RedactionSettings.secrets()
        assert "hunter2" not in repr(RedactionSettings(redact_key="hunter2"))


SECRETS = [
    "ada.lovelace@example.org",
    "4111 1111 1111 1111",
    "-----BEGIN RSA PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA75\\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.usefixtures("one_moment")  # in which no secret begins
class TestWhereItIs:
    def test_lines(self) -> None:
        lines = Lines("shop", Redaction(KINDS))
        for line in (b"ERROR for a@x.org", b'{"level":"error","msg":"m","user":"a@x.org"}'):
            made = lines.event(line, len(line)) or b""
            assert b"[email]" in made
            assert b"a@x.org" not in made

    def test_a_line_that_is_cut(self) -> None:
        line = b"a@x.org " * 200_000
        made = Lines("", Redaction(KINDS, "key")).event(line, len(line)) or b""
        assert len(made) <= MOST
        assert b"a@x.org" not in made
        parse(made)

    @pytest.mark.parametrize("secret", SECRETS)
    def test_a_secret_where_an_event_is_cut(self, secret: str) -> None:
        for begin in range(MOST - 125, MOST - 85, 6):
            line = b"x" * begin + b" " + secret.encode() + b" and more " + b"y " * 1_000
            made = Lines("", Redaction(KINDS)).event(line, len(line)) or b""
            assert len(made) <= MOST
            assert b"[cut: " in made
            assert secret[:6] not in made.decode(), begin

    @pytest.mark.parametrize("secret", SECRETS)
    def test_a_secret_where_a_line_is_cut_that_becomes_much_shorter(self, secret: str) -> None:
        long = b"a.customer.with.a.long.name.indeed@mail.example.org "
        for kept in (3, len(secret) // 2, len(secret) - 1):
            begin = (long * (HELD // len(long)))[: HELD - kept - 60].rpartition(b" ")[0]
            line = begin.ljust(HELD - kept) + secret.encode() + b" and more " + b"y " * 1_000
            [(text, size)] = Splitter().feed(line + b"\n")
            made = Lines("", Redaction(KINDS)).event(text, size) or b""
            assert b"[cut: the line has " in made
            assert secret[:3] not in made.decode(), kept

    def test_lines_that_are_converted_together(self) -> None:
        lines = [b"2024-05-01 10:00:00 ERROR for %d@x.org" % number for number in range(50)]
        redaction = Redaction(KINDS)
        made = Lines("shop", redaction).separate([*lines, b"a@x.org " * 140_000])
        assert not [each for each in made if each is None or b"x.org" in each or len(each) > MOST]
        assert redaction.counts["email"] == 140_050

    @pytest.mark.parametrize("secret", SECRETS)
    def test_a_secret_where_a_record_is_cut(self, secret: str) -> None:
        for begin in range(MOST - 190, MOST - 130, 12):
            message = "x" * begin + f" {secret} " + "y " * 1_000
            record = logging.makeLogRecord({"msg": message, "name": "shop"})
            made = event_of(record, "", Redaction(KINDS))
            assert len(made) <= MOST
            assert secret[:6] not in made.decode()

    @pytest.mark.parametrize("way", ["--input", "--follow"])
    def test_producer_leaves_no_half_of_a_secret_at_a_cut(
        self, way: str, run_script: RunScript, settings: Settings, tmp_path: Path
    ) -> None:
        path = tmp_path / "shop.log"
        begins = range(MOST - 125, MOST - 85, 6)
        lines = [b"x" * begin + b" ada@example.org " + b"y" * 200 for begin in begins]
        path.write_bytes(b"\n".join(lines) + b"\n")
        producer = run_script("producer.py", way, str(path), "--redact", "email")
        of_topic = settings.kafka_bootstrap_servers, settings.kafka_topic

        def values() -> list[bytes]:
            with suppress(ValueError):  # there is no topic yet
                return [value for pairs in records(*of_topic).values() for _, value in pairs]
            return []

        until(lambda: len(values()) == len(begins), 60, str(producer))
        producer.terminate()
        assert producer.wait(20) == 0
        assert not [each for each in values() if b"ada@" in each or b"[cut: " not in each]

    def test_an_event_that_becomes_too_large(self) -> None:
        value = b'{"level":"error","message":"%b","timestamp":1.5,"x":1}' % (b"a@x.org " * 90_000)
        made = fitted(Redaction(KINDS, "key").event(value))
        assert len(made) <= MOST
        assert (parse(made).level, parse(made).timestamp) == ("ERROR", 1.5)
        assert parse(made).message.startswith(Redaction(KINDS, "key").text("a@x.org a@x.org"))
        assert "[cut: " in parse(made).message
        assert fitted(value) == value

    def test_a_record_of_a_python_program(self) -> None:
        record = logging.makeLogRecord(
            {"msg": "for %s", "args": ("a@x.org",), "user": {"m": "b@x.org"}}
        )
        made = json.loads(event_of(record, "", Redaction(KINDS)))
        assert (made["message"], made["user"]) == ("for [email]", {"m": "[email]"})

    def test_the_handler_takes_the_settings(self) -> None:
        logpipeline.KafkaLogHandler(redact="email", redact_key="k").close()
        with pytest.raises(SettingsError, match="REDACT='emial': must be some of"):
            logpipeline.KafkaLogHandler(redact="emial")

    def test_producer_refuses_an_invalid_file_in_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "patterns"
        path.write_text("(\n")
        command = [sys.executable, "producer.py", "--count", "1", "--redact-file", str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "line 1 must be a regular expression" in done.stderr
        assert "Traceback" not in done.stderr


def test_check_digit() -> None:
    assert has_check_digit(VISA)
    assert not has_check_digit("4111111111111112")
