"""README.md and docs/: their tables are the code's, and every command in them works.

`docker` commands are run by test_compose.py.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from bench import capacity
from config import Settings
from logpipeline.events.event import REASONS
from logpipeline.localstack import jars
from logpipeline.localstack.server import free_port
from tests.support.clone import copy_files
from tests.support.process import Process
from tests.support.readme import PAGES, README, ROOT, TEXT, commands, programs
from tests.support.waiting import until

# The fixture, and .ci/run.
BY_OTHERS = {"make up", "make install", "make lint", "make check", "make test"}
ENDLESS = ("tail -F",)
PATIENCE = 120.0

# What commands look for, and what seldom comes at the rate of `make up` here.
RARE: list[dict[str, object]] = [
    {"level": "INFO", "message": "order 7 placed", "service": "shop", "duration_ms": 12},
    {"level": "WARNING", "message": "order 7 is late", "service": "shop"},
    {"level": "ERROR", "message": "order 7 failed", "service": "shop"},
]

# For machines without redis-cli: the same command through redis-py.
REDIS_CLI = f"""#!{sys.executable}
import sys
from redis import Redis
answer = Redis(port=int(sys.argv[2]), decode_responses=True).execute_command(*sys.argv[3:])
print(*(answer if isinstance(answer, list | dict) else [answer]), sep="\\n")
"""


OTHER_PAGES = ["CHANGELOG.md", "SECURITY.md", "deploy/README.md"]
LONGEST = 170  # lines of README.md: for people who have two minutes


def test_the_table_of_settings_is_complete() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert {name: (default, meaning) for name, default, meaning in rows} == {
        name.upper(): (f"`{field.default}`", field.description)
        for name, field in Settings.model_fields.items()
    }


def test_each_reason_of_a_dead_letter_is_explained() -> None:
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \| ", page.partition("## Dead letters")[2], re.MULTILINE)
    explained = set(re.findall(r"`([^`]+)`", " ".join(rows)))
    for wrong in ("missing", "mistyped"):
        explained |= {f"{wrong} {name}" for name in ("message", "timestamp")}
    assert set(REASONS) <= explained


def test_the_table_of_capacity_is_what_was_measured() -> None:
    measured = capacity.Measured.read(capacity.HERE / "RESULTS.md", capacity.HERE / "limits.json")
    made = capacity.table([capacity.Plan.of(rate, measured) for rate in capacity.RATES])
    assert made.strip() in (ROOT / "docs" / "capacity.md").read_text("utf-8")


def test_the_readme_is_short_and_leads_to_each_page() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    for page in PAGES[1:]:
        assert f"]({page.relative_to(ROOT)}" in text


def test_each_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$ )make ([a-z]+)", TEXT, re.MULTILINE))
    named |= {command.split()[1] for command in commands() if command.startswith("make ")}
    assert {"up", "fuzz", "lock"} < named <= targets


@pytest.mark.parametrize("page", [*(str(page.relative_to(ROOT)) for page in PAGES), *OTHER_PAGES])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", path.read_text("utf-8")):
        file = path.parent / target if target else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Those that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, formatted: Path) -> Iterator[Path]:
    """A copy of the repository in which `make up` runs, on ports of its own."""
    folder = tmp_path_factory.mktemp("clone")
    copy_files(folder)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (folder / ".local").mkdir()
    jars.FOLDER.mkdir(parents=True, exist_ok=True)
    (folder / ".local" / "jars").symlink_to(jars.FOLDER)
    shutil.copytree(formatted, folder / ".local" / "kafka" / "data")
    redis_port, collector = free_port(), free_port()
    ports = {
        "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{free_port()}",
        "REDIS_URL": f"redis://localhost:{redis_port}/0",
        "METRICS_PORT": str(free_port()),
        "ALERTS_METRICS_PORT": str(free_port()),
        "DASHBOARD_PORT": str(free_port()),
        "COLLECTOR_PORT": str(collector),
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in ports.items()))
    tools = folder / "tools"
    tools.mkdir()
    curl = tools / "curl"  # to the collector's port here
    real = shutil.which("curl") or "false"
    curl.write_text(f'#!/bin/bash\nexec {real} "${{@//:4318/:{collector}}}"\n')
    curl.chmod(0o755)
    redis_cli = shutil.which("redis-cli")
    if not redis_cli:
        redis_cli = str(tools / "redis-py")
        Path(redis_cli).write_text(REDIS_CLI)
        Path(redis_cli).chmod(0o755)
    (tools / "redis-cli").write_text(f'#!/bin/sh\nexec {redis_cli} -p {redis_port} "$@"\n')
    (tools / "redis-cli").chmod(0o755)
    stack = Process(["make", "up", "RATE=2"], folder / "up.output", environment(folder))
    try:
        stack.wait_for("Ctrl-C", PATIENCE)
        until(lambda: takes(RARE, collector), PATIENCE, str(stack))
        logs = folder / "logs.txt"
        until(lambda: logs.exists() and b'"ERROR"' in logs.read_bytes(), PATIENCE, str(stack))
        yield folder
        os.killpg(stack.pid, signal.SIGINT)
        stack.wait(15)  # make itself ends by the signal
        assert "| stopped" in stack.output(), stack
    finally:
        stack.kill()


def takes(events: list[dict[str, object]], collector: int) -> bool:
    """Whether the collector at that port has taken them."""
    body = json.dumps(events).encode()
    with suppress(OSError), urlopen(f"http://127.0.0.1:{collector}/events", body, 60):
        return True
    return False


SETTINGS = Settings.model_fields.keys()


def environment(folder: Path) -> dict[str, str]:
    left_out = {*SETTINGS, "makeflags", "mflags", "makeoverrides", "args"}  # of an outer make
    mine = {name: value for name, value in os.environ.items() if name.lower() not in left_out}
    return mine | {"PATH": f"{folder / 'tools'}:{os.environ['PATH']}"}


def typed() -> list[object]:
    """The commands for people without Docker, but for those that others run."""
    mine = [command for command in commands() if not command.startswith("docker ")]
    return [
        pytest.param(command, marks=[pytest.mark.needs("curl")] if "curl " in command else [])
        for command in mine
        if command not in BY_OTHERS
    ]


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


@pytest.mark.server
@pytest.mark.xdist_group("readme")
@pytest.mark.parametrize("number", range(len(programs())))
def test_each_python_program_sends_its_log_record(clone: Path, number: int) -> None:
    service = f"service-of-program-{number}"
    program = (
        programs()[number].replace('"shop",', f'"{service}",').replace('"shop"}', f'"{service}"}}')
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=clone,
        env=environment(clone),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    logs = clone / "logs.txt"
    named = f'"service":"{service}"'.encode()
    until(lambda: named in logs.read_bytes(), PATIENCE, program)
    [line] = [line for line in logs.read_bytes().splitlines() if service.encode() in line]
    assert b'"level":"ERROR"' in line
    assert b'"order":7' in line
