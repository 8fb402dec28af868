"""README.md: what it says of the settings is so, and what it tells people to type works.

`docker` commands are run by test_compose.py.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Settings
from logpipeline.localstack.server import free_port
from tests.support.clone import copy_files
from tests.support.process import Process
from tests.support.readme import ROOT, TEXT, commands
from tests.support.waiting import until

# The fixture, and .ci/run.
BY_OTHERS = {"make up", "make install", "make lint", "make check", "make test"}
ENDLESS = ("tail -F",)
PATIENCE = 120.0

# For machines without redis-cli: the same command through redis-py.
REDIS_CLI = f"""#!{sys.executable}
import sys
from redis import Redis
answer = Redis(port=int(sys.argv[2]), decode_responses=True).execute_command(*sys.argv[3:])
print(*(answer if isinstance(answer, list | dict) else [answer]), sep="\\n")
"""


def test_the_table_of_settings_is_config_pys() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", TEXT, re.MULTILINE)
    told = {name: (default, meaning) for name, default, meaning in rows}
    assert told == {
        name.upper(): (f"`{field.default}`", field.description)
        for name, field in Settings.model_fields.items()
    }


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", "SECURITY.md", "deploy/README.md", "docs/operating.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the repository in which `make up` runs, on ports of its own."""
    folder = tmp_path_factory.mktemp("clone")
    copy_files(folder)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (folder / ".local").mkdir()
    (folder / ".local" / "jars").symlink_to(ROOT / ".local" / "jars")
    redis_port = free_port()
    ports = {
        "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{free_port()}",
        "REDIS_URL": f"redis://localhost:{redis_port}/0",
        "METRICS_PORT": str(free_port()),
        "ALERTS_METRICS_PORT": str(free_port()),
        "DASHBOARD_PORT": str(free_port()),
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in ports.items()))
    tools = folder / "tools"
    tools.mkdir()
    redis_cli = shutil.which("redis-cli")
    if not redis_cli:
        redis_cli = str(tools / "redis-py")
        Path(redis_cli).write_text(REDIS_CLI)
        Path(redis_cli).chmod(0o755)
    (tools / "redis-cli").write_text(f'#!/bin/sh\nexec {redis_cli} -p {redis_port} "$@"\n')
    (tools / "redis-cli").chmod(0o755)
    stack = Process(["make", "up"], folder / "up.output", environment(folder))
    try:
        stack.wait_for("Ctrl-C", PATIENCE)
        logs = folder / "logs.txt"
        until(lambda: logs.exists() and b'"ERROR"' in logs.read_bytes(), PATIENCE, str(stack))
        yield folder
        os.killpg(stack.pid, signal.SIGINT)
        stack.wait(15)  # make itself ends by the signal
        assert "| stopped" in stack.output(), stack
    finally:
        stack.kill()


SETTINGS = Settings.model_fields.keys()


def environment(folder: Path) -> dict[str, str]:
    left_out = {*SETTINGS, "makeflags", "mflags", "makeoverrides", "args"}  # of an outer make
    mine = {name: value for name, value in os.environ.items() if name.lower() not in left_out}
    return mine | {"PATH": f"{folder / 'tools'}:{os.environ['PATH']}"}


def typed() -> list[str]:
    """The commands for people without Docker, but for those that others run."""
    mine = [command for command in commands() if not command.startswith("docker ")]
    return [command for command in mine if command not in BY_OTHERS]


@pytest.mark.server
@pytest.mark.uses("redis-cli")
@pytest.mark.xdist_group("readme")
@pytest.mark.parametrize("command", typed())
def test_what_it_tells_people_to_type_works(clone: Path, command: str) -> None:
    endless = command.startswith(ENDLESS)
    done = subprocess.run(
        ["timeout", "2", "bash", "-c", command] if endless else ["bash", "-c", command],
        cwd=clone,
        env=environment(clone),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == (124 if endless else 0), done.stdout + done.stderr
    assert done.stdout.strip() or "sent " in done.stderr or ":alerts" in command
