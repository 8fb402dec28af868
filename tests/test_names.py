"""The names that other people's scripts rely on: none of them may change or disappear."""

import os
import re
from pathlib import Path

import pytest

from config import Settings
from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.consumer.metrics import Metrics
from logpipeline.producer.metrics import ProducerMetrics
from tests.support.forked import completed_text
from tests.support.process import ROOT

SETTINGS = """
    ALERTS_FILE ALERTS_METRICS_PORT ALERT_URLS ARCHIVE_URL AWS_ENDPOINT_URL AWS_REGION
    COLLECTOR_HOST COLLECTOR_ORIGINS COLLECTOR_PORT COLLECTOR_SSL_CAFILE COLLECTOR_SSL_CERTFILE
    COLLECTOR_SSL_KEYFILE COLLECTOR_SYSLOG_PORT COLLECTOR_TOKEN COLLECTOR_WORKERS DASHBOARD_OPEN
    DASHBOARD_HOST DASHBOARD_PASSWORD DASHBOARD_PORT DASHBOARD_PUBLISHED EVENT_MAX_BYTES
    FOLLOW_UNFINISHED_SECONDS KAFKA_BOOTSTRAP_SERVERS MULTILINE
    KAFKA_CLIENT_RACK KAFKA_CONSUMERS KAFKA_CONSUMER_INDEX
    KAFKA_DEAD_LETTER_TOPIC KAFKA_GROUP_ID KAFKA_OAUTH_CLIENT_ID
    KAFKA_OAUTH_CLIENT_SECRET KAFKA_OAUTH_SCOPE KAFKA_OAUTH_TOKEN_URL KAFKA_PARTITIONS
    KAFKA_REPLICATION_FACTOR KAFKA_SASL_MECHANISM KAFKA_SASL_PASSWORD KAFKA_SASL_USERNAME
    KAFKA_SECURITY_PROTOCOL KAFKA_SSL_CAFILE KAFKA_SSL_CERTFILE KAFKA_SSL_KEYFILE
    KAFKA_SSL_KEY_PASSWORD KAFKA_TOPIC LOG_COMPRESS LOG_FILE LOG_KEEP_BYTES LOG_KEEP_DAYS
    LOG_KEEP_FILES LOG_MAX_BYTES LOG_MIN_FREE_BYTES LOG_ROTATE_EVERY METRICS_HOST METRICS_PORT
    PRODUCER_METRICS_PORT REDACT REDACT_FILE REDACT_KEY REDIS_KEY REDIS_MAX_LOGS REDIS_PASSWORD
    REDIS_SSL_CAFILE REDIS_SSL_CERTFILE REDIS_SSL_KEYFILE REDIS_URL REDIS_USERNAME STATE_DIR
    TIME_ZONE
"""
CONSUMER = """
    archive_bytes archive_up batch_events dead_letter_up dead_letters delay_seconds events failures
    gap_records kafka_up lag_records last_checkpoint_timestamp_seconds lost_records outages redis_up
    rotated_bytes rotated_files rotations shipped_bytes shipped_files store_up unexpected_errors
    unshipped_files
"""
PRODUCER = "delivered_bytes events kafka_up outages waiting_events"
COLLECTOR = """
    connections dropped_events events kafka_seconds kafka_up outages refused_events requests
    waiting_events
"""
ALERTS = "failures leading muted notices open outages redis_up waiting_notices"
# Program → its own options, and settings that it must offer as flags.
PROGRAMS = {
    "producer.py": "input follow service rate count seed malformed kafka-topic state-dir multiline",
    "consumer.py": "kafka-topic kafka-group-id log-file log-max-bytes redis-url metrics-port",
    "collector.py": "collector-host collector-port collector-syslog-port collector-token",
    "dashboard.py": "dashboard-host dashboard-port dashboard-password redis-url time-zone",
    "alerts.py": "test alerts-file alert-urls redis-url redis-max-logs",
    "verify.py": "archive kafka-topic log-file redis-url redis-max-logs event-max-bytes",
    "replay.py": "since to rate dry-run file again kafka-topic log-file event-max-bytes",
    "find.py": "level service where since to regex context context-all newest count json follow "
    "index log-file archive-url time-zone",
    "-m logpipeline.recent": "level count redis-url redis-key time-zone",
    "-m logpipeline.report": "time-zone day output sql csv export since to log-file archive-url",
    "-m logpipeline.localstack": "rate kafka-topic redis-url log-file dashboard-port",
}
# What a program has nothing to do with is not among its flags.
FOREIGN = {
    "collector.py": "redis-url log-file dashboard-port metrics-port",
    "producer.py": "redis-url log-file dashboard-port alert-urls metrics-port",
    "consumer.py": "dashboard-port alert-urls state-dir",
    "dashboard.py": "kafka-topic log-max-bytes metrics-host alert-urls",
    "alerts.py": "kafka-topic log-file dashboard-port",
    "verify.py": "dashboard-port state-dir log-max-bytes archive-url",
    "replay.py": "redis-url dashboard-port archive-url",
    "find.py": "kafka-topic redis-url metrics-host log-max-bytes",
}
TARGETS = """
    help install up recent find tail sql export verify replay report check test siege chaos powercut
    fuzz lint fmt bench lock audit sbom clean
"""


def test_every_setting_keeps_its_name() -> None:
    assert {name.upper() for name in Settings.model_fields} >= {*SETTINGS.split()}


def test_every_metric_keeps_its_name() -> None:
    consumer = {family.name for family in Metrics().registry.collect()}
    producer = {family.name for family in ProducerMetrics().registry.collect()}
    assert consumer >= {f"log_consumer_{name}" for name in CONSUMER.split()}
    assert producer == {f"log_producer_{name}" for name in PRODUCER.split()}
    collector = {family.name for family in CollectorMetrics().registry.collect()}
    assert collector == {f"log_collector_{name}" for name in COLLECTOR.split()}
    text = (ROOT / "logpipeline" / "alerts" / "metrics.py").read_text()
    assert {*re.findall(r'"log_alerts_(\w+)"', text)} >= {*ALERTS.split()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_keeps_its_flags_and_offers_no_others(program: str, tmp_path: Path) -> None:
    done = completed_text(program.removeprefix("-m "), ["--help"], tmp_path, {**os.environ})
    assert done.returncode == 0, done.stderr
    text = done.stdout
    flags = {*re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.MULTILINE)}
    assert flags >= {*PROGRAMS[program].split()}
    assert not flags & {*FOREIGN.get(program, "").split()}


def test_every_target_of_make_keeps_its_name() -> None:
    text = (ROOT / "Makefile").read_text()
    assert {*re.findall(r"^([a-z]+):", text, re.MULTILINE)} >= {*TARGETS.split()}
