"""Settings: values that people, scripts and other programs set."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import config
from config import Settings
from logpipeline import command_line
from tests.fuzz.hostile import texts
from tests.fuzz.target import Target, hold, pure

HIDDEN = "hunter2hunter2"
FLAGS = sorted(Settings.model_fields)
WORDS = 2_000  # characters of a refusal

odd = st.sampled_from(
    [
        f"redis://u:{HIDDEN}@h:x/0",
        f"s3://K:{HIDDEN}@",
        f"json://u:{HIDDEN}@[",
        f"{HIDDEN}\n{HIDDEN}",
    ]
)
# A path makes a certificate be looked for; what is not one is refused with the reason.
values = texts | odd | st.builds(lambda text: text + HIDDEN, texts)


def refused(given: Any) -> Callable[[], None]:
    """Start with these flags."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given]
    said = io.StringIO()
    status = 0
    try:
        with contextlib.redirect_stderr(said):
            command_line.load(config.Settings, arguments, "")
    except SystemExit as ended:
        status = int(ended.code or 0)

    def compare() -> None:
        text = said.getvalue()
        hold(status in (0, 2), f"exit status {status}")
        hold(len(text.splitlines()) == (1 if status else 0), f"{len(text.splitlines())} lines")
        hold(len(text) <= WORDS, f"{len(text):,} characters")
        hold(text.removesuffix("\n").isprintable(), "a terminal would obey it")
        shown = any(HIDDEN in value and not _secret(name, value) for name, value in given)
        hold(shown or HIDDEN not in text, "a secret")

    return compare


def _secret(name: str, value: str) -> bool:
    """Whether it holds one by its form."""
    return name in Settings.secrets() and (name != "redis_url" or f":{HIDDEN}@" in value)


TARGETS = (
    Target(
        "settings",
        "a value is used, or refused in one line, which has no secret in it",
        st.lists(st.tuples(st.sampled_from(FLAGS), values), min_size=1, max_size=3),
        pure(refused),
        [
            [("redis_url", f"redis://u:{HIDDEN}@h:x/0")],
            [("archive_url", f"s3://K:{HIDDEN}@")],
            [("kafka_topic", "\x1b[2J")],
            [("log_file", "\ud800")],
            [("log_max_bytes", "9" * 5_000)],
        ],
    ),
)
