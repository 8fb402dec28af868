"""Install: the packages of a lock file into this Python's environment, by uv and hashes.

    python -m deploy.supply.install logpipeline/localstack/requirements.lock

uv is several times faster than pip, which installs it first: by its hash, and only as a wheel.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

from deploy.supply.lock import ALL, configured


def main(lock: str) -> int:
    """Install uv, then the packages. Returns the exit status of pip or uv."""
    only_wheels = ["--quiet", "--require-hashes", "--only-binary=:all:"]
    with NamedTemporaryFile("w", suffix=".txt") as pin:
        pin.write(pin_of_uv())
        pin.flush()
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
        done = subprocess.run([*command, *only_wheels, "--requirement", pin.name])
    if done.returncode:
        return done.returncode
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    environment = os.environ | configured()
    command += [*only_wheels, "--compile-bytecode", "--requirement", lock]
    return subprocess.run(command, env=environment).returncode


def pin_of_uv() -> str:
    """uv's lines in the lock file of all packages."""
    found = re.search(r"^uv==.*\n( +--hash.*\n)+", Path(ALL).read_text(), re.MULTILINE)
    assert found, f"{ALL} does not pin uv: run make lock"
    return found[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
