"""Store: the place off this machine that gets rotated files, ARCHIVE_URL.

The store has a whole file under its own name, below the URL's prefix, or nothing of it: a small one
is sent in one request, a large one in parts that the store joins when it has them all. A copy is
compared by its size and the MD5 that S3 gives as ETag; if a store gives none, the copy is read.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from logpipeline.archive.settings import StoreSettings
from logpipeline.archive.store_error import OtherContentError as OtherContentError
from logpipeline.archive.store_error import StoreError as StoreError
from logpipeline.files import PERMISSIONS, allow, draft_of, remove_drafts, sync

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore, S3Config

TIMEOUT = 30.0  # seconds for one request, a part's included
RETRIES = 3  # of a request that failed, within TIMEOUT
PART = 8 * 2**20  # bytes of a part; two are on their way at a time
MOST_PARTS = 10_000  # of S3, docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MD5 = re.compile(r'"?([0-9a-f]{32}(-\d+)?)"?')  # an ETag that is one, with the number of parts

# Where the library's errors, which have many lines, give the reason. The best first.
REASONS = (
    r"<Code>([^<]+)</Code>.*?<Message>([^<]+)</Message>",
    r"(InvalidCertificate)\(\s*(\w+)",
    r'(?:message|error): "([^"\n]+)"',
    r"status code: (\d+ [\w ]+)",
    r"^(?:[^\n]*? - |\[Errno \d+\] )?([^\n]+)",
)


class Store:
    """Gets rotated files. `endpoint` and `region` are those of S3, by default what the library
    finds in the environment; `timeout`, in seconds, applies to one request."""

    def __init__(
        self,
        url: str,
        endpoint: str | None = None,
        region: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Raises StoreError for a URL that cannot be used; makes no connection yet."""
        self.name = re.sub("(?<=://).*@", "", url)  # without credentials
        self._url = url
        self._timeout = timedelta(seconds=timeout)
        self._client = None if url.startswith("file:") else self._connect(endpoint, region)

    @classmethod
    def of(cls, settings: StoreSettings) -> Self | None:
        """The store of ARCHIVE_URL, if that is set. Raises StoreError."""
        if not settings.archive_url:
            return None
        # Always both: an empty AWS_ENDPOINT_URL makes the library panic.
        amazon = f"https://s3.{settings.aws_region}.amazonaws.com"
        return cls(settings.archive_url, settings.aws_endpoint_url or amazon, settings.aws_region)

    def sizes(self, after: str) -> dict[str, int]:
        """Name → bytes of every file whose name sorts after this one, without what a kill has
        left. Raises StoreError."""
        with self._as_store_error("cannot list {}"):
            store = self._store()
            if isinstance(store, LocalStore) and store.prefix:
                remove_drafts(store.prefix, lambda name: name > after)
            chunks = obstore.list(store, offset=after)
            found = {each["path"]: each["size"] for chunk in chunks for each in chunk}
        return {name: size for name, size in found.items() if "/" not in name}

    def put(self, path: Path) -> bool:
        """Make sure that the store has a whole and equal copy of this local file. Returns whether
        it had to be sent. Raises OtherContentError, which leaves the store's file as it is, and
        StoreError.
        """
        with self._as_store_error(f"cannot write {path.name} to {{}}"):
            copy = self._find(path.name)
            sent = copy is None
            if sent:
                self._send(path)
                copy = self._find(path.name)
            if copy and self._equal(path, copy):
                return sent
        raise OtherContentError(
            f"{self.name} has a {path.name} with other content, which is kept: "
            "give each host a prefix of its own, or move one of the two files away"
        )

    def get(self, name: str, path: Path) -> None:
        """Copy a file to `path`. Raises StoreError, also when `path` cannot be created."""
        with (
            self._as_store_error(f"cannot read {name} from {{}}"),
            draft_of(path) as (fd, _),
            os.fdopen(fd, "wb") as file,
        ):
            copy = self._find(name)
            if not copy:
                raise FileNotFoundError("the file does not exist any more")
            for part in self._parts(copy):
                file.write(part)

    def _connect(self, endpoint: str | None, region: str | None) -> "ObjectStore":
        """A client, which is not connected yet. Raises StoreError."""
        address = urlsplit(self._url)
        config: S3Config = {}
        if address.scheme == "s3" and endpoint and region:
            config = {"endpoint": endpoint, "region": region}
        if address.username and address.password:
            config["access_key_id"] = unquote(address.username)
            config["secret_access_key"] = unquote(address.password)
        with self._as_store_error("cannot use {}"):
            return from_url(
                self._url,
                config=config,
                client_options={
                    "allow_http": True,  # if AWS_ENDPOINT_URL is http://
                    "connect_timeout": min(self._timeout, timedelta(seconds=5)),
                    "timeout": self._timeout,
                },
                retry_config={"max_retries": RETRIES, "retry_timeout": self._timeout},
            )

    def _store(self) -> "ObjectStore":
        """A folder is looked up each time: it is not created if its disk is not mounted."""
        if self._client:
            return self._client
        with self._as_store_error("cannot use {}"):
            return LocalStore.from_url(self._url)

    def _find(self, name: str) -> "ObjectMeta | None":
        try:
            return obstore.head(self._store(), name)
        except FileNotFoundError:
            return None

    def _send(self, path: Path) -> None:
        store = self._store()
        if isinstance(store, LocalStore) and store.prefix:
            _copy(path, store.prefix)
            return
        size = path.stat().st_size
        many = size > PART
        obstore.put(
            *(store, path.name, path),
            mode="overwrite" if many else "create",
            use_multipart=many,
            chunk_size=_part_size(size),
            max_concurrency=2,
        )

    def _equal(self, path: Path, copy: "ObjectMeta") -> bool:
        """Whether `copy` has the bytes of the local file. Raises OSError and the library's."""
        size = path.stat().st_size
        if copy["size"] != size:
            return False
        etag = MD5.fullmatch(copy["e_tag"] or "")
        if etag and etag[1] == _etag(path, size, in_parts=bool(etag[2])):
            return True
        # An ETag of another kind (by encryption, or parts of another size) proves nothing.
        with path.open("rb") as file:
            return all(file.read(len(part)) == part for part in self._parts(copy))

    def _parts(self, copy: "ObjectMeta") -> Iterator[bytes]:
        """The bytes of the store's file, a part at a time."""
        store = self._store()
        for start in range(0, copy["size"], PART):
            end = min(start + PART, copy["size"])
            yield bytes(obstore.get_range(store, copy["path"], start=start, end=end))

    @contextmanager
    def _as_store_error(self, failure: str) -> Iterator[None]:
        """Raise the library's errors, and the disk's, as one line: `failure` of the store."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            reason = _reason(str(error))
            raise StoreError(f"{failure.format(self.name)}: {reason}") from None


def _copy(path: Path, folder: Path) -> None:
    """Copy a file to `folder`, on disk before it has its name: a torn one would count as another's.

    Raises OSError.
    """
    with (
        draft_of(folder / path.name) as (fd, _),
        path.open("rb") as source,
        os.fdopen(fd, "wb") as target,
    ):
        allow(fd, path.stat().st_mode & PERMISSIONS)
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(fd)
    sync(folder)


def _part_size(size: int) -> int:
    """Bytes of one part of a file of this size."""
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
    """The reason in the library's error, as the store or the system gave it, without times and ids,
    so that an outage is the same sentence at each retry."""
    words = next(filter(None, (re.findall(why, error, re.DOTALL)[-1:] for why in REASONS)), [""])[0]
    sentence = ": ".join(words) if isinstance(words, tuple) else words
    if "kind: Timeout" in error:
        sentence = "no answer in time"
    if re.search(r"status code: 40[13]\b|AccessDenied|Signature|AccessKey|Unauth", error):
        sentence += " (check the credentials, and that they may list, read and write)"
    if "InvalidCertificate" in error:
        sentence += " (SSL_CERT_FILE may name a certificate authority of your own)"
    return sentence or error.partition("\n")[0]
