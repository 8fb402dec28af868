"""What is installed is what the lock files say, and they say all; audit and SBOM of it."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from deploy.supply.lock import ALL, LOCKS
from tests.support.process import ROOT, Process

SDK = {"PYTHONPATH": str(ROOT)}
Lock = dict[str, tuple[Requirement, list[str]]]  # name → pin, hashes


def stated(path: Path) -> Iterator[Requirement]:
    """What a requirements file asks for, with those that it includes."""
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from stated(path.parent / text[3:])
        elif text:
            yield Requirement(text)


def locked(name: str) -> Lock:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    found: Lock = {}
    for line in lines:
        pin, *hashes = line.split("--hash=")
        requirement = Requirement(pin.strip())
        found[canonicalize_name(requirement.name)] = requirement, hashes
    assert len(found) == len(lines)
    return found


def version(requirement: Requirement) -> str:
    [specifier] = requirement.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_has_what_its_requirements_files_state_and_hashes_of_all(lock: str) -> None:
    pins = locked(lock)
    for source in LOCKS[lock]:
        for wanted in stated(ROOT / source):
            pin, _ = pins[canonicalize_name(wanted.name)]
            assert version(pin) == version(wanted), f"{wanted}: make lock"
    for pin, hashes in pins.values():
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", found) for found in hashes), pin
    assert not re.search(r"://|--(extra-)?index-url|--find-links", (ROOT / lock).read_text())


def test_every_requirements_file_is_in_a_lock_file() -> None:
    everything = {canonicalize_name(name) for lock in LOCKS for name in locked(lock)}
    for path in [*ROOT.glob("requirements*.txt"), *ROOT.glob("[a-z]*/**/requirements.txt")]:
        assert {canonicalize_name(wanted.name) for wanted in stated(path)} <= everything


def test_lock_files_agree() -> None:
    together = locked(ALL)
    for lock in LOCKS:
        for name, (pin, hashes) in locked(lock).items():
            if name in together:
                assert (version(pin), hashes) == (version(together[name][0]), together[name][1])


def test_what_is_installed_is_what_is_locked_with_all_that_it_needs() -> None:
    pins = locked(ALL)
    here = {name: pin for name, (pin, _) in pins.items() if not pin.marker or pin.marker.evaluate()}
    for name, pin in here.items():
        found = distribution(name)
        assert found.version == version(pin), f"{name}: make install"
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                got = Version(version(here[canonicalize_name(needed.name)]))
                assert needed.specifier.contains(got, prereleases=True), f"{name}: {text}"


def test_the_sbom_is_valid_and_lists_every_locked_package(tmp_path: Path) -> None:
    # Two seconds, which each worker would take for it at the top.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    lock = "logpipeline/dashboard/requirements.lock"
    recipe = re.search(r"-m cyclonedx_py (.*\\\n.*)", (ROOT / "Makefile").read_text())
    assert recipe
    target = tmp_path / "sbom.json"
    arguments = recipe[1].replace("\\\n", " ").replace("sbom.json", str(target)).split()
    assert arguments[-1] == lock
    command = [sys.executable, "-m", "cyclonedx_py", *arguments]
    run = Process(command, tmp_path / "output", SDK, cwd=ROOT)
    assert run.wait(60) == 0, run
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(target.read_text()) is None
    components = json.loads(target.read_text())["components"]
    assert {(canonicalize_name(c["name"]), c["version"]) for c in components} == {
        (name, version(pin)) for name, (pin, _) in locked(lock).items()
    }


class Osv(BaseHTTPRequestHandler):
    """Answers like osv.dev, which knows of one vulnerability of `vulnerable`."""

    vulnerable = "confluent-kafka"

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        affected: list[dict[str, Any]] = [
            {
                "package": {"name": self.vulnerable, "ecosystem": "PyPI"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}
                ],
            }
        ]
        vulnerability = {"id": "PYSEC-1", "aliases": ["CVE-1"], "summary": "", "affected": affected}
        known = query["package"]["name"] == self.vulnerable
        body = json.dumps({"vulns": [vulnerability]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def osv() -> Iterator[str]:
    """The address of such a service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(tmp_path: Path, lock: Path, url: str) -> tuple[int, str]:
    """Its exit status, and what it says."""
    options = ["--vulnerability-service", "osv", "--osv-url", url]
    command = [sys.executable, "-m", "deploy.supply.audit", str(lock), *options]
    run = Process(command, tmp_path / "output", SDK)
    return run.wait(120), run.output()


def test_an_audit_fails_for_a_vulnerability_that_the_service_knows(tmp_path: Path) -> None:
    with osv() as url:
        status, said = audit(tmp_path, ROOT / "bench" / "requirements.lock", url)
    pin, _ = locked("bench/requirements.lock")[Osv.vulnerable]
    assert said.splitlines() == [
        f"{Osv.vulnerable} {version(pin)}: PYSEC-1, CVE-1, fixed in 99.0",
        "1 of 1 packages audited, 1 vulnerable",
    ]
    assert status == 1


def test_an_audit_passes_when_nothing_is_known(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    text = (ROOT / "requirements.lock").read_text()
    lock.write_text(text[text.index("tqdm==") :])
    with osv() as url:
        status, said = audit(tmp_path, lock, url)
    assert re.fullmatch(r"(\d+) of \1 packages audited, 0 vulnerable\n", said)
    assert status == 0


def test_an_audit_reports_an_unavailable_service(tmp_path: Path) -> None:
    lock = ROOT / "bench" / "requirements.lock"
    status, said = audit(tmp_path, lock, "http://127.0.0.1:1/v1/query")
    [line] = said.splitlines()
    assert line.startswith("not audited: the vulnerability service is unavailable (")
    assert status == 0


def test_an_audit_refuses_an_invalid_lock(tmp_path: Path) -> None:
    lock = tmp_path / "broken.lock"
    lock.write_text("tqdm==4.70.1\n")
    status, said = audit(tmp_path, lock, "http://127.0.0.1:1/v1/query")
    [line] = said.splitlines()
    assert "tqdm" in line
    assert status == 2
