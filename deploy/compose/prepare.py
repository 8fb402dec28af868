"""What the containers need before they start: passwords, and a logs/ that the consumer may write.

Runs to its end at each `docker compose up`, as root and without a network. A password is made
once and then kept, unless REDIS_ADMIN_PASSWORD or KAFKA_ADMIN_PASSWORD gives another.
"""

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path

CLONE = Path("/clone")  # any file of it: logs/ gets its owner
LOGS = Path("/logs")
SECRETS = Path("/secrets")
REDIS, KAFKA, PIPELINE, DOOR = 999, 1000, 10001, 10002  # users of the containers
LENGTH = 32  # bytes of a password that is made
ALLOWED = r"[\w.~+/=-]{16,200}"  # nothing that JAAS or an ACL would have to quote

JAAS = """\
KafkaServer {{
  org.apache.kafka.common.security.plain.PlainLoginModule required
  username="admin" password="{0}" user_admin="{0}";
}};
"""
CLIENT = """\
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="{0}";
"""
# What the programs do: read and write their own keys, by transactions and scripts.
ACL = """\
user default on #{admin} ~* &* +@all
user logs on #{logs} ~{key} ~{key}:* +@read +@write +@connection +@transaction +@scripting \
-@dangerous -function -script +script|load +script|exists
"""
# So that the password is neither typed nor in the container's environment.
REDIS_CLI = """\
#!/bin/sh
PATH=${PATH#*:}
export REDISCLI_AUTH="${REDISCLI_AUTH-$(cat /run/secrets/redis/password)}"
exec redis-cli "$@"
"""


def main() -> int:
    try:
        kafka = password("KAFKA_ADMIN_PASSWORD")
        admin = password("REDIS_ADMIN_PASSWORD")
        logs = password("REDIS_LOGS_PASSWORD")
        share_logs(CLONE.stat().st_uid)
    except (OSError, ValueError) as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    hashes = {"admin": digest(admin), "logs": digest(logs)}
    put("kafka/jaas.conf", JAAS.format(kafka), KAFKA)
    put("kafka/client.properties", CLIENT.format(kafka), KAFKA)
    put("redis/users.acl", ACL.format(key=literal(os.environ["REDIS_KEY"]), **hashes), REDIS)
    put("redis/password", admin, REDIS)
    put("redis/bin/redis-cli", REDIS_CLI, REDIS, mode=0o500)
    put("pipeline/kafka", kafka, PIPELINE)
    put("pipeline/redis", logs, PIPELINE)
    put("door/kafka", kafka, DOOR)
    put("door/redis", admin, DOOR)
    return 0


def password(name: str) -> str:
    """The given one, else the kept one, else a new one; it is kept. Raises OSError, ValueError."""
    kept = SECRETS / "kept" / name.lower()
    given = os.environ.get(name, "")
    if given and not re.fullmatch(ALLOWED, given, re.ASCII):
        raise ValueError(f"{name}: allowed are 16 to 200 letters, digits and _ . ~ + / = -")
    known = kept.read_text() if kept.exists() else ""
    chosen = given or known or secrets.token_urlsafe(LENGTH)
    put(f"kept/{kept.name}", chosen, 0)
    return chosen


def put(name: str, text: str, owner: int, mode: int = 0o400) -> None:
    """Write a file below SECRETS that its owner alone can read. Raises OSError."""
    file = SECRETS / name
    for folder in reversed(file.relative_to(SECRETS).parents[:-1]):
        (SECRETS / folder).mkdir(exist_ok=True)
        os.chown(SECRETS / folder, owner, owner)
        (SECRETS / folder).chmod(0o500)
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
        out.write(text)
        out.flush()
        os.fchown(out.fileno(), owner, owner)
        os.fsync(out.fileno())
    new.replace(file)


def share_logs(owner: int) -> None:
    """Let the consumer, which is not root, write files that belong to whoever owns the clone: it
    writes as the group. Raises OSError, also for a link instead of a file."""
    os.chown(LOGS, owner, PIPELINE)
    LOGS.chmod(0o2775)
    for name in ("logs.txt", "logs.txt.lock"):
        file = os.open(LOGS / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o664)
        os.fchown(file, owner, PIPELINE)
        os.fchmod(file, 0o664)
        os.close(file)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def literal(key: str) -> str:
    """A pattern of Redis that matches the key, or what differs from it in a blank alone."""
    return re.sub(r"\s", "?", re.sub(r"([*?\[\]\\])", r"\\\1", key))


if __name__ == "__main__":
    sys.exit(main())
