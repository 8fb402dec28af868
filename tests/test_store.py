"""The store of finished files: a real S3 server, SeaweedFS, and a folder."""

import os
import re
import signal
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
import trustme

from config import Settings
from logpipeline.archive.store import PART, OtherContentError, Store, StoreError, _reason
from logpipeline.localstack.child import spawn
from tests.support.process import ROOT
from tests.support.seaweed import KEY, SECRET, Seaweed

BIG = 2 * PART + 1  # bytes
PUT = """
import sys
from pathlib import Path
from logpipeline.archive.store import Store
store = Store(sys.argv[1])
print("begins", flush=True)
store.put(Path(sys.argv[2]))
"""

FULL = """
import os, sys
from pathlib import Path
from logpipeline.archive.store import Store, StoreError
from tests.support.disk import Disk
nas, path = Path(sys.argv[1]), Path(sys.argv[2])
disk = Disk(nas)
disk.fill()
store = Store(f"file://{nas}")
try:
    store.put(path)
except StoreError as refused:
    print(refused)
print(os.listdir(nas))
disk.empty()
print(store.put(path))
print(os.listdir(nas))
"""


S3 = pytest.param("s3", marks=[pytest.mark.server, pytest.mark.xdist_group("seaweed")])


@pytest.fixture(params=[S3, "folder"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of this test's own that works."""
    if request.param == "folder":
        (tmp_path / "my nas").mkdir()
        return f"file://{tmp_path}/my%20nas"
    return at(request.getfixturevalue("seaweed"), tmp_path, monkeypatch)


def at(seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in seaweed.variables().items():
        monkeypatch.setenv(name, value)
    return seaweed.place(tmp_path.name)


def file(tmp_path: Path, size: int = 1_000, name: str = "logs-1.txt.zst") -> Path:
    path = tmp_path / name
    path.write_bytes(os.urandom(size))
    return path


def copy(store: Store, path: Path) -> bytes:
    back = path.with_name("back")
    store.get(path.name, back)
    return back.read_bytes()


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, BIG])
def test_a_file_is_there_whole(url: str, size: int, tmp_path: Path) -> None:
    store, path = Store(url), file(tmp_path, size)
    assert store.put(path)
    assert not store.put(path)
    assert store.sizes("") == {path.name: size}
    assert copy(store, path) == path.read_bytes()


def test_what_is_there_is_not_sent_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, BIG)
    Store(url).put(path)
    monkeypatch.setattr(obstore, "put", None)
    Store(url).put(path)


@pytest.mark.parametrize("size", [1_000, BIG])
def test_other_content_is_never_overwritten(url: str, size: int, tmp_path: Path) -> None:
    store, path = Store(url), file(tmp_path, size)
    store.put(path)
    before = path.read_bytes()
    for other in (before[:-1] + bytes([before[-1] ^ 1]), before[:-1], before + b"x"):
        path.write_bytes(other)
        with pytest.raises(
            OtherContentError, match=r"has a logs-1\.txt\.zst with other content, which"
        ):
            store.put(path)
        assert copy(store, path) == before


def test_parts_of_another_size_are_compared_by_reading(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, path = at(seaweed, tmp_path, monkeypatch), file(tmp_path, BIG)
    monkeypatch.setattr("logpipeline.archive.store.PART", 2 * PART)
    Store(url).put(path)
    monkeypatch.undo()
    for name, value in seaweed.variables().items():
        monkeypatch.setenv(name, value)
    assert not Store(url).put(path)


def test_a_kill_in_the_middle_leaves_no_half_of_it(url: str, tmp_path: Path) -> None:
    path = file(tmp_path, 64 * 2**20)
    store = Store(url)
    for seconds in (0.05, 0.2):
        sender = spawn(
            [sys.executable, "-c", PUT, url, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert sender.stdout
        with sender.stdout as said:
            assert said.readline() == b"begins\n"
            time.sleep(seconds)
            sender.send_signal(signal.SIGKILL)
            sender.wait()
        if path.name in store.sizes(""):
            assert not store.put(path), "done before the kill"
    store.put(path)
    assert copy(store, path) == path.read_bytes()
    assert store.sizes("") == {path.name: path.stat().st_size}
    folder = tmp_path / "my nas"
    assert not folder.exists() or [path.name] == [each.name for each in folder.iterdir()]


def test_credentials_may_be_in_the_url_and_are_never_shown(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = at(seaweed, tmp_path, monkeypatch).removeprefix("s3://")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    path = file(tmp_path)
    Store(f"s3://{KEY}:{SECRET.replace('/', '%2F')}@{place}").put(path)
    for who in (f"{KEY}:wrong", f"nobody:{SECRET.replace('/', '%2F')}"):
        store = Store(f"s3://{who}@{place}")
        for words in (one_line(store.sizes, ""), one_line(store.put, path)):
            assert re.match(rf"cannot \w+ .*s3://{place}: ", words)
            assert "check the credentials" in words
            assert not any(secret in words for secret in (*who.split(":"), SECRET))


def test_a_bucket_that_is_missing(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(seaweed, tmp_path, monkeypatch)
    words = one_line(Store("s3://nowhere/x").put, file(tmp_path))
    assert words.startswith("cannot write logs-1.txt.zst to s3://nowhere/x: NoSuchBucket: ")


def test_a_server_that_hangs_or_is_away(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, path = at(seaweed, tmp_path, monkeypatch), file(tmp_path, BIG)
    store = Store(url, timeout=1)
    seaweed.pause()
    try:
        for words in (one_line(store.sizes, ""), one_line(store.put, path)):
            assert words.endswith(": no answer in time")
    finally:
        seaweed.resume()
    seaweed.wait_ready()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = Store(url, timeout=1)
    for words in (one_line(away.sizes, ""), one_line(away.put, path)):
        assert words.endswith(": Connection refused")
    assert one_line(away.put, path) == one_line(away.put, path), "it is said once"
    assert store.put(path)


@pytest.mark.parametrize("elapsed", ["403.061554ms", "401.2ms", "1.403s"])
def test_a_time_in_the_librarys_error_is_no_status_code(elapsed: str) -> None:
    error = (
        f"Generic S3 error: Error performing HEAD http://127.0.0.1:1/archive/x/a in {elapsed}, "
        "after 3 retries, max_retries: 3, retry_timeout: 1s  - HTTP error: error sending request\n"
        f"    elapsed: {elapsed},\n"
        '    code: 111,\n    message: "Connection refused",\n'
    )
    assert _reason(error) == "Connection refused"


def test_a_server_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    class Shake(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True):
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Shake) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        store = Store("s3://b/x", f"https://127.0.0.1:{server.server_address[1]}", "here")
        words = one_line(store.put, file(tmp_path))
        server.shutdown()
        thread.join()
    assert ": InvalidCertificate: UnknownIssuer (SSL_CERT_FILE may name a " in words


def test_a_folder_that_is_not_mounted_is_not_created(tmp_path: Path) -> None:
    store, path = Store(f"file://{tmp_path}/nas"), file(tmp_path)
    for words in (one_line(store.sizes, ""), one_line(store.put, path)):
        assert re.fullmatch(r"cannot \w+ .*/nas: No such file or directory", words)
    assert not (tmp_path / "nas").exists()
    (tmp_path / "nas").mkdir()
    assert store.put(path)


@pytest.mark.needs("mount")
@pytest.mark.parametrize("size", [200_000, BIG])
def test_a_full_disk_takes_nothing_or_all(size: int, tmp_path: Path) -> None:
    file(tmp_path, size, "logs-1.txt")
    (tmp_path / "nas").mkdir()
    run = [sys.executable, "-c", FULL, str(tmp_path / "nas"), str(tmp_path / "logs-1.txt")]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"cannot write logs-1.txt to file://{tmp_path}/nas: No space left on device",
        *("[]", "True", "['logs-1.txt']"),
    ], done.stderr


@pytest.mark.parametrize("empty", [{}, {"AWS_ENDPOINT_URL": ""}])
def test_without_an_endpoint_it_is_amazon(
    empty: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in empty.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None, archive_url="s3://k:s@b/x", aws_region="eu-west-9")
    store = Store.of(settings)
    assert store
    signed = obstore.sign(store._client, "GET", "y", timedelta(minutes=1))  # type: ignore
    assert signed.startswith("https://s3.eu-west-9.amazonaws.com/b/x/y?")
    assert Store.of(Settings(_env_file=None)) is None


@pytest.mark.parametrize("url", ["az://container/x", "s3://b//x"])
def test_a_url_that_the_library_refuses(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AZURE_"):
            monkeypatch.delenv(name)
    assert one_line(Store, url).startswith(f"cannot use {url}: ")


def test_memory_is_that_of_a_few_parts(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = at(seaweed, tmp_path, monkeypatch)
    path = tmp_path / "logs-1.txt.zst"
    with path.open("wb") as sparse:
        sparse.truncate(200 * 2**20)
    code = PUT + "print(Path('/proc/self/status').read_text())"
    run = [sys.executable, "-c", code, url, str(path)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("VmHWM:")[1].split()[0]) < 150_000  # KiB


def one_line(asked: Callable[..., object], *args: object) -> str:
    """What it refuses with."""
    with pytest.raises(StoreError) as refused:
        asked(*args)
    words = str(refused.value)
    assert "\n" not in words
    return words
