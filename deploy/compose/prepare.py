"""Prepare the containers: create passwords, and a logs/ that the consumer can write to.

It runs once at each `docker compose up`, as root and without a network. A password is created once
and then kept, unless REDIS_ADMIN_PASSWORD or KAFKA_ADMIN_PASSWORD gives another one.
"""

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path

CLONE = Path("/clone")  # any of its files: logs/ gets the same owner
LOGS = Path("/logs")
SECRETS = Path("/secrets")
REDIS, KAFKA, PIPELINE, DOOR = 999, 1000, 10001, 10002  # users of the containers
LENGTH = 32  # random bytes of a new password
VALID = r"[\w.~+/=-]{16,200}"  # needs no quotes in JAAS and ACLs
TOKENS = r"[\w.~+/=:,-]{16,4000}"  # several, with their services

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
# The rights of the programs: reading and writing their own keys, by transactions and scripts.
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
        token = password("COLLECTOR_TOKEN", TOKENS)
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
    put("pipeline/collector", token, PIPELINE)
    put("door/kafka", kafka, DOOR)
    put("door/redis", admin, DOOR)
    return 0


def password(name: str, valid: str = VALID) -> str:
    """The given, the kept or a new password, which is then kept. Raises OSError, ValueError."""
    kept = SECRETS / "kept" / name.lower()
    given = os.environ.get(name, "")
    if given and not re.fullmatch(valid, given, re.ASCII):
        raise ValueError(f"{name}: must be 16 to 200 letters, digits and _ . ~ + / = -")
    known = kept.read_text() if kept.exists() else ""
    chosen = given or known or secrets.token_urlsafe(LENGTH)
    put(f"kept/{kept.name}", chosen, 0)
    return chosen


def put(name: str, text: str, owner: int, mode: int = 0o400) -> None:
    """Write a file below SECRETS that only its owner can read. Raises OSError."""
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
    """Let the consumer, which is not root, write files that belong to the clone's owner: it writes
    as their group. Raises OSError, also for a symbolic link."""
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
    """A pattern of Redis that matches the key; also keys that differ only in white space."""
    return re.sub(r"\s", "?", re.sub(r"([*?\[\]\\])", r"\\\1", key))


if __name__ == "__main__":
    sys.exit(main())
