"""Lock: every package that the requirements files need, by exact version and hashes.

For Python 3.11 and later on every platform. It needs only uv, so that it also runs where the lock
files cannot be installed.
"""

import os
import subprocess
import sys
from pathlib import Path

OLDEST = "3.11"
ALL = "requirements-dev.lock"  # has all packages of the others, in the same versions
# Lock file of each installation → the files with its requirements.
LOCKS = {
    ALL: ("requirements-dev.txt",),
    "requirements.lock": ("requirements.txt",),
    "logpipeline/dashboard/requirements.lock": (
        "requirements.txt",
        "logpipeline/dashboard/requirements.txt",
    ),
    "logpipeline/collector/requirements.lock": (
        "requirements.txt",
        "logpipeline/collector/requirements.txt",
    ),
    "logpipeline/localstack/requirements.lock": (  # make up, and the programs beside it
        *("requirements.txt", "logpipeline/dashboard/requirements.txt"),
        "logpipeline/collector/requirements.txt",
        *("logpipeline/localstack/requirements.txt", "logpipeline/report/requirements.txt"),
    ),
    "bench/requirements.lock": ("bench/requirements.txt",),
}


def main(options: list[str]) -> int:
    """Rebuild the lock files; `options` are uv's, such as --upgrade. Returns the exit status."""
    environment = os.environ | configured()
    for lock, sources in LOCKS.items():
        path = Path(lock)
        if path.exists() and b"<<<<<<<" in path.read_bytes():
            path.unlink()  # left by a merge: uv cannot read it
        constraints = () if lock == ALL else ("--constraints", ALL)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes"),
                *("--universal", "--python-version", OLDEST, "--no-emit-index-url"),
                *("--custom-compile-command", "make lock", "--output-file", lock),
                *(*constraints, *options, *sources),
            ],
            env=environment,
        )
        if done.returncode:
            return done.returncode
    return 0


def configured() -> dict[str, str]:
    """pip's configuration as uv's environment variables: the index, and the trusted
    certificates."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    known = {name.rpartition(".")[2]: value.strip("'") for name, value in found.items()}
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    return {
        names[name]: value
        for name, value in known.items()
        if name in names and names[name] not in os.environ
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
