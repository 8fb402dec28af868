"""Programs: what some tests run and pip can't bring."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MOUNT = "mount"  # the right to: where a test fills up a small filesystem of its own
PACKAGES = {  # a program → Debian's package
    "bzcat": "bzip2",
    "cc": "gcc libc6-dev",
    "chromium": "chromium",
    "curl": "curl",
    "kcat": "kcat",
    "logger": "bsdutils",
    "logrotate": "logrotate",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "nginx": "nginx-light",
    "npm": "npm",
    "rsyslogd": "rsyslog rsyslog-elasticsearch",
    "xzcat": "xz-utils",
    "zcat": "gzip",
    "zstdcat": "zstd",
}


def missing(*programs: str) -> list[str]:
    """Those of these that aren't here."""
    return [name for name in programs if not is_here(name)]


@cache
def is_here(program: str) -> bool:
    if program == MOUNT:
        return _may_mount()
    if program != "chromium":
        return shutil.which(program) is not None
    return any(map(shutil.which, BROWSERS)) or _has_playwrights()


def how_to_get(*programs: str) -> str:
    """What a person does on Debian."""
    packages = [PACKAGES[name] for name in programs if name in PACKAGES]
    install = [" ".join(["apt-get install", *packages])] if packages else []
    return " and ".join([*install, *(["run as root"] if MOUNT in programs else [])])


def _may_mount() -> bool:
    if not shutil.which("mount") or not shutil.which("unshare"):
        return False
    attempt = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"]  # noqa: S108
    return subprocess.run(attempt, capture_output=True).returncode == 0


def _has_playwrights() -> bool:
    """Whether there is what `playwright install chromium` brings."""
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright"
    return any(Path(folder).glob("chromium-*"))
