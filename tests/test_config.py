"""Settings: where they come from, and what an impossible one is answered with."""

import re
from pathlib import Path

import pytest

import config

ROOT = Path(__file__).parent.parent
NAMES = [name.upper() for name in config.Settings.model_fields]
DEFAULTS = {name.upper(): str(f.default) for name, f in config.Settings.model_fields.items()}
OPTIONAL = {name for name, default in DEFAULTS.items() if not default}
SECRETS = {"ALERT_URLS", "DASHBOARD_PASSWORD"}
ENV_EXAMPLE = (ROOT / ".env.example").read_text("utf-8")

WHOLE_NUMBERS = {
    "KAFKA_PARTITIONS": (1, 10_000),
    "KAFKA_REPLICATION_FACTOR": (1, 100),
    "REDIS_MAX_LOGS": (1, 1_000_000),
    "LOG_KEEP_FILES": (0, 100_000),
    "LOG_KEEP_DAYS": (0, 100_000),
    "METRICS_PORT": (0, 65_535),
    "PRODUCER_METRICS_PORT": (0, 65_535),
    "ALERTS_METRICS_PORT": (0, 65_535),
    "DASHBOARD_PORT": (1, 65_535),
}
NO_NUMBERS = ["", " ", "many", "-1", "1.5", "NaN", "inf", "1e3", "0x10", "4 4", "4;", "9" * 30]
NO_SIZES = ["", " ", "many", "-1", "NaN", "inf", "0x10", "4 4", "4;", "9" * 30, "5 apples", "1KB1"]
NO_TOPICS = ["", " ", ".", "..", "a b", "logs ", "a/b", "a:b", "ü", "x" * 250, "logs\n"]
NO_NAMES = ["", " ", "\t"]
IMPOSSIBLE = {
    **{
        name: [*NO_NUMBERS, str(least - 1), str(most + 1)]
        for name, (least, most) in WHOLE_NUMBERS.items()
    },
    "KAFKA_TOPIC": NO_TOPICS,
    "KAFKA_DEAD_LETTER_TOPIC": NO_TOPICS,
    "KAFKA_BOOTSTRAP_SERVERS": [
        *("", " ", ",", "localhost", ":9092", "localhost:", "localhost:0", "localhost:65536"),
        *("localhost:many", "localhost:-1", "localhost:NaN", "a:9092,", "a:9092,,b:9092"),
        *("a:9092 b:9092", "lo cal:9092", "a:90 92", "a:9092/logs", "a:9092?b", "a:9092#b"),
        *("kafka://a:9092", "me@a:9092", "[::1:9092"),
    ],
    "REDIS_URL": [
        *("", " ", "localhost", "localhost:6379", "http://localhost", "redis:", "redis://"),
        *("redis:///0", "redis://:6379", "redis://localhost:many", "redis://localhost:-1"),
        *("redis://localhost:65536", "redis://localhost:0", "redis://local host"),
        *("redis://localhost/logs", "redis://localhost/-1", "redis://localhost/0/1"),
        *("redis://localhost/NaN", "redis://[::1", "unix://", "unix:// "),
    ],
    "REDIS_KEY": NO_NAMES,
    "KAFKA_GROUP_ID": NO_NAMES,
    "LOG_FILE": ["", " ", "/", ".", "..", "logs/", "/tmp", "a\0b"],  # noqa: S108
    "LOG_MAX_BYTES": NO_SIZES,
    "LOG_KEEP_BYTES": NO_SIZES,
    "LOG_MIN_FREE_BYTES": NO_SIZES,
    "LOG_ROTATE_EVERY": ["often", "0", "5", "0m", "-1h", "1.5h", "1w", "1h30m", "99999999d"],
    "LOG_COMPRESS": ["", " ", "zip", "ZST", "zstd", "no"],
    "ALERTS_FILE": ["", " ", "/", ".", "..", "rules/", "/tmp", "a\0b"],  # noqa: S108
    "ALERT_URLS": ["mail", "a@b", ",", "json://a mail://", "://a", "json:a"],
    "STATE_DIR": ["", " ", "a\0b", __file__],
    "METRICS_HOST": [*NO_NAMES, "local host"],
    "DASHBOARD_HOST": [*NO_NAMES, "local host"],
    "DASHBOARD_PASSWORD": [" ", "1234567", "x" * 201],
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without .env, and an environment without settings."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(*argv: str) -> config.Settings:
    return config.load(argv, "A test.")[0]


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that ends a program with these flags."""
    with pytest.raises(SystemExit) as stop:
        settings(*argv)
    out, err = capsys.readouterr()
    assert stop.value.code == config.USAGE_ERROR
    assert not out
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def flag(name: str, value: str) -> str:
    return f"--{name.lower().replace('_', '-')}={value}"


class TestEnvExample:
    def test_has_every_setting_with_its_default(self) -> None:
        assert {k: v for k, v in self.lines().items() if k in NAMES} == DEFAULTS

    def test_the_rest_is_what_the_compose_file_knows(self) -> None:
        compose = (ROOT / "docker-compose.yml").read_text("utf-8")
        known = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", compose))
        assert known.items() <= self.lines().items()
        assert set(self.lines()) - set(NAMES) == set(known) - set(NAMES)

    def test_the_compose_file_passes_every_setting_on_that_is_not_of_its_own(self) -> None:
        compose = (ROOT / "docker-compose.yml").read_text("utf-8")
        passed = set(re.findall(r"^ +([A-Z_]+):$", compose, re.MULTILINE))
        fixed = set(re.findall(r"^ +([A-Z_]+): \S", compose, re.MULTILINE)) & set(NAMES)
        inside = {name for name in NAMES if re.match(".*METRICS_|DASHBOARD_", name)}
        assert passed | fixed | inside == set(NAMES)

    @staticmethod
    def lines() -> dict[str, str]:
        return dict(re.findall(r"^#([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))

    def test_says_what_every_line_means(self) -> None:
        for block in re.split(r"\n\n+", ENV_EXAMPLE):
            assert block.startswith("# ")

    def test_works_with_every_line_in_use(self, bare: Path) -> None:
        (bare / ".env").write_text(re.sub(r"^#(?=\S)", "", ENV_EXAMPLE, flags=re.MULTILINE))
        assert settings() == config.Settings.model_construct()


class TestPrecedence:
    def test_flag_over_environment_over_env_file_over_default(
        self, bare: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert settings().kafka_topic == "logs"
        (bare / ".env").write_text("KAFKA_TOPIC=of-file\n")
        assert settings().kafka_topic == "of-file"
        monkeypatch.setenv("KAFKA_TOPIC", "of-environment")
        assert settings().kafka_topic == "of-environment"
        assert settings("--kafka-topic", "of-flag").kafka_topic == "of-flag"

    def test_an_empty_variable_is_no_default(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KAFKA_TOPIC", "")
        assert "KAFKA_TOPIC=''" in complaint(capsys)

    def test_a_wrong_variable_does_not_matter_under_a_flag(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KAFKA_PARTITIONS", "many")
        assert settings("--kafka-partitions", "7").kafka_partitions == 7

    def test_strange_lines_in_the_env_file_are_left_alone(self, bare: Path) -> None:
        (bare / ".env").write_text("\ufeff# logs\n\nOTHER=1\nexport REDIS_KEY='app'\r\n", "utf-8")
        assert settings().redis_key == "app"


class TestFlags:
    VALUES = {  # noqa: RUF012
        "KAFKA_BOOTSTRAP_SERVERS": "a:1,[::1]:2",
        "KAFKA_TOPIC": "a.b_c-D9",
        "REDIS_URL": "rediss://me:secret@example.org:6380/1",
        "LOG_FILE": "other/my logs.txt",
        "ALERT_URLS": "mailto://me:pw@example.org?to=a@b.c,d@e.f json://h",
        "LOG_MAX_BYTES": "1000000",
        "LOG_KEEP_BYTES": "2000000",
        "LOG_MIN_FREE_BYTES": "3000000",
        "LOG_ROTATE_EVERY": "6h",
        "LOG_COMPRESS": "gz",
        "STATE_DIR": "/var/lib/my pipeline",
        "METRICS_HOST": "0.0.0.0",  # noqa: S104
        "DASHBOARD_HOST": "::1",
        "DASHBOARD_PASSWORD": "correct horse",
        **{name: str(most) for name, (_, most) in WHOLE_NUMBERS.items()},
    }

    @pytest.mark.parametrize("name", NAMES)
    def test_each_setting_is_a_flag(self, name: str) -> None:
        value = self.VALUES.get(name, "other")
        assert str(getattr(settings(flag(name, value)), name.lower())) == value

    def test_help_has_every_setting_with_its_default(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            config.load(["--help"], "A test.", examples="examples:\n  python test.py")
        assert stop.value.code == 0
        out = " ".join(capsys.readouterr().out.split())
        for name in NAMES:
            assert flag(name, "VALUE").replace("=", " ") in out
            assert f"(default: {DEFAULTS[name]})" in out
        assert out.endswith("examples: python test.py")

    def test_an_unknown_flag_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        for unknown in ("--kafka", "--kafka-top=x", "--nonsense"):
            with pytest.raises(SystemExit) as stop:
                settings(unknown)
            assert stop.value.code == config.USAGE_ERROR
        assert "unrecognized arguments" in capsys.readouterr().err

    @pytest.mark.parametrize("url", ["redis://localhost", "unix:///run/redis.sock", "redis://a/15"])
    def test_redis_urls(self, url: str) -> None:
        assert settings("--redis-url", url).redis_url == url

    def test_servers_may_have_spaces_between(self) -> None:
        given = settings("--kafka-bootstrap-servers", "a:1, b:2 ")
        assert given.kafka_bootstrap_servers == "a:1,b:2"


def test_several_urls_may_have_commas_inside_or_between() -> None:
    first, second = "mailto://me:pw@example.org?to=a@b.c,d@e.f", "json://h/path"
    for between in (",", " ", " , ", "\n"):
        assert config.urls(f" {first}{between}{second}{between}") == [first, second]
    assert config.urls(" ") == []


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("1000", 1_000), ("100MB", 100_000_000), ("2GiB", 2**31), ("1.5 kb", 1_500)],
)
def test_sizes_have_units(text: str, bytes_: int) -> None:
    assert settings(flag("LOG_MAX_BYTES", text)).log_max_bytes == bytes_


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("minute", 60), ("Hour", 3_600), ("day", 86_400), ("90s", 90), ("7d", 604_800)],
)
def test_periods_have_names_and_units(text: str, seconds: int) -> None:
    assert settings(flag("LOG_ROTATE_EVERY", text)).log_rotate_seconds == seconds


class TestImpossible:
    def test_each_setting_is_tried(self) -> None:
        assert set(IMPOSSIBLE) == set(NAMES)

    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name in IMPOSSIBLE for value in IMPOSSIBLE[name]]
    )
    def test_one_line_says_setting_value_and_what_is_allowed(
        self, name: str, value: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = complaint(capsys, flag(name, value))
        shown = re.escape(repr(value)) if "@" not in value else "'.*'"
        shown = r"'\*\*\*'" if name in SECRETS else shown
        assert re.search(rf": {name}={shown}: allowed is \w", line)
        if name in WHOLE_NUMBERS:
            assert "from {} to {}".format(*WHOLE_NUMBERS[name]) in line

    @pytest.mark.parametrize("name", sorted(set(NAMES) - OPTIONAL))
    def test_the_same_from_the_environment_and_from_the_env_file(
        self,
        name: str,
        bare: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (bare / ".env").write_text(f"{name}=\n")
        of_file = complaint(capsys)
        (bare / ".env").unlink()
        monkeypatch.setenv(name, "")
        assert complaint(capsys) == of_file == complaint(capsys, flag(name, ""))

    def test_several_are_on_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = complaint(capsys, "--metrics-port=x", "--kafka-topic=a b")
        assert "METRICS_PORT='x'" in line
        assert "KAFKA_TOPIC='a b'" in line

    def test_dead_letters_need_a_topic_of_their_own(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = complaint(capsys, "--kafka-topic=a", "--kafka-dead-letter-topic=a")
        assert "KAFKA_DEAD_LETTER_TOPIC='a': allowed is another topic than KAFKA_TOPIC" in line

    def test_bytes_that_are_not_utf_8(
        self,
        bare: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("KAFKA_TOPIC", "\udcff")
        assert "KAFKA_TOPIC='\\udcff'" in complaint(capsys)
        (bare / ".env").write_bytes(b"KAFKA_TOPIC=\xff\n")
        assert ".env can't be read: " in complaint(capsys)

    @pytest.mark.parametrize(
        "url",
        [
            "http://me:secret@localhost",
            "redis://me:secret@localhost/x",
            "redis://:secret@localhost:port",
            "redis://me:se@secret@localhost/x",
            "redis://me:se/secret@localhost/x",
            "redis://me:secret@",
            "redis:/me:secret@localhost",
            "me:secret@localhost:6379",
            "redis://localhost/x?username=me&password=secret",
        ],
    )
    def test_no_password_is_shown(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        line = complaint(capsys, "--redis-url", url)
        assert "REDIS_URL=" in line
        assert "secret" not in line
        if "localhost" in url:
            assert "localhost" in line

    def test_nor_one_among_the_kafka_servers(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = complaint(capsys, "--kafka-bootstrap-servers", "a:9092,me:secret@b:9092")
        assert "secret" not in line
