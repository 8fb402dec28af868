"""Redaction: replaces what must not leave the machine: addresses, card numbers, tokens.

It finds what has the form of one; a name or a street has none. Times and levels are left alone.
"""

import hashlib
import hmac
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from logpipeline.events.event import LEVEL_OF
from logpipeline.events.json_formats import encoded
from logpipeline.events.json_values import decoded

KINDS = ("email", "card", "token", "ip")
DIGITS_OF_HASH = 12
LONGEST_SECRET = 1_000  # characters, of those that are found by their form, but for private keys
EMAIL = re.compile(
    r"(?<![\w.+'%-])(?:[\w.+'-]|%(?!40)[0-9A-Fa-f]{2})++(?:@|%40)(?:[\w-]++\.){1,20}[A-Za-z]{2,24}"
)
CARD = re.compile(
    r"(?<![\w.-])[3-6](?:[ -]?\d){12,18}(?![\w-])|(?<![\w.-])2[2-7]\d\d(?:[ -]?\d{4}){3}(?![\w-])"
)
NAMES = (
    r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|client[_-]?secret|authorization|auth[_-]?token|session[_-]?id|cookie|set-cookie|credentials?)"
)
# \b and one character stand first: a test of either alone excludes most places in a text.
TOKEN = re.compile(
    r"\b(?:eyJ[\w-]{8,}\.[\w-]++(?:\.[\w-]*+)?"  # JWT
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}\b|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|xox[abeoprs]-[\w-]{10,}|[rs]k_(?:live|test)_\w{10,}|AIza[\w-]{35}|npm_\w{30,}"
    r"|sk-[\w-]{20,}|hvs\.[\w-]{20,})"
    r"|(?<=[crtCRT] )(?i:(?<=bearer )|(?<=basic )|(?<=digest ))[\w.~+/=-]{8,}"
    r"|(?<=://)(?!\[token)[^\s:/@\"']{0,100}:[^\s/@\"']{1,200}(?=@)"  # a URL's user and password
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    r"(?:(?s:.{0,20000}?)-----END [A-Z ]{0,30}PRIVATE KEY-----|[^-]*+)"  # the latter, if it is cut
)
# password=…, "api_key": "…", --token …
PAIR = re.compile(
    rf"(?i:(?<![A-Za-z\[]){NAMES}(?:[\"']|\\\")?\s?(?:[=:]|=>)\s?(?:[\"']|\\\")?)"
    r"(?!(?i:bearer|basic|digest) |\[token)([^\s\"'&,;<>\\)}\]]{1,500})"
)
# Without one of these a text has no token, which is known sooner.
PARTS_OF_PAIRS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "auth",
    "session",
    "cookie",
    "credential",
)
PARTS_OF_TOKENS = (
    *(
        "eyJ",
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xox",
    ),
    *("k_live_", "k_test_", "AIza", "npm_", "sk-", "hvs.", "earer ", "EARER ", "asic ", "ASIC "),
    *("igest ", "IGEST ", "://", "PRIVATE KEY"),
)
SECRET_NAME = re.compile(rf"(?i)(?:[\w.-]{{0,60}}[_.-])?{NAMES}")
IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
IPV6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])"
)
# A token of JSON: a string, also an unterminated one, with what makes it a name; or a number.
JSON = re.compile(rb'(?s)("[^"\\]*+(?:\\.[^"\\]*+)*+"?)(\s*:)?|(?<![\w.+-])(\d{13,19})(?![\w.+-])')
MOST = 100_000  # hashes that are remembered


class Pattern(NamedTuple):
    """A pattern of one's own; its first group, if it has one, is what is replaced."""

    name: str
    pattern: re.Pattern[str]


class Redaction:
    """Replaces `kinds`, and what `patterns` match, by [email], or with a `key` by [email:5f2a…]:
    the same value has the same hash, and without the key it cannot be tested by guessing.

    `counts` has the number of replacements by kind.
    """

    def __init__(
        self, kinds: Iterable[str], key: str = "", patterns: Iterable[Pattern] = ()
    ) -> None:
        self._kinds = frozenset(kinds)
        self._key = key.encode()
        self._patterns = list(patterns)
        self._steps: list[Callable[[str], str]] = [
            step
            for kind, step in (
                ("token", self._tokens),
                ("email", self._emails),
                ("card", self._cards),
                ("ip", self._addresses),
            )
            if kind in self._kinds
        ]
        self.counts: Counter[str] = Counter()

    def text(self, text: str) -> str:
        """The text with all that is found replaced."""
        for step in self._steps:
            text = step(text)
        for each in self._patterns:
            text = each.pattern.sub(partial(self._part, each.name), text)
        return text

    def event(self, value: bytes) -> bytes:
        """An event's bytes with the strings in it redacted, and unchanged where nothing is found.

        Other bytes, which are no JSON, are text. Names of fields, the level and the timestamp stay.
        """
        if value[:1] != b"{":
            return self.text(value.decode("utf-8", "replace")).encode()
        name = b""

        def redacted(found: re.Match[bytes]) -> bytes:
            nonlocal name
            string, is_name, number = found.groups()
            if is_name:
                name = string
                return found[0]
            made = self._value(string or number, name, is_string=bool(string))
            name = b"" if string and name == b'"level"' else name
            return made

        return JSON.sub(redacted, value)

    def summary(self) -> str:
        """The counts, for the line of totals."""
        return ", ".join(f"{number:,} {kind}" for kind, number in sorted(self.counts.items()))

    def _value(self, raw: bytes, name: bytes, is_string: bool) -> bytes:
        if not is_string:
            digits = raw.decode()
            made = digits if name == b'"timestamp"' else self._cards_if(digits)
            return raw if made == digits else encoded(made)
        text = self._string(raw)
        if text is None:  # broken JSON
            return self.text(raw.decode("utf-8", "replace")).encode()
        if name == b'"level"' and text.upper() in LEVEL_OF:
            return raw
        if (
            "token" in self._kinds
            and text
            and SECRET_NAME.fullmatch(name.decode("utf-8", "replace").strip('"'))
        ):
            return encoded(self._mark("token", text))
        made = self.text(text)
        return raw if made == text else encoded(made)

    def _string(self, raw: bytes) -> str | None:
        try:
            return str(decoded(raw))
        except ValueError:
            return None

    def _cards_if(self, text: str) -> str:
        return self._cards(text) if "card" in self._kinds else text

    def _emails(self, text: str) -> str:
        if "@" not in text and "%40" not in text:
            return text
        return EMAIL.sub(lambda found: self._mark("email", found[0].replace("%40", "@")), text)

    def _cards(self, text: str) -> str:
        return CARD.sub(self._card, text)

    def _card(self, found: re.Match[str]) -> str:
        digits = re.sub(r"\D", "", found[0])
        return self._mark("card", digits) if has_check_digit(digits) else found[0]

    def _tokens(self, text: str) -> str:
        lower = text.lower()
        if any(part in lower for part in PARTS_OF_PAIRS):
            text = PAIR.sub(partial(self._part, "token"), text)
        if not any(part in text for part in PARTS_OF_TOKENS):
            return text
        return TOKEN.sub(lambda found: self._mark("token", found[0]), text)

    def _addresses(self, text: str) -> str:
        if "." in text:
            text = IPV4.sub(self._address, text)
        return IPV6.sub(self._address, text) if text.count(":") >= 2 else text

    def _address(self, found: re.Match[str]) -> str:
        try:
            address = ipaddress.ip_address(found[0])
        except ValueError:
            return found[0]
        return self._mark("ip", str(address))

    def _part(self, kind: str, found: re.Match[str]) -> str:
        """A match with its first group replaced, or the whole of it."""
        if not found.re.groups or found[1] is None:
            return self._mark(kind, found[0])
        start, end = found.start(1) - found.start(), found.end(1) - found.start()
        return found[0][:start] + self._mark(kind, found[1]) + found[0][end:]

    def _mark(self, kind: str, value: str) -> str:
        self.counts[kind] += 1
        if not self._key:
            return f"[{kind}]"
        message = f"{kind}\0{value.lower()}".encode("utf-8", "surrogatepass")
        digest = hmac.new(self._key, message, hashlib.sha256).hexdigest()
        return f"[{kind}:{digest[:DIGITS_OF_HASH]}]"


def has_check_digit(digits: str) -> bool:
    """Whether a card's number is valid by Luhn's check."""
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    total = sum(map(int, digits[-1::-2])) + sum(each - 9 if each > 9 else each for each in doubled)
    return total % 10 == 0 and len(set(digits)) > 1
