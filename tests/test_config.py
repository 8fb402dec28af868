"""Settings: where they come from, and what an impossible one is answered with."""

import os
import re
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from pydantic import ValidationError

import config
from logpipeline import command_line
from logpipeline.kafka import settings as kafka_settings
from logpipeline.settings import one_of, quoted, urls
from tests.support import certificates

ROOT = Path(__file__).parent.parent
NAMES = [name.upper() for name in config.Settings.model_fields]
DEFAULTS = {name.upper(): str(f.default) for name, f in config.Settings.model_fields.items()}
SHOWN_IN_PART = {"REDIS_URL"}
OPTIONAL = {name for name, default in DEFAULTS.items() if not default}
SECRETS = {
    *(
        "ALERT_URLS",
        "ARCHIVE_URL",
        "COLLECTOR_TOKEN",
        "DASHBOARD_PASSWORD",
        "REDIS_URL",
        "REDIS_PASSWORD",
        "REDACT_KEY",
        "KAFKA_SASL_PASSWORD",
    ),
    *("KAFKA_SSL_KEY_PASSWORD", "KAFKA_OAUTH_CLIENT_SECRET"),
}
ENV_EXAMPLE = (ROOT / ".env.example").read_text("utf-8")

WHOLE_NUMBERS = {
    "KAFKA_PARTITIONS": (1, 10_000),
    "KAFKA_REPLICATION_FACTOR": (1, 100),
    "KAFKA_CONSUMERS": (0, 10_000),
    "KAFKA_CONSUMER_INDEX": (0, 9_999),
    "REDIS_MAX_LOGS": (1, 1_000_000),
    "LOG_KEEP_FILES": (0, 100_000),
    "LOG_KEEP_DAYS": (0, 100_000),
    "METRICS_PORT": (0, 65_535),
    "PRODUCER_METRICS_PORT": (0, 65_535),
    "ALERTS_METRICS_PORT": (0, 65_535),
    "DASHBOARD_PORT": (1, 65_535),
    "COLLECTOR_PORT": (1, 65_535),
    "COLLECTOR_SYSLOG_PORT": (0, 65_535),
    "COLLECTOR_WORKERS": (1, 64),
    "FOLLOW_UNFINISHED_SECONDS": (0, 86_400),
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
        *("rediss://localhost?ssl_cert_reqs=none", "rediss://localhost?ssl_check_hostname=no"),
    ],
    "KAFKA_SECURITY_PROTOCOL": ["", " ", "TLS", "SASL", "SSL "],
    "KAFKA_SASL_MECHANISM": [" ", "PLAINTEXT", "GSSAPI", "SCRAM", "SCRAM-SHA-1", "PLAIN"],
    "KAFKA_OAUTH_TOKEN_URL": [" ", "idp", "ftp://idp", "https://", "https://me:pw@idp/token"],
    # These are impossible while Kafka and Redis are reached without TLS and as nobody.
    **{
        name: ["x"]
        for name in NAMES
        if re.match("KAFKA_(SASL|OAUTH|SSL)_|REDIS_SSL_", name)
        and name not in {"KAFKA_SASL_MECHANISM", "KAFKA_OAUTH_TOKEN_URL"}
    },
    "REDIS_KEY": NO_NAMES,
    "KAFKA_GROUP_ID": NO_NAMES,
    "KAFKA_CLIENT_RACK": [" ", "a b", "a\n"],
    "LOG_FILE": ["", " ", "/", ".", "..", "logs/", "/tmp", "a\0b"],  # noqa: S108
    "EVENT_MAX_BYTES": [*NO_SIZES, "0", "1023", "67108865", "65MiB"],
    "LOG_MAX_BYTES": NO_SIZES,
    "LOG_KEEP_BYTES": NO_SIZES,
    "LOG_MIN_FREE_BYTES": NO_SIZES,
    "LOG_ROTATE_EVERY": ["often", "0", "5", "0m", "-1h", "1.5h", "1w", "1h30m", "99999999d"],
    "ARCHIVE_URL": [
        *(" ", "bucket", "s3:", "s3://", "s3:///x", "s3://a b", "s3://b?x", "s3://b/x#y"),
        *(
            "s3://a@",
            "s3://k:@b",
            "s3://k:s/e@b/x",
            "gs://",
            "az://k:s@c",
            "ftp://h/x",
            "http://h/x",
            "file://h/x",
            "file:/x",
        ),
        *("memory:///", "file:///", "s3://b/x\n"),
    ],
    "AWS_ENDPOINT_URL": [
        *("minio:9000", "http://", "http://a b", "ftp://a", "http://a:99999", "http://a?b"),
    ],
    "AWS_REGION": ["", "a b", " "],
    "LOG_COMPRESS": ["", " ", "zip", "ZST", "zstd", "no"],
    "ALERTS_FILE": ["", " ", "/", ".", "..", "rules/", "/tmp", "a\0b"],  # noqa: S108
    "ALERT_URLS": ["mail", "a@b", ",", "json://a mail://", "://a", "json:a"],
    "MULTILINE": ["", "(", "[a-", "*", "a{2,1}"],
    "STATE_DIR": ["", " ", "a\0b", __file__],
    "REDACT": ["mail", "email;ip", "all"],
    "REDACT_FILE": [" ", "/", "patterns/", "/tmp", "a\0b"],  # noqa: S108
    "METRICS_HOST": [*NO_NAMES, "local host"],
    "DASHBOARD_HOST": [*NO_NAMES, "local host"],
    "DASHBOARD_PASSWORD": [" ", "1234567", "x" * 201],
    "DASHBOARD_OPEN": ["", " ", "2", "-1", "yes"],
    "DASHBOARD_PUBLISHED": [" ", "local host", "0.0.0.0"],  # noqa: S104 - without a password
    "TIME_ZONE": ["", " ", "UTC+1", "Europe/Berlin"],
    "COLLECTOR_HOST": [*NO_NAMES, "local host", "0.0.0.0"],  # noqa: S104 - without a token
    "COLLECTOR_TOKEN": ["a b", "a:b:c", ":a", "a:", "ü"],
    "COLLECTOR_ORIGINS": ["shop", "https://", "https://a/", "https://a/b", "ftp://a", "*", "null"],
    "COLLECTOR_SSL_CERTFILE": ["x"],
    "COLLECTOR_SSL_KEYFILE": ["x"],
    "COLLECTOR_SSL_CAFILE": ["x"],
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without .env, and an environment without settings."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(*argv: str) -> config.Settings:
    return command_line.load(config.Settings, argv, "A test.")[0]


def error_line(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that ends a program with these flags."""
    with pytest.raises(SystemExit) as stop:
        settings(*argv)
    out, err = capsys.readouterr()
    assert stop.value.code == command_line.USAGE_ERROR
    assert not out
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def flag(name: str, value: str) -> str:
    return f"--{name.lower().replace('_', '-')}={value}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """PEM files: "ca", a "certificate" with its "key", the key with a password ("locked"), and
    "another" certificate's key."""
    return certificates.write(tmp_path_factory.mktemp("certificates"))


def company(name: str, files: dict[str, str]) -> dict[str, str]:
    """Values of all the settings that this one needs, and of itself if it is not any."""
    password = {"KAFKA_SASL_USERNAME": "me", "KAFKA_SASL_PASSWORD": "pass"}
    token = {"KAFKA_OAUTH_TOKEN_URL": "https://idp/token", "KAFKA_OAUTH_CLIENT_ID": "me"}
    token |= {"KAFKA_OAUTH_CLIENT_SECRET": "pass"}
    if name in token or name == "KAFKA_OAUTH_SCOPE":
        kind = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
        return kind | token
    if name in password or name == "KAFKA_SASL_MECHANISM":
        kind = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}
        return kind | password
    prefix = name.partition("_")[0] + "_SSL_"
    if name.startswith(prefix):
        pair = {f"{prefix}CERTFILE": files["certificate"], f"{prefix}KEYFILE": files["key"]}
        other = {"REDIS_URL": "rediss://a"}
        if prefix == "KAFKA_SSL_":
            pair |= {"KAFKA_SSL_KEYFILE": files["locked"]}
            other = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_PASSWORD": "pass"}
        return other | pair | {f"{prefix}CAFILE": files["ca"]}
    if name == "KAFKA_CONSUMER_INDEX":
        return {"KAFKA_CONSUMERS": "10000"}
    return {"REDIS_PASSWORD": "pass"} if name == "REDIS_USERNAME" else {}


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
        passed = set(re.findall(r"^ +(?!AWS_ACCESS|AWS_SECRET)([A-Z_]+):$", compose, re.MULTILINE))
        fixed = set(re.findall(r"^ +([A-Z_]+): \S", compose, re.MULTILINE)) & set(NAMES)
        access = "KAFKA_(SECURITY|SASL|SSL|OAUTH)_|REDIS_(USERNAME|PASSWORD|SSL)"
        inside = {
            name
            for name in NAMES
            if re.match(f".*METRICS_|DASHBOARD_|COLLECTOR_(TOKEN|SSL_)|{access}", name)
        }
        assert passed | fixed | inside == set(NAMES)

    @staticmethod
    def lines() -> dict[str, str]:
        return dict(re.findall(r"^#([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))

    def test_explains_every_line(self) -> None:
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

    def test_an_empty_variable_does_not_give_the_default(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KAFKA_TOPIC", "")
        assert "KAFKA_TOPIC=''" in error_line(capsys)

    def test_a_wrong_variable_does_not_matter_under_a_flag(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KAFKA_PARTITIONS", "many")
        assert settings("--kafka-partitions", "7").kafka_partitions == 7

    def test_the_env_file_may_be_a_pipe_as_a_password_manager_makes(self, bare: Path) -> None:
        os.mkfifo(bare / ".env")
        writer = Thread(target=(bare / ".env").write_text, args=["REDIS_KEY=piped\n"], daemon=True)
        writer.start()
        assert settings().redis_key == "piped"
        writer.join(10)

    def test_strange_lines_in_the_env_file_are_left_alone(self, bare: Path) -> None:
        (bare / ".env").write_text("\ufeff# logs\n\nOTHER=1\nexport REDIS_KEY='app'\r\n", "utf-8")
        assert settings().redis_key == "app"


class TestFlags:
    VALUES = {  # noqa: RUF012
        "KAFKA_BOOTSTRAP_SERVERS": "a:1,[::1]:2",
        "KAFKA_TOPIC": "a.b_c-D9",
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "REDIS_URL": "rediss://me:secret@example.org:6380/1",
        "LOG_FILE": "other/my logs.txt",
        "ALERT_URLS": "mailto://me:pw@example.org?to=a@b.c,d@e.f json://h",
        "EVENT_MAX_BYTES": "10000000",
        "LOG_MAX_BYTES": "1000000",
        "LOG_KEEP_BYTES": "2000000",
        "LOG_MIN_FREE_BYTES": "3000000",
        "LOG_ROTATE_EVERY": "6h",
        "LOG_COMPRESS": "gz",
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "AWS_REGION": "eu-central-1",
        "ARCHIVE_URL": "s3://KEY:sec%2Fret+1@bucket/logs/host-1",
        "MULTILINE": r"^\d{4}-",
        "STATE_DIR": "/var/lib/my pipeline",
        "REDACT": "email,card",
        "REDACT_KEY": "a key",
        "REDACT_FILE": "my patterns",
        "METRICS_HOST": "0.0.0.0",  # noqa: S104
        "DASHBOARD_HOST": "::1",
        "DASHBOARD_PASSWORD": "correct horse",
        "DASHBOARD_OPEN": "1",
        "DASHBOARD_PUBLISHED": "127.0.0.2",
        "TIME_ZONE": "UTC",
        "COLLECTOR_HOST": "::1",
        "COLLECTOR_ORIGINS": "https://shop.example,http://localhost:3000",
        **{name: str(most) for name, (_, most) in WHOLE_NUMBERS.items()},
    }

    @pytest.mark.parametrize("name", NAMES)
    def test_each_setting_is_a_flag(self, name: str, files: dict[str, str]) -> None:
        needed = company(name, files)
        value = needed.pop(name, "") or self.VALUES.get(name, "other")
        given = settings(flag(name, value), *(flag(*each) for each in needed.items()))
        assert str(getattr(given, name.lower())) == value

    def test_help_has_every_setting_with_its_default(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            command_line.load(
                config.Settings, ["--help"], "A test.", examples="examples:\n  python test.py"
            )
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
            assert stop.value.code == command_line.USAGE_ERROR
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
        assert urls(f" {first}{between}{second}{between}") == [first, second]
    assert urls(" ") == []


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
        assert set(IMPOSSIBLE) | {"REDIS_USERNAME", "REDIS_PASSWORD", "REDACT_KEY"} == set(NAMES)

    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name in IMPOSSIBLE for value in IMPOSSIBLE[name]]
    )
    def test_one_line_names_setting_value_and_what_it_must_be(
        self, name: str, value: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = error_line(capsys, flag(name, value))
        shown = re.escape(quoted(value)) if "@" not in value else "'.*'"
        shown = r"'\*\*\*'" if name in SECRETS - SHOWN_IN_PART else shown
        assert re.search(rf": {name}={shown}: (must be|requires) \w", line)
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
        of_file = error_line(capsys)
        (bare / ".env").unlink()
        monkeypatch.setenv(name, "")
        assert error_line(capsys) == of_file == error_line(capsys, flag(name, ""))

    @pytest.mark.parametrize("name", sorted(NAMES))
    def test_a_long_value_is_cut(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        with suppress(SystemExit):  # some may be long
            command_line.load(config.Settings, [flag(name, "9" * 5_000 + " \n")], "")
        assert len(capsys.readouterr().err) < 1_000

    def test_several_are_on_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = error_line(capsys, "--metrics-port=x", "--kafka-topic=a b")
        assert "METRICS_PORT='x'" in line
        assert "KAFKA_TOPIC='a b'" in line

    def test_dead_letters_need_a_topic_of_their_own(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = error_line(capsys, "--kafka-topic=a", "--kafka-dead-letter-topic=a")
        assert "KAFKA_DEAD_LETTER_TOPIC='a': must differ from KAFKA_TOPIC" in line

    @pytest.mark.parametrize("name", ["ALERTS_FILE", "LOG_FILE", "STATE_DIR"])
    def test_a_path_that_the_system_refuses_names_its_setting(
        self, name: str, bare: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        long, shown = "x" * 5_000, "x" * 100 + "…"
        line = error_line(capsys, flag(name, long))
        assert f"{name}='{shown}' cannot be used: File name too long" in line
        (bare / ".env").write_text(f"{name}={long}\nMETRICS_PORT=x\n")
        line = error_line(capsys)
        assert f"{name}='{shown}' cannot be used: File name too long" in line
        assert "METRICS_PORT='x'" in line
        assert ".env" not in line

    def test_an_unreadable_env_file_is_named(
        self, bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (bare / ".env").symlink_to("/proc/self/mem")
        assert ".env cannot be read: " in error_line(capsys)

    def test_bytes_that_are_not_utf_8(
        self,
        bare: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("KAFKA_TOPIC", "\udcff")
        assert "KAFKA_TOPIC='\\udcff'" in error_line(capsys)
        (bare / ".env").write_bytes(b"KAFKA_TOPIC=\xff\n")
        assert ".env cannot be read: " in error_line(capsys)

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
        line = error_line(capsys, "--redis-url", url)
        assert "REDIS_URL=" in line
        assert "secret" not in line
        if "localhost" in url:
            assert "localhost" in line

    def test_nor_one_among_the_kafka_servers(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = error_line(capsys, "--kafka-bootstrap-servers", "a:9092,me:secret@b:9092")
        assert "secret" not in line


class TestSecrets:
    def test_are_those(self) -> None:
        assert set(config.Settings.secrets()) == {name.lower() for name in SECRETS}

    @pytest.mark.parametrize("name", sorted(SECRETS))
    @pytest.mark.parametrize("by", ["flag", "environment", "env file"])
    def test_each_may_be_in_a_file(
        self,
        name: str,
        by: str,
        bare: Path,
        files: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        needed = company(name, files)
        value = needed.pop(name, "") or TestFlags.VALUES.get(name, "other")
        (bare / "secret").write_text(f"{value}\n")
        argv = [flag(*each) for each in needed.items()]
        if by == "flag":
            argv.append(flag(f"{name}_FILE", "secret"))
        elif by == "environment":
            monkeypatch.setenv(f"{name}_FILE", "secret")
            monkeypatch.setenv(name, "")  # as Compose passes a variable on that is not set
        else:
            (bare / ".env").write_text(f"{name}_FILE=secret\n")
        assert getattr(settings(*argv), name.lower()) == value

    def test_only_the_newline_at_the_end_of_a_file_is_not_part_of_it(self, bare: Path) -> None:
        for text in (" pass word ", "pass\tword\n", "ü\r\n", "two\nlines\n"):
            (bare / "secret").write_bytes(text.encode())
            secret = settings("--redis-password-file=secret").redis_password
            assert secret == text.removesuffix("\n").removesuffix("\r")

    def test_an_unusable_file_is_reported_in_one_line(
        self, bare: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (bare / "empty").write_text("\n")
        (bare / "binary").write_bytes(b"geheim\xff")
        for path, problem in (
            ("missing", "cannot be read: No such file or directory"),
            (".", "cannot be read: Is a directory"),
            ("binary", "cannot be read: it must be UTF-8 text"),
            ("empty", "is empty"),
        ):
            line = error_line(capsys, f"--redis-password-file={path}")
            assert f"REDIS_PASSWORD_FILE='{path}' {problem}" in line
            assert "geheim" not in line

    @pytest.mark.parametrize("name", sorted(SECRETS))
    def test_both_ways_at_once_are_refused(
        self,
        name: str,
        bare: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (bare / "secret").write_text("geheim")
        expected = f"{name} cannot be combined with {name}_FILE"
        assert expected in error_line(capsys, flag(name, "x"), flag(f"{name}_FILE", "secret"))
        monkeypatch.setenv(name, "x")
        monkeypatch.setenv(f"{name}_FILE", "secret")
        assert expected in error_line(capsys)

    def test_a_flag_wins_over_a_file_that_the_environment_names(
        self, bare: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (bare / "secret").write_text("of-file")
        monkeypatch.setenv("REDIS_PASSWORD_FILE", "missing")
        assert settings("--redis-password=of-flag").redis_password == "of-flag"
        assert settings("--redis-password-file=secret").redis_password == "of-file"
        (bare / ".env").write_text("REDIS_PASSWORD=of-env-file\n")
        monkeypatch.setenv("REDIS_PASSWORD_FILE", "secret")
        assert settings().redis_password == "of-file"

    def test_none_is_in_what_python_shows_of_the_settings(self, files: dict[str, str]) -> None:
        flags = dict[str, str]()
        for name in ("KAFKA_SASL_PASSWORD", "KAFKA_SSL_KEY_PASSWORD"):
            flags |= company(name, files) | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
        given = settings(
            *(flag(*each) for each in flags.items()),
            "--redis-url=redis://me:geheim@localhost",
            "--redis-password=pass",
            "--alert-urls=json://pass",
            "--dashboard-password=passpass",
        )
        assert "SASL_SSL" in repr(given)
        for shown in (repr(given), str(given), f"{given!r}"):
            assert "pass" not in shown
            assert "geheim" not in shown

    def test_nor_in_the_error_that_a_program_of_others_gets(self) -> None:
        with pytest.raises(ValidationError) as raised:
            config.Settings(_env_file=None, dashboard_password="geheim")
        assert "geheim" not in f"{raised.value!s} {raised.value!r}"


class TestAccess:
    """Settings of how to get in that make no sense together."""

    @pytest.mark.parametrize("name", [*kafka_settings.NEEDED, *kafka_settings.POSSIBLE])
    def test_what_would_be_ignored_is_refused(
        self, name: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        other, values = (kafka_settings.NEEDED | kafka_settings.POSSIBLE)[name]
        value = company(name.upper(), files).get(name.upper(), "a scope")
        shown = "***" if name.upper() in SECRETS else value
        line = error_line(capsys, flag(name, value))
        only = f"{other.upper()}={one_of(values)}"
        assert f"{name.upper()}={shown!r}: requires {only}" in line

    @pytest.mark.parametrize("name", kafka_settings.NEEDED)
    def test_a_missing_setting_is_reported(
        self, name: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        needed = company(name.upper(), files)
        del needed[name.upper()]
        if name == "kafka_sasl_mechanism":
            needed = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
        line = error_line(capsys, *(flag(*each) for each in needed.items()))
        other = kafka_settings.NEEDED[name][0].upper()
        assert f"{name.upper()}='': must be " in line
        assert f" when {other}={needed[other]}" in line

    def test_a_user_of_redis_needs_a_password(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = error_line(capsys, "--redis-username=me")
        assert "REDIS_PASSWORD='': must be a password, with REDIS_USERNAME" in line
        settings("--redis-username=me", "--redis-url=redis://:pass@localhost")

    @pytest.mark.parametrize(
        ("prefix", "tls"),
        [
            ("KAFKA_SSL_", "--kafka-security-protocol=ssl"),
            ("REDIS_SSL_", "--redis-url=rediss://localhost"),
        ],
    )
    def test_unusable_files_are_reported(
        self, prefix: str, tls: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        ca, certificate, key = (f"{prefix}{name}" for name in ("CAFILE", "CERTFILE", "KEYFILE"))
        good = {certificate: files["certificate"], key: files["key"]}
        for wrong, problem in (
            ({ca: "/missing"}, f"{ca}='/missing': must be a file with certificates in PEM; it "),
            ({ca: "."}, "cannot be read: Is a directory"),
            ({ca: files["key"]}, "must be a file with certificates in PEM"),
            (good | {key: ""}, f"{certificate}='{files['certificate']}': requires {key}"),
            (good | {certificate: ""}, f"{key}='{files['key']}': requires {certificate}"),
            (good | {certificate: files["key"]}, f"{certificate}='{files['key']}': must be a"),
            (good | {key: files["another"]}, f"must be the key of {certificate}="),
            (good | {key: files["ca"]}, f"{key}='{files['ca']}': must be a key in PEM"),
            (good | {key: files["locked"]}, f"{key}='{files['locked']}': must be a key in PEM"),
        ):
            line = error_line(capsys, tls, *(flag(*each) for each in wrong.items()))
            assert problem in line

    def test_a_wrong_password_of_a_key(
        self, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        flags = company("KAFKA_SSL_KEYFILE", files) | {"KAFKA_SSL_KEY_PASSWORD": "geheim"}
        line = error_line(capsys, *(flag(*each) for each in flags.items()))
        assert "with its KAFKA_SSL_KEY_PASSWORD" in line
        assert "geheim" not in line
