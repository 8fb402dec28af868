"""The recipes of docs/ for logs that no Python program writes, as a user types them."""

import json
import os
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from config import Settings
from logpipeline.events import event
from logpipeline.kafka import topics
from logpipeline.localstack.server import free_port
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.process import ROOT
from tests.support.readme import recipe
from tests.support.topics import records
from tests.support.waiting import until
from tests.test_input import arrived, key_of, messages

# Of `journalctl -o json`: a service, the kernel, bytes that are not UTF-8, a field given twice.
JOURNAL = r"""
{"__CURSOR":"s=0639;i=1a2b","__REALTIME_TIMESTAMP":"1711234567890123","__MONOTONIC_TIMESTAMP":"48","_BOOT_ID":"2c5e","PRIORITY":"6","_TRANSPORT":"journal","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"systemd","UNIT":"nginx.service","MESSAGE":"Started nginx.service - A high performance web server.","_PID":"1"}
{"__CURSOR":"s=0639;i=1a2c","__REALTIME_TIMESTAMP":"1711234568000001","_TRANSPORT":"kernel","PRIORITY":"4","SYSLOG_FACILITY":"0","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"usb 1-1: error -71","_HOSTNAME":"web1"}
{"__CURSOR":"s=0639;i=1a2d","__REALTIME_TIMESTAMP":"1711234568000002","_TRANSPORT":"stdout","PRIORITY":"3","SYSLOG_IDENTIFIER":"shop","MESSAGE":[27,91,51,49,109,102,97,105,108,101,100,255],"_HOSTNAME":"web1"}
{"__CURSOR":"s=0639;i=1a2e","__REALTIME_TIMESTAMP":"1711234568000003","PRIORITY":"2","SYSLOG_IDENTIFIER":"sshd","_HOSTNAME":"web1","MESSAGE":"fatal: \"x\"","_SYSTEMD_UNIT":["ssh.service","init.scope"]}
""".lstrip()  # noqa: E501


def shell(command: str, environment: dict[str, str], folder: Path) -> None:
    """Run it as typed in a shell of the repository's Python. Raises CalledProcessError."""
    python = Path(sys.executable).parent
    env = environment | {"PATH": f"{python}:{os.environ['PATH']}"}
    command = command.replace(".venv/bin/python producer.py", f"python {ROOT / 'producer.py'}")
    subprocess.run(["bash", "-o", "pipefail", "-c", command], env=env, cwd=folder, check=True)


def standing_for(words: str, others: str) -> str:
    """The recipe with `words`, and `others` in their place."""
    return recipe(words).replace(words, others)


def test_journalctl(settings: Settings, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "journal").write_text(JOURNAL)
    command = standing_for("journalctl -o json --follow", "cat journal")
    shell(command, environment, tmp_path)
    values = arrived(settings)[b"-"]
    assert messages(values) == [
        "Started nginx.service - A high performance web server.",
        "usb 1-1: error -71",
        "\x1b[31mfailed\ufffd",
        'fatal: "x"',
    ]
    fields = [json.loads(value, parse_float=str) for value in values]
    assert [each["level"] for each in fields] == ["INFO", "WARNING", "ERROR", "CRITICAL"]
    assert [each["timestamp"] for each in fields] == [
        *("1711234567.890123", "1711234568.000001", "1711234568.000002", "1711234568.000003")
    ]
    for line, each in zip(JOURNAL.splitlines(), fields, strict=True):
        others = json.loads(line)
        assert (each["service"], each["host"]) == (others["SYSLOG_IDENTIFIER"], "web1")
        for name in ("MESSAGE", "PRIORITY", "__REALTIME_TIMESTAMP"):
            del others[name]
        assert each | others == each


def test_a_containers_logs(settings: Settings, environment: dict[str, str], tmp_path: Path) -> None:
    lines = "{ echo '2024-03-23T22:56:07Z ERROR to stdout'; echo 'to stderr' >&2; }"
    shell(standing_for("docker logs --follow shop", lines), environment, tmp_path)
    first, second = (json.loads(value) for value in arrived(settings)[b"-"])
    assert (first["level"], first["timestamp"]) == ("ERROR", 1711234567)
    assert second["message"] == "to stderr"
    assert first["service"] == second["service"] == "shop"


@pytest.mark.needs("kcat")
def test_kcat(settings: Settings, environment: dict[str, str], tmp_path: Path) -> None:
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    here = f"kcat -P -b {settings.kafka_bootstrap_servers} -t {settings.kafka_topic}"
    shell(standing_for("kcat -P -b localhost:9092 -t logs", here), environment, tmp_path)
    found = records(settings.kafka_bootstrap_servers, settings.kafka_topic)
    [[(key, value)]] = [pairs for pairs in found.values() if pairs]
    assert key is None
    assert event.parse(value).message == "disk full"


NGINX = """
pid nginx.pid;
error_log error.log;
events {{}}
http {{
  access_log access.log;
  {temporary}
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "hello"; }}
    location /bad {{ return 502; }}
    location /missing {{ root /nowhere; }}
  }}
}}
"""


@pytest.mark.needs("nginx")
def test_nginx_and_its_rotation(
    run_script: RunScript, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in names)
    (tmp_path / "nginx.conf").write_text(NGINX.format(port=port, temporary=temporary))
    nginx = f"nginx -p {tmp_path} -c nginx.conf -e {tmp_path}/error.log"
    shell(nginx, environment, tmp_path)
    try:
        run = run_script("producer.py", "--follow", "access.log", "error.log", "--service", "nginx")
        for path in ("/", "/bad", "/missing"):
            get(port, path)
        access, errors = tmp_path / "access.log", tmp_path / "error.log"
        run.wait_for("created topic " + settings.kafka_topic, 60)
        until(lambda: len(arrived(settings).get(key_of(access), [])) == 3, 60)
        access.rename(tmp_path / "access.log.1")
        get(port, "/before-reopen")
        shell(f"{nginx} -s reopen", environment, tmp_path)
        until(access.exists)
        get(port, "/after-reopen")
        until(lambda: len(arrived(settings)[key_of(access)]) == 5)
    finally:
        shell(f"{nginx} -s stop", environment, tmp_path)
    run.terminate()
    assert run.wait(10) == 0, run
    found = [event.parse(value) for value in arrived(settings)[key_of(access)]]
    levels = [each.level for each in found]
    assert levels == ["INFO", "ERROR", "WARNING", "INFO", "INFO"]
    assert "/before-reopen" in found[3].message
    assert "/after-reopen" in found[4].message
    failed = [event.parse(value) for value in arrived(settings)[key_of(errors)]]
    assert any(each.level == "ERROR" and "No such file" in each.message for each in failed)


def get(port: int, path: str) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        connection.getresponse().read()
