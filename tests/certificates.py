"""Certificates: PEM files of an authority of the tests' own, good ones and others."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

PASSWORD = "pass"  # of the locked key


def write(folder: Path) -> dict[str, str]:
    """Files: "ca", a "certificate" for localhost with its "key", that key "locked" by PASSWORD,
    and the key of "another" one. Returns name → path."""
    ca = trustme.CA()
    mine, another = ca.issue_cert("localhost", "127.0.0.1"), ca.issue_cert("localhost")
    key = load_pem_private_key(mine.private_key_pem.bytes(), None)
    lock = BestAvailableEncryption(PASSWORD.encode())
    contents = {
        "ca": ca.cert_pem.bytes(),
        "certificate": mine.cert_chain_pems[0].bytes(),
        "key": mine.private_key_pem.bytes(),
        "locked": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock),
        "another": another.private_key_pem.bytes(),
    }
    for name, content in contents.items():
        (folder / f"{name}.pem").write_bytes(content)
    return {name: str(folder / f"{name}.pem") for name in contents}
