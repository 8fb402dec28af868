"""Security: real servers that demand TLS and a user, and what is said when they let nobody in."""

import asyncio
import json
import os
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import redis

from config import Settings
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.redis_reader import RedisReader
from logpipeline.kafka import connection, oauth, topics
from logpipeline.kafka import settings as kafka_settings
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from logpipeline.recent import redis_client
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support import certificates, secured
from tests.support.forked import Forked
from tests.support.process import ROOT, Process
from tests.support.secured import PASSWORD, SecuredKafka, SecuredRedis, Tokens
from tests.support.servers import started
from tests.support.topics import read_all
from tests.support.waiting import until

WRONG = "wr0ng-s3cret"
PATIENCE = 90.0
LOST = pytest.mark.filterwarnings(
    # kafka-python leaves sockets to the garbage collector when a server's certificate is refused.
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


pytestmark = [pytest.mark.server, pytest.mark.xdist_group("security")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return certificates.write(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def kafka(
    files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredKafka]:
    with secured.kafka(tmp_path_factory.mktemp("secured-kafka"), files) as broker:
        yield broker


@pytest.fixture(scope="module")
def servers(
    files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, SecuredRedis]]:
    """A Redis for each certificate: good, and wrong ones."""
    folder = tmp_path_factory.mktemp("secured-redis")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(started(SecuredRedis(folder / name, files, name)))
            for name in ("server", "expired", "future", "foreign", "misnamed")
        }


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    with closing(Tokens()) as endpoint:
        yield endpoint


@pytest.fixture
def access(
    kafka: SecuredKafka, servers: dict[str, SecuredRedis], files: dict[str, str], tmp_path: Path
) -> Settings:
    """Settings of a pipeline that Kafka and Redis let in, with names of its own."""
    name = f"test-{tmp_path.name}"
    return Settings(
        _env_file=None,
        **by_password(kafka, files),
        kafka_topic=name,
        kafka_dead_letter_topic=f"{name}.dead-letter",
        kafka_group_id=name,
        redis_url=f"rediss://localhost:{servers['server'].tls}/0",
        redis_username="alice",
        redis_password=PASSWORD,
        redis_ssl_cafile=files["ca"],
        redis_key=name,
        log_file=tmp_path / "logs.txt",
        metrics_port=0,
        alerts_metrics_port=0,
    )


def at(kafka: SecuredKafka, listener: str) -> dict[str, Any]:
    return {"kafka_bootstrap_servers": f"localhost:{kafka.ports[listener]}"}


def by_password(kafka: SecuredKafka, files: dict[str, str], **more: str) -> dict[str, Any]:
    mine: dict[str, Any] = {
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_sasl_username": "alice",
        "kafka_sasl_password": PASSWORD,
        "kafka_ssl_cafile": files["ca"],
    }
    return at(kafka, "USERS") | mine | more


def by_token(kafka: SecuredKafka, files: dict[str, str], tokens: Tokens) -> dict[str, Any]:
    return at(kafka, "USERS") | {
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_oauth_token_url": tokens.url,
        "kafka_oauth_client_id": "me",
        "kafka_oauth_client_secret": PASSWORD,
        "kafka_ssl_cafile": files["ca"],
    }


def by_certificate(kafka: SecuredKafka, files: dict[str, str], **more: str) -> dict[str, Any]:
    return (
        at(kafka, "MACHINES")
        | {
            "kafka_security_protocol": "SSL",
            "kafka_ssl_cafile": files["ca"],
            "kafka_ssl_certfile": files["certificate"],
            "kafka_ssl_keyfile": files["locked"],
            "kafka_ssl_key_password": certificates.PASSWORD,
        }
        | more
    )


def problem(**given: Any) -> str:
    return connection.problem(Settings(_env_file=None, **given), patience=30)


class TestKafkaLetsIn:
    @pytest.mark.parametrize("mechanism", kafka_settings.BY_PASSWORD)
    def test_a_user_by_password(
        self, mechanism: str, kafka: SecuredKafka, files: dict[str, str]
    ) -> None:
        assert not problem(**by_password(kafka, files, kafka_sasl_mechanism=mechanism))
        unencrypted = by_password(kafka, files, kafka_sasl_mechanism=mechanism) | {
            **at(kafka, "OPEN"),
            "kafka_security_protocol": "SASL_PLAINTEXT",
            "kafka_ssl_cafile": "",
        }
        assert not problem(**unencrypted)

    def test_a_machine_by_certificate(self, kafka: SecuredKafka, files: dict[str, str]) -> None:
        assert not problem(**by_certificate(kafka, files))

    def test_a_client_by_token_which_is_used_until_shortly_before_its_end(
        self, kafka: SecuredKafka, files: dict[str, str], tokens: Tokens
    ) -> None:
        for _ in range(3):
            assert not problem(**by_token(kafka, files, tokens))
        assert tokens.given == 1


@LOST
class TestKafkaRefuses:
    """The one sentence that says what is wrong, where, and by which settings."""

    @pytest.mark.parametrize("mechanism", kafka_settings.BY_PASSWORD)
    @pytest.mark.parametrize("wrong", ["password", "username"])
    def test_a_wrong_password_and_an_unknown_user(
        self, mechanism: str, wrong: str, kafka: SecuredKafka, files: dict[str, str]
    ) -> None:
        given = by_password(kafka, files, kafka_sasl_mechanism=mechanism)
        given[f"kafka_sasl_{wrong}"] = WRONG
        user = given["kafka_sasl_username"]
        for _ in range(5):  # kafka-python is told why in some of the tries only
            assert problem(**given) == (
                f"Kafka at localhost:{kafka.ports['USERS']} refuses user '{user}': "
                "wrong password or mechanism "
                "(KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, KAFKA_SASL_MECHANISM)"
            )

    @pytest.mark.parametrize(
        ("listener", "reason"),
        [
            ("EXPIRED", "its certificate has expired"),
            ("FUTURE", "its certificate is not yet valid"),
            ("FOREIGN", "its certificate is from an unknown authority"),
            ("MISNAMED", "Hostname mismatch, certificate is not valid for 'localhost'"),
        ],
    )
    def test_a_server_with_a_wrong_certificate(
        self, listener: str, reason: str, kafka: SecuredKafka, files: dict[str, str]
    ) -> None:
        given = by_certificate(kafka, files) | at(kafka, listener)
        sentence = problem(**given)
        assert sentence.startswith(f"Kafka at localhost:{kafka.ports[listener]} cannot be used: ")
        assert reason in sentence
        assert sentence.endswith("(KAFKA_SECURITY_PROTOCOL=SSL, KAFKA_SSL_…)")

    def test_a_client_without_a_certificate(
        self, kafka: SecuredKafka, files: dict[str, str]
    ) -> None:
        given = at(kafka, "MACHINES") | {"kafka_security_protocol": "SSL"}
        sentence = problem(**given, kafka_ssl_cafile=files["ca"])
        assert "it refuses this client's certificate, or its absence" in sentence

    def test_a_client_whose_certificate_has_expired(
        self, kafka: SecuredKafka, files: dict[str, str]
    ) -> None:
        expired = dict.fromkeys(["kafka_ssl_certfile", "kafka_ssl_keyfile"], files["expired"])
        sentence = problem(**by_certificate(kafka, files, **expired, kafka_ssl_key_password=""))
        assert "it refuses this client's certificate, or its absence" in sentence

    def test_a_client_secret_that_gets_no_token(
        self, kafka: SecuredKafka, files: dict[str, str], tokens: Tokens
    ) -> None:
        given = by_token(kafka, files, tokens) | {"kafka_oauth_client_secret": WRONG}
        sentence = problem(**given)
        where = f"Kafka at localhost:{kafka.ports['USERS']} requires a token"
        assert f"{where}: KAFKA_OAUTH_TOKEN_URL={tokens.url} issued none: 401" in sentence
        assert WRONG not in sentence

    def test_a_token_that_has_expired(
        self, kafka: SecuredKafka, files: dict[str, str], tokens: Tokens
    ) -> None:
        tokens.life = -600
        assert "refuses the token of client 'me'" in problem(**by_token(kafka, files, tokens))

    @pytest.mark.parametrize(
        ("listener", "protocol", "reason"),
        [
            ("USERS", "PLAINTEXT", "check KAFKA_SECURITY_PROTOCOL=PLAINTEXT for this port"),
            ("OPEN", "PLAINTEXT", "check KAFKA_SECURITY_PROTOCOL=PLAINTEXT for this port"),
            ("USERS", "SSL", "check KAFKA_SECURITY_PROTOCOL=SSL for this port"),
            ("USERS", "SASL_PLAINTEXT", "check KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT for this"),
            ("OPEN", "SSL", "this port does not use TLS"),
            ("OPEN", "SASL_SSL", "this port does not use TLS"),
            ("EXPIRED", "SASL_PLAINTEXT", "=SASL_PLAINTEXT for this port"),
        ],
    )
    def test_another_protocol_than_that_of_the_port(
        self,
        listener: str,
        protocol: str,
        reason: str,
        kafka: SecuredKafka,
        files: dict[str, str],
    ) -> None:
        given = by_password(kafka, files) | at(kafka, listener)
        given["kafka_security_protocol"] = protocol
        if not protocol.startswith("SASL"):
            given |= dict.fromkeys([name for name in given if "_sasl_" in name], "")
        if not protocol.endswith("SSL"):
            given["kafka_ssl_cafile"] = ""
        assert reason in problem(**given)

    def test_a_user_where_there_are_none(self, kafka: SecuredKafka, files: dict[str, str]) -> None:
        given = by_password(kafka, files, kafka_bootstrap_servers=kafka.plain)
        given |= {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_ssl_cafile": ""}
        assert "does not authenticate users on this port" in problem(**given)

    def test_a_server_that_is_silent(self, files: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            for protocol in ("PLAINTEXT", "SSL"):
                settings = Settings(
                    _env_file=None,
                    kafka_bootstrap_servers=f"localhost:{port}",
                    kafka_security_protocol=protocol,
                )
                sentence = f"Kafka at localhost:{port} accepts connections but does not answer"
                assert connection.problem(settings, patience=0.5) == sentence

    def test_an_address_of_a_broker_that_leads_nowhere(self, kafka: SecuredKafka) -> None:
        assert problem(**at(kafka, "ASTRAY")) == (
            f"Kafka at 127.0.0.1:{secured.NOWHERE} does not answer: check its advertised.listeners"
        )

    def test_no_try_leaves_a_thread_or_a_descriptor(
        self, kafka: SecuredKafka, files: dict[str, str]
    ) -> None:
        wrong = [
            by_password(kafka, files, kafka_sasl_password=WRONG),
            by_certificate(kafka, files) | at(kafka, "EXPIRED"),
            at(kafka, "USERS"),
        ]
        before = None
        for _ in range(5):
            for given in wrong:
                assert problem(**given)
            now = len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208
            assert before is None or now <= before
            before = before or now


@pytest.mark.uses("redis-check-rdb")
class TestRedis:
    def test_lets_in_a_user_by_settings_by_url_and_with_a_certificate(
        self, access: Settings, files: dict[str, str]
    ) -> None:
        address = access.redis_url.removeprefix("rediss://")
        in_url = f"rediss://alice:{PASSWORD}@{address}"
        wins = {"redis_url": f"rediss://bob:{WRONG}@{address}"}
        pair = {
            "redis_ssl_certfile": files["certificate"],
            "redis_ssl_keyfile": files["key"],
        }
        for change in (
            {},
            {"redis_url": in_url, "redis_username": "", "redis_password": ""},
            wins,
            pair,
        ):
            with redis_client.connect(access.model_copy(update=change), 30) as mine:
                assert mine.ping()

    @pytest.mark.parametrize(
        ("server", "change", "reason"),
        [
            ("expired", {}, "cannot be used: its certificate has expired (REDIS_URL, REDIS_SSL_…)"),
            ("future", {}, "cannot be used: its certificate is not yet valid"),
            ("foreign", {}, "cannot be used: its certificate is from an unknown authority"),
            ("misnamed", {}, "Hostname mismatch, certificate is not valid for 'localhost'"),
            ("server", {"redis_password": WRONG}, "refuses user 'alice' and the password (REDIS_"),
            ("server", {"redis_username": "bob"}, "refuses user 'bob' and the password (REDIS_US"),
            ("server", {"redis_username": "", "redis_password": ""}, "requires a password (REDIS_"),
            ("server", {"redis_username": "mallory"}, "does not let user 'mallory' do all that is"),
            ("server", {"redis_ssl_cafile": ""}, "its certificate is from an unknown authority"),
        ],
    )
    def test_says_in_one_sentence_why_it_lets_nobody_in(
        self,
        server: str,
        change: dict[str, str],
        reason: str,
        access: Settings,
        servers: dict[str, SecuredRedis],
    ) -> None:
        url = f"rediss://localhost:{servers[server].tls}/0"
        sentence = self.refusal(access.model_copy(update={"redis_url": url} | change))
        assert sentence.startswith(f"Redis at {url} ")
        assert reason in sentence
        assert WRONG not in sentence

    def test_tls_where_there_is_none_and_none_where_there_is(
        self, access: Settings, servers: dict[str, SecuredRedis]
    ) -> None:
        there = servers["server"]
        for url, hint in (
            (f"rediss://localhost:{there.port}", "(without TLS, use redis://)"),
            (f"redis://localhost:{there.tls}", "(with TLS, use rediss://)"),
        ):
            assert hint in self.refusal(access.model_copy(update={"redis_url": url}), timeout=1)

    def test_the_page_says_it_too(self, access: Settings, caplog: pytest.LogCaptureFixture) -> None:
        async def one_look() -> str:
            with closing(RedisReader(access.model_copy(update={"redis_password": WRONG}))) as look:
                feed = Feed(look)
                reader = asyncio.create_task(feed.run())
                with feed.watching():
                    await feed.after(0)
                reader.cancel()
                return feed.problem

        said = asyncio.run(one_look())
        assert f"Redis at {access.redis_url} refuses user 'alice' and the password" in said
        assert said in caplog.text
        assert WRONG not in caplog.text + said

    @staticmethod
    def refusal(settings: Settings, timeout: float = 30) -> str:
        with (
            redis_client.connect(settings, timeout) as mine,
            pytest.raises(redis.RedisError) as raised,
        ):
            mine.lpush("one", 1)
        return redis_client.reason(settings, raised.value)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return os.environ | variables(settings) | {"ALERTS_FILE": str(ROOT / "alerts.toml")} | more


def show(env: dict[str, str], folder: Path) -> Process:
    return Forked("logpipeline.recent", ["--count", "1000"], folder / "show.output", env)


@pytest.mark.uses("redis-check-rdb")
def test_the_whole_pipeline_over_tls_with_users_and_secrets_in_files(
    run_script: RunScript, access: Settings, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    env = environment(
        access,
        KAFKA_SASL_PASSWORD="",
        KAFKA_SASL_PASSWORD_FILE=str(secret),
        REDIS_PASSWORD="",
        REDIS_PASSWORD_FILE=str(secret),
    )
    consumer = run_script("consumer.py", env=env)
    produce = ("--count", "3000", "--rate", "0", "--malformed", "0.05")
    producer = run_script("producer.py", *produce, env=env)
    assert producer.wait(PATIENCE) == 0, producer
    alerts = run_script("alerts.py", env=env)
    alerts.wait_for("watching ", PATIENCE)
    until(lambda: lines(access), PATIENCE, str(consumer))  # before, there is nothing to verify
    verify = run_script("verify.py", env=env)
    assert verify.wait(PATIENCE) == 0, f"{verify}\n{consumer}"
    newest = show(env, tmp_path)
    assert newest.wait(PATIENCE) == 0
    assert len(newest.output().splitlines()) == 1000
    with closing(RedisReader(access)) as reader:
        assert len(reader.read().lists[""]) == 1000
    for script in (consumer, alerts):
        script.terminate()
        assert script.wait(PATIENCE) == 0, script
    for each in (consumer, producer, alerts, verify, newest):
        assert PASSWORD not in each.output()
        assert "Traceback" not in each.output()


def test_who_is_refused_waits_and_goes_on_once_let_in(
    run_script: RunScript, access: Settings, kafka: SecuredKafka, tmp_path: Path
) -> None:
    from kafka.admin import KafkaAdminClient, ScramMechanism

    port = free_port()
    carol = access.model_copy(
        update={
            "kafka_sasl_username": "carol",
            "kafka_sasl_password": WRONG,
            "redis_username": "carol",
            "redis_password": WRONG,
            "metrics_port": port,
        }
    )
    env = environment(carol)
    consumer = run_script("consumer.py", env=env)
    producer = run_script("producer.py", "--count", "500", "--rate", "0", env=env)
    alerts = run_script("alerts.py", env=env)
    refused = f"waiting: Kafka at {carol.kafka_bootstrap_servers} refuses user 'carol': "
    no_redis = f"Redis at {carol.redis_url} refuses user 'carol' and the password"
    for script in (consumer, producer):
        script.wait_for(refused, PATIENCE)
    alerts.wait_for(f"Redis unavailable; alerts are paused: {no_redis}", PATIENCE)
    for once, status in ((run_script("verify.py", env=env), 2), (show(env, tmp_path), 1)):
        assert once.wait(PATIENCE) == status
        assert once.output().count("\n") == 1, once
        assert "refuses user 'carol'" in once.output()
        assert WRONG not in once.output()
    before = descriptors(consumer)
    with closing(KafkaAdminClient(bootstrap_servers=kafka.plain)) as admin:
        secured.set_password(admin, "carol", ScramMechanism.SCRAM_SHA_512, WRONG)
        for script in (consumer, producer):
            script.wait_for("Kafka does not let user 'carol' do this: an ACL is missing", PATIENCE)
        assert descriptors(consumer) <= before + 3  # a try may be under way
        secured.allow(admin, "carol", access, "READ", "WRITE", "CREATE", "DESCRIBE_CONFIGS")
        assert producer.wait(PATIENCE) == 0, producer
        trouble = f"cannot read Kafka's {access.kafka_topic}, retrying: Kafka does not let"
        consumer.wait_for(trouble, PATIENCE)
        secured.allow_group(admin, "carol", access)
    until(lambda: lines(access) == 500, PATIENCE, str(consumer))
    consumer.wait_for(f"Redis unavailable; archiving continues: {no_redis}", PATIENCE)
    pages = [
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode(),
    ]
    with redis_client.connect(access, 30) as redis_admin:
        rights = f"~{access.redis_key}* +@read +@write +@scripting +@transaction +@connection"
        redis_admin.execute_command("ACL", "SETUSER", "carol", "on", f">{WRONG}", "+get")
        consumer.wait_for("does not let user 'carol' do all that is needed, see its ACL", PATIENCE)
        redis_admin.execute_command("ACL", "SETUSER", "carol", *rights.split(), "-@dangerous")
        consumer.wait_for("Redis available again", PATIENCE)
        alerts.wait_for("Redis available again", PATIENCE)
        until(lambda: redis_admin.llen(access.redis_key) == 500, PATIENCE, str(consumer))
    verify = run_script("verify.py", env=env)
    assert verify.wait(PATIENCE) == 0, verify
    for script in (consumer, alerts):
        script.terminate()
        assert script.wait(PATIENCE) == 0, script
    for script in (consumer, producer):
        assert script.output().count(refused) == 1, script
    for text in (*pages, *(each.output() for each in (consumer, producer, alerts, verify))):
        assert WRONG not in text
        assert "Traceback" not in text


def descriptors(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def lines(settings: Settings) -> int:
    return settings.log_file.read_bytes().count(b"\n") if settings.log_file.exists() else 0


def test_a_producer_needs_to_write_its_topic_and_nothing_else(
    run_script: RunScript, access: Settings, kafka: SecuredKafka
) -> None:
    from kafka.admin import KafkaAdminClient, ScramMechanism

    with closing(KafkaAdminClient(bootstrap_servers=kafka.plain)) as admin:
        assert topics.ensure(access, Shutdown(), topics.to_read(access))
        secured.set_password(admin, "dave", ScramMechanism.SCRAM_SHA_512, PASSWORD)
        secured.allow(admin, "dave", access, "DESCRIBE")
        dave = access.model_copy(update={"kafka_sasl_username": "dave"})
        producer = run_script("producer.py", "--count", "1", env=environment(dave))
        sentence = f"Kafka does not let user 'dave' WRITE on topic {access.kafka_topic}: an ACL is"
        producer.wait_for(sentence, PATIENCE)
        only_topic = access.model_copy(update={"kafka_dead_letter_topic": access.kafka_topic})
        secured.allow(admin, "dave", only_topic, "WRITE")
    assert producer.wait(PATIENCE) == 0, producer


class TestHandler:
    def test_sends_by_these_settings_and_no_log_of_the_program_has_the_secret(
        self, access: Settings, kafka: SecuredKafka, tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text(PASSWORD)
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        env = environment(access, KAFKA_SASL_PASSWORD="", KAFKA_SASL_MECHANISM="PLAIN")
        env |= {"PYTHONPATH": str(ROOT), "SECRET_FILE": str(secret)}
        run = Process([sys.executable, str(program)], tmp_path / "output", env)
        assert run.wait(PATIENCE) == 0, run
        assert [json.loads(r.value)["message"] for r in read_all(kafka.plain, access.kafka_topic)]
        assert "KafkaAdminClient with configuration" in run.output()
        assert PASSWORD not in run.output()


# All that is logged, kafka-python's too, goes to stderr.
PROGRAM = """
import logging, os
from logpipeline.producer.handler import KafkaLogHandler
handler = KafkaLogHandler(kafka_sasl_password_file=os.environ["SECRET_FILE"])
logging.basicConfig(level=logging.DEBUG, handlers=[handler, logging.StreamHandler()])
logging.info("hello")
logging.shutdown()
"""


class TestTokens:
    def test_a_new_one_is_fetched_before_the_old_one_ends(self, tokens: Tokens) -> None:
        provider = self.provider(tokens)
        tokens.life = 1
        first = provider.token()
        assert provider.token() == first
        until(lambda: provider.token() != first)

    def test_one_without_a_known_end_is_used_once(self, tokens: Tokens) -> None:
        tokens.life = 0
        provider = self.provider(tokens)
        assert provider.token() != provider.token()

    @pytest.mark.parametrize("answer", [b"", b"hello", b"[]", b"{}", b'{"access_token": 1}'])
    def test_an_answer_without_a_token(self, answer: bytes, tokens: Tokens) -> None:
        tokens.answer = lambda: answer  # type: ignore[method-assign]
        with pytest.raises(oauth.TokenError, match="its answer has no access_token"):
            self.provider(tokens).token()

    def test_nobody_there(self) -> None:
        url = f"http://127.0.0.1:{free_port()}/"
        with pytest.raises(oauth.TokenError, match=f"{url} issued none: .*Connection refused"):
            oauth.ClientCredentials(url, "me", WRONG, "", "").token()

    @staticmethod
    def provider(tokens: Tokens) -> oauth.ClientCredentials:
        return oauth.ClientCredentials(tokens.url, "me", PASSWORD, "logs", "")
