"""Store: the place off this machine where finished files go, ARCHIVE_URL.

A file is there under its own name, below the URL's prefix, or it is not: a small one is sent in
one request, a big one in parts that the store puts together when it has them all. What is there
is compared by size and by the MD5 that S3 gives as ETag; where a store gives none, it is read.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from logpipeline.archive.settings import StoreSettings
from logpipeline.files import PERMISSIONS, draft_of, sync

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore, S3Config

TIMEOUT = 30.0  # seconds for one request, a part's included
RETRIES = 3  # of a request that failed, within TIMEOUT
PART = 8 * 2**20  # bytes of a part; two are on their way at a time
MOST_PARTS = 10_000  # of S3, docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MD5 = re.compile(r'"?([0-9a-f]{32}(-\d+)?)"?')  # an ETag that is one, with the number of parts

# Where the library's errors, which have many lines, tell why. The best first.
REASONS = (
    r"<Code>([^<]+)</Code>.*?<Message>([^<]+)</Message>",
    r"(InvalidCertificate)\(\s*(\w+)",
    r'(?:message|error): "([^"\n]+)"',
    r"status code: (\d+ [\w ]+)",
    r"^(?:[^\n]*? - )?([^\n]+)",
)


class StoreError(Exception):
    """The store can't be used, or has other content; str() is one line without secrets."""


class OtherContentError(StoreError):
    """A file of this name is there, and is another one."""


class Store:
    """Where rotated files go. `endpoint` and `region` are for S3, and by default what the library
    finds in the environment; `timeout`, in seconds, is for one request."""

    def __init__(
        self,
        url: str,
        endpoint: str | None = None,
        region: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Raises StoreError for a URL that can't be used; asks nobody yet."""
        self.name = re.sub("(?<=://).*@", "", url)  # without credentials
        self._url = url
        self._timeout = timedelta(seconds=timeout)
        self._client = None if url.startswith("file:") else self._connect(endpoint, region)

    @classmethod
    def of(cls, settings: StoreSettings) -> Self | None:
        """The one of ARCHIVE_URL, if that is set. Raises StoreError."""
        if not settings.archive_url:
            return None
        # Always both: an empty AWS_ENDPOINT_URL makes the library panic.
        amazon = f"https://s3.{settings.aws_region}.amazonaws.com"
        return cls(settings.archive_url, settings.aws_endpoint_url or amazon, settings.aws_region)

    def sizes(self, after: str) -> dict[str, int]:
        """Name → bytes of every file there whose name sorts after this one. Raises StoreError."""
        with self._saying("can't be listed"):
            chunks = obstore.list(self._store(), offset=after)
            found = {each["path"]: each["size"] for chunk in chunks for each in chunk}
        return {name: size for name, size in found.items() if "/" not in name}

    def put(self, path: Path) -> bool:
        """See that a whole and equal copy of this local file is there. Returns whether it had to
        be sent. Raises OtherContentError, which leaves what is there as it is, and StoreError.
        """
        with self._saying(f"can't take {path.name}"):
            there = self._find(path.name)
            sent = there is None
            if sent:
                self._send(path)
                there = self._find(path.name)
            if there and self._equal(path, there):
                return sent
        raise OtherContentError(
            f"{self.name} has a {path.name} with other content, which is kept: "
            "give each host a prefix of its own, or move one of the two away"
        )

    def get(self, name: str, path: Path) -> None:
        """Bring a file from there to `path`. Raises StoreError, also when `path` can't be made."""
        with (
            self._saying(f"can't give {name}"),
            draft_of(path) as (fd, _),
            os.fdopen(fd, "wb") as file,
        ):
            there = self._find(name)
            if not there:
                raise FileNotFoundError(f"{name} is not there any more")
            for part in self._parts(there):
                file.write(part)

    def _connect(self, endpoint: str | None, region: str | None) -> "ObjectStore":
        """A client, which makes no connection yet. Raises StoreError."""
        address = urlsplit(self._url)
        config: S3Config = {}
        if address.scheme == "s3" and endpoint and region:
            config = {"endpoint": endpoint, "region": region}
        if address.username and address.password:
            config["access_key_id"] = unquote(address.username)
            config["secret_access_key"] = unquote(address.password)
        with self._saying("can't be used"):
            return from_url(
                self._url,
                config=config,
                client_options={
                    "allow_http": True,  # where AWS_ENDPOINT_URL says so
                    "connect_timeout": min(self._timeout, timedelta(seconds=5)),
                    "timeout": self._timeout,
                },
                retry_config={"max_retries": RETRIES, "retry_timeout": self._timeout},
            )

    def _store(self) -> "ObjectStore":
        """A folder is looked for each time: one whose disk is not mounted is not made."""
        if self._client:
            return self._client
        with self._saying("can't be used"):
            return LocalStore.from_url(self._url)

    def _find(self, name: str) -> "ObjectMeta | None":
        try:
            return obstore.head(self._store(), name)
        except FileNotFoundError:
            return None

    def _send(self, path: Path) -> None:
        store = self._store()
        if isinstance(store, LocalStore) and store.prefix:
            for left in store.prefix.iterdir():  # by a kill
                if left.name.startswith(f"{path.name}#"):
                    left.unlink()
        size = path.stat().st_size
        many = size > PART
        obstore.put(
            *(store, path.name, path),
            mode="overwrite" if many else "create",
            use_multipart=many,
            chunk_size=_part_size(size),
            max_concurrency=2,
        )
        if isinstance(store, LocalStore) and store.prefix:
            with suppress(PermissionError):  # a file system without modes
                (store.prefix / path.name).chmod(path.stat().st_mode & PERMISSIONS)
            sync(store.prefix / path.name)
            sync(store.prefix)

    def _equal(self, path: Path, there: "ObjectMeta") -> bool:
        """Whether `there` has the bytes of the local file. Raises OSError and the library's."""
        size = path.stat().st_size
        if there["size"] != size:
            return False
        told = MD5.fullmatch(there["e_tag"] or "")
        if told and told[1] == _etag(path, size, in_parts=bool(told[2])):
            return True
        # Another way to make an ETag (by encryption, or parts of another size) tells nothing.
        with path.open("rb") as file:
            return all(file.read(len(part)) == part for part in self._parts(there))

    def _parts(self, there: "ObjectMeta") -> Iterator[bytes]:
        """What is there, a part at a time."""
        store = self._store()
        for start in range(0, there["size"], PART):
            end = min(start + PART, there["size"])
            yield bytes(obstore.get_range(store, there["path"], start=start, end=end))

    @contextmanager
    def _saying(self, what: str) -> Iterator[None]:
        """Raise the library's errors, and the disk's, as one line of StoreError."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"{self.name} {what}: {_reason(str(error))}") from None


def _part_size(size: int) -> int:
    """Bytes of a part of a file of this size."""
    return max(PART, -(-size // MOST_PARTS))


def _etag(path: Path, size: int, in_parts: bool) -> str:
    """The ETag that S3 gives this file: its MD5, or that of the MD5s of its parts."""
    with path.open("rb") as file:
        if not in_parts:
            digest = md5(usedforsecurity=False)
            while data := file.read(PART):
                digest.update(data)
            return digest.hexdigest()
        digests = []
        while data := file.read(_part_size(size)):
            digests.append(md5(data, usedforsecurity=False).digest())
    return f"{md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def _reason(error: str) -> str:
    """Why, of the library's error: what the store said, or the system, without times and ids,
    so that an outage is one sentence however often it is met."""
    words = next(filter(None, (re.findall(why, error, re.DOTALL)[-1:] for why in REASONS)), [""])[0]
    sentence = ": ".join(words) if isinstance(words, tuple) else words
    if "kind: Timeout" in error:
        sentence = "no answer in time"
    if re.search(r"status code: 40[13]\b|AccessDenied|Signature|AccessKey|Unauth", error):
        sentence += " (check the credentials, and that they may list, read and write there)"
    if "InvalidCertificate" in error:
        sentence += " (SSL_CERT_FILE may name a certificate authority of your own)"
    return sentence or error.partition("\n")[0]
