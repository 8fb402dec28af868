"""The Docker path as a user takes it: a fresh clone, `docker compose up`, and a look around.

Builds and starts containers, so it runs only when asked to: `COMPOSE_TESTS=1 pytest
tests/test_compose.py`. Then a missing Docker is an error. The tests are one story, in order.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.compose import CAP, OWNER, PATIENCE, Clone, address_in
from tests.support.readme import compose_commands
from tests.support.sockets import TABLES, listening
from tests.support.waiting import until

if os.environ.get("COMPOSE_TESTS") != "1":
    pytest.skip("builds containers: asked for by COMPOSE_TESTS=1", allow_module_level=True)

PARTITIONS = 4
SCRIPTS = {"producer", "consumer", "collector", "dashboard"}
SERVICES = {"kafka", "redis", "door", "alerts", *SCRIPTS}
BAD = "this is no event"
UP_AND_DOWN = {"docker compose up", "docker compose down"}  # of which the other tests consist

# What listens beyond its own container, and only for this.
LISTENING = {
    "kafka": {19092, 9092},
    "redis": {6379},
    "door": {6379, 9092},
    "dashboard": {8080},
    "consumer": {9100},
    "producer": {9101},
    "collector": {4318, 5514},
    "alerts": {9102},
}
OWN_NETWORK = {"door": "front", "dashboard": "page"}  # where they listen, and nowhere else
NO_WAY = {"TimeoutError", "ConnectionRefusedError", "OSError"}
KAFKA = ("kafka://kafka:19092", "kafka://kafka:9092")
REDIS = ("redis://redis:6379",)


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    with tempfile.TemporaryDirectory(prefix="clone-", ignore_cleanup_errors=True) as folder:
        clone = Clone(Path(folder))
        try:
            clone.compose("up", "-d", "--build", "--wait")
            yield clone
        finally:
            print(clone.compose("ps", "-a"))
            print(clone.compose("logs", "--tail=50", "prepare", *SCRIPTS))
            clone.compose("down", "--volumes", "--rmi", "local", "--timeout", "5")


def test_logs_txt_has_whole_events_and_is_the_owners(clone: Clone) -> None:
    clone.grows()
    for line in clone.lines():
        assert {"level", "message", "timestamp"} <= json.loads(line).keys()
    assert clone.logs_txt.stat().st_uid == clone.logs_txt.parent.stat().st_uid == OWNER
    assert json.loads(clone.as_owner("tail", "-n", "2", "logs/logs.txt").splitlines()[0])
    clone.as_owner("mv", "logs/logs.txt.lock", "logs/moved")
    clone.as_owner("rm", "logs/moved")
    clone.grows()


def test_redis_has_the_newest_events(clone: Clone) -> None:
    newest = clone.redis("lrange", "logs", "0", "9")
    assert len(newest) == 10
    assert set(newest) <= set(clone.lines()[-CAP * 10 :])
    assert clone.redis("llen", "logs") == [str(CAP)]
    errors = clone.redis("lrange", "logs:ERROR", "0", "-1")
    assert {json.loads(event)["level"] for event in errors} <= {"ERROR"}


def test_kafkas_own_tools_read_the_events(clone: Clone) -> None:
    for event in clone.consume("logs", 5):
        assert json.loads(event)["message"]


def test_programs_of_this_machine_reach_both(clone: Clone) -> None:
    from kafka import KafkaConsumer
    from redis import Redis

    servers = f"localhost:{clone.kafka_port}"
    with closing(KafkaConsumer(bootstrap_servers=servers)) as consumer:
        assert len(consumer.partitions_for_topic("logs")) == PARTITIONS
    with Redis(port=clone.redis_port) as redis:
        assert redis.ping()
    clone.script("producer.py", "--count", "5")
    assert "logs.txt agrees" in clone.script("verify.py")


def test_the_web_page_answers(clone: Clone) -> None:
    with urlopen(f"http://127.0.0.1:{clone.page_port}/", timeout=20) as answer:
        assert answer.status == 200
        assert "<title>Logs</title>" in answer.read().decode()


# Prints the status of an event that is sent to an address, with a token or without.
SEND = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1] + "/events", b'{"message": "through the door"}')
if sys.argv[2:]:
    request.add_header("Authorization", "Bearer " + sys.argv[2])
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_the_collector_takes_events_with_its_token_alone(clone: Clone) -> None:
    token = clone.compose("exec", "-T", "collector", "cat", "/run/secrets/pipeline/collector")
    inside = ("exec", "-T", "consumer", "python", "-c", SEND, "http://collector:4318")
    assert clone.compose(*inside).strip() == "401"
    assert clone.compose(*inside, token.strip()).strip() == "200"
    here = [sys.executable, "-c", SEND, f"http://127.0.0.1:{clone.collector_port}"]
    statuses = [
        subprocess.run([*here, *given], capture_output=True, text=True, check=True).stdout.strip()
        for given in ([], [token.strip()])
    ]
    assert statuses == ["401", "200"]
    until(lambda: sum("through the door" in line for line in clone.lines()) == 2, PATIENCE)


def test_dead_letters_carry_their_headers(clone: Clone) -> None:
    clone.kafka("kafka-console-producer", "--topic", "logs", stdin=f"{BAD}\n")
    headers = ("--formatter-property", "print.headers=true")
    [letter] = clone.consume("logs.dead-letter", 1, *headers)
    given, value = letter.split("\t")
    assert value == BAD
    for name in ("error:", "source.topic:logs", "source.partition:", "source.offset:"):
        assert name in given


def test_nothing_runs_as_root(clone: Clone) -> None:
    assert {container["Service"] for container in clone.containers()} == SERVICES
    for service in SERVICES:
        assert clone.compose("exec", "-T", service, "id", "-u").strip() != "0"
    for container in clone.containers():
        _, *processes = clone.docker("top", container["ID"], "-eo", "pid,uid").splitlines()
        assert processes
        assert "0" not in {process.split()[1] for process in processes}


def test_every_published_port_is_on_the_loopback_address(clone: Clone) -> None:
    published = [
        (port["URL"], port["PublishedPort"])
        for container in clone.containers()
        for port in container["Publishers"]
        if port["PublishedPort"]
    ]
    ports = {clone.kafka_port, clone.redis_port, clone.page_port}
    ports |= {clone.collector_port, clone.syslog_port}
    both = [*ports, clone.syslog_port]  # by TCP and by UDP
    assert sorted(published) == [("127.0.0.1", port) for port in sorted(both)]
    here = listening("".join(Path(table).read_text() for table in TABLES))
    assert {str(address) for address, port in here if port in ports} == {"127.0.0.1"}


def test_nothing_listens_but_what_has_to(clone: Clone) -> None:
    for service, containers in clone.inspect().items():
        if service == "prepare":
            continue
        tables = clone.compose("exec", "-T", service, "cat", *TABLES)
        beyond = {(str(a), port) for a, port in listening(tables) if not a.is_loopback}
        assert {port for _, port in beyond} == LISTENING[service], service
        if service in OWN_NETWORK:
            own = address_in(containers[0], OWN_NETWORK[service])["IPAddress"]
            assert {address for address, _ in beyond} == {own}


def test_a_stranger_in_the_network_is_refused(clone: Clone) -> None:
    for network in ("default", "servers"):
        for address, answers in clone.stranger(network, *KAFKA, *REDIS).items():
            wanted = {"closed"} if address in KAFKA else {"-NOAUTH"}
            assert set(answers.values()) == wanted, (network, address, answers)


def test_a_stranger_in_the_network_finds_no_way_to_the_door(clone: Clone) -> None:
    containers = clone.inspect()
    front = address_in(containers["door"][0], "front")["IPAddress"]
    host = address_in(containers["kafka"][0], "default")["Gateway"]
    addresses = [f"kafka://{front}:9092", f"redis://{front}:6379"]
    addresses += [f"kafka://{host}:{clone.kafka_port}", f"redis://{host}:{clone.redis_port}"]
    for network in ("default", "servers"):
        for address, answers in clone.stranger(network, *addresses).items():
            assert set(answers.values()) <= NO_WAY, address
    # The same questions, where the door answers them.
    for answers in clone.stranger("front", *addresses[:2]).values():
        assert set(answers.values()) == {"answered"}


def test_the_pipelines_password_is_for_its_own_keys(clone: Clone) -> None:
    known = ("-e", f"REDISCLI_AUTH={clone.passwords()['pipeline/redis']}")

    def ask(*command: str) -> str:
        cli = ("redis", "redis-cli", "--user", "logs")
        return clone.compose("exec", "-T", *known, *cli, *command).strip()

    assert ask("llen", "logs") == str(CAP)
    assert ask("del", "logs:nothing") == "0"
    for command in ("flushall", "keys *", "config get dir", "acl list", "get x", "script flush"):
        assert ask(*command.split()).startswith("NOPERM"), command
    wrong = clone.compose("exec", "-T", "-e", "REDISCLI_AUTH=wrong", "redis", "redis-cli", "ping")
    assert "NOAUTH" in wrong


def test_every_container_may_do_nothing_but_its_work(clone: Clone) -> None:
    for service, containers in clone.inspect().items():
        for container in containers:
            host = container["HostConfig"]
            assert host["ReadonlyRootfs"], service
            assert host["CapDrop"] == ["ALL"], service
            assert host["SecurityOpt"] == ["no-new-privileges:true"], service
            assert host["Memory"] > 0, service
            assert host["PidsLimit"] > 0, service
            assert not host["Privileged"], service
            assert service == "prepare" or not host["CapAdd"], service
    for service in SERVICES:
        status = clone.compose("exec", "-T", service, "cat", "/proc/1/status")
        assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE), service
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE), service


def test_passwords_are_seen_nowhere(clone: Clone) -> None:
    passwords = clone.passwords()
    assert len({*passwords.values()}) == 4
    seen = json.dumps(clone.inspect()) + clone.compose("config") + clone.compose("logs")
    seen += clone.compose("top")
    for service in SERVICES:
        seen += clone.compose("exec", "-T", service, "env")
        others = {"kept", "kafka", "redis", "door", "pipeline"} - {service}
        if service in LISTENING.keys() - {"kafka", "redis", "door"}:
            others -= {"pipeline"}
        for folder in others:
            with pytest.raises(AssertionError, match="Permission denied"):
                clone.compose("exec", "-T", service, "ls", f"/run/secrets/{folder}")
    for name, password in passwords.items():
        assert password not in seen, name


def test_verify_agrees_with_the_pipelines_own_passwords(clone: Clone) -> None:
    until(lambda: True)
    verdict = clone.compose("exec", "-T", "consumer", "python", "verify.py")
    assert verdict.count("agrees") == 3


def test_three_consumers_share_four_partitions(clone: Clone) -> None:
    clone.compose("up", "-d", "--wait", "--scale", "consumer=3")
    until(lambda: clone.shares() == [1, 1, 2], PATIENCE, "three members do not share the topic")
    clone.grows()


def test_what_the_readme_tells_people_to_type_works(clone: Clone) -> None:
    for command in compose_commands():
        if command not in UP_AND_DOWN:
            assert clone.docker(*command.split()[1:]) or " up " in command


def test_restart_and_down_and_up_lose_and_double_nothing(clone: Clone) -> None:
    clone.compose("restart")
    clone.grows()
    passwords = clone.passwords()
    clone.compose("down")
    before = clone.lines()
    clone.compose("up", "-d", "--wait", "--scale", "consumer=2")
    assert clone.passwords() == passwords
    clone.grows()
    clone.compose("stop", "producer")
    records = clone.end_offsets()
    until(lambda: len(clone.lines()) >= records - 1, PATIENCE, "the events do not all arrive")
    sent = Counter(clone.consume("logs", records))
    del sent[BAD]
    assert Counter(clone.lines()) == sent
    assert clone.lines()[: len(before)] == before
    assert clone.logs_txt.stat().st_uid == OWNER

    # A consumer that has nothing left to do has nothing left to repeat either.
    clone.compose("restart", "consumer")
    until(lambda: sum(clone.shares()) == PARTITIONS, PATIENCE, "the consumers do not come back")
    assert Counter(clone.lines()) == sent
    newest = clone.redis("lrange", "logs", "0", "-1")
    assert len(newest) == CAP
    assert not Counter(newest) - sent


def test_a_clone_from_before_there_were_passwords_goes_on(clone: Clone) -> None:
    passwords, before = clone.passwords(), clone.lines()
    clone.compose("down")
    clone.docker("volume", "rm", f"{clone.project}_secrets")
    clone.compose("up", "-d", "--wait", "--scale", "consumer=2")
    assert not {*clone.passwords().values()} & {*passwords.values()}
    clone.grows()
    assert clone.lines()[: len(before)] == before


def test_own_passwords_replace_the_random_ones(clone: Clone) -> None:
    refused = clone.fails("run", "--rm", "-T", "-e", "REDIS_ADMIN_PASSWORD=short", "prepare")
    allowed = "must be 16 to 200 letters, digits and _ . ~ + / = -"
    assert f"prepare: REDIS_ADMIN_PASSWORD: {allowed}" in refused.splitlines()
    redis, kafka = "own-password-of-redis", "own/of=Kafka+1.2~3"
    clone.set(REDIS_ADMIN_PASSWORD=redis, KAFKA_ADMIN_PASSWORD=kafka)
    clone.compose("up", "-d", "--wait", "--scale", "consumer=2")
    passwords = clone.passwords()
    assert passwords["kept/redis_admin_password"] == redis
    assert passwords["kept/kafka_admin_password"] == passwords["pipeline/kafka"] == kafka
    known = ("-e", f"REDISCLI_AUTH={redis}")
    assert clone.compose("exec", "-T", *known, "redis", "redis-cli", "ping") == "PONG\n"
    assert len(clone.consume("logs", 5)) == 5
    clone.grows()


def test_a_stop_is_heard_and_ends_well(clone: Clone) -> None:
    clone.compose("start", "producer")
    clone.grows()
    clone.compose("stop", "door", *SCRIPTS)
    ended = [c["ExitCode"] for c in clone.containers("-a") if c["Service"] in {"door", *SCRIPTS}]
    assert ended == [0, 0, 0, 0, 0, 0]
