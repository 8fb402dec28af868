"""Certificates: PEM files of an authority of the tests' own, good ones and others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

PASSWORD = "pass"  # of the locked key
HOSTS = ("localhost", "127.0.0.1")
DAY = timedelta(days=1)
LONG_AGO, FAR_AHEAD = (datetime.now(UTC) + timedelta(days=days) for days in (-30, 30))


def write(folder: Path) -> dict[str, str]:
    """Files: "ca", a "certificate" for HOSTS with its "key", that key "locked" by PASSWORD, and
    the key of "another" one. For servers key and certificate in one file: a good "server", and
    an "expired", a "future", a "foreign" (of an unknown authority) and a "misnamed" (of another
    host) one. Returns name → path."""
    ca = trustme.CA()
    mine, another = ca.issue_cert(*HOSTS, common_name="machine"), ca.issue_cert(*HOSTS)
    lock = BestAvailableEncryption(PASSWORD.encode())
    contents = {
        "ca": ca.cert_pem.bytes(),
        "certificate": mine.cert_chain_pems[0].bytes(),
        "key": _key(mine),
        "locked": _key(mine, lock),
        "another": _key(another),
        "server": _both(mine),
        "expired": _both(ca.issue_cert(*HOSTS, not_before=LONG_AGO, not_after=LONG_AGO + DAY)),
        "future": _both(ca.issue_cert(*HOSTS, not_before=FAR_AHEAD, not_after=FAR_AHEAD + DAY)),
        "foreign": _both(trustme.CA().issue_cert(*HOSTS)),
        "misnamed": _both(ca.issue_cert("elsewhere.example.org")),
    }
    for name, content in contents.items():
        (folder / f"{name}.pem").write_bytes(content)
    return {name: str(folder / f"{name}.pem") for name in contents}


def _key(leaf: trustme.LeafCert, lock: KeySerializationEncryption | None = None) -> bytes:
    """As PKCS #8, which Kafka wants."""
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock or NoEncryption())


def _both(leaf: trustme.LeafCert) -> bytes:
    return _key(leaf) + leaf.cert_chain_pems[0].bytes()
