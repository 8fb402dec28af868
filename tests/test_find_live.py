"""While a real consumer rotates, packs and indexes, a search finds what a plain loop finds.

FIND_QUERIES=1000 asks for a thousand.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from kafka import KafkaProducer

from config import Settings
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.index import index_path, load_index
from logpipeline.archive.rotated import rotated
from logpipeline.find.query import Query
from tests.conftest import RunScript
from tests.support import haystack
from tests.support.forked import completed
from tests.support.waiting import until
from tests.test_find import found

QUERIES = int(os.environ.get("FIND_QUERIES", "60"))
EACH = max(4, 2_400 // QUERIES)  # events that are sent before each query
BY_PROGRAM = 10  # each such query is asked of find.py itself
LIMIT = 12_000  # bytes of a file


@pytest.fixture
def producer(settings: Settings) -> Iterator[KafkaProducer]:
    with closing(KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)) as mine:
        yield mine


def archived(settings: Settings) -> int:
    """The number of events that logs.txt and its rotated files account for."""
    checkpoint = Checkpoint.load(Path(f"{settings.log_file}.checkpoint"))
    topic = checkpoint.topics.get(settings.kafka_topic) if checkpoint else None
    return sum(each.next for each in topic.partitions.values()) if topic else 0


def flags(query: Query) -> list[str]:
    """The command line of find.py for it."""
    given = ["--regex"] if query.regex else []
    given += [f"--level={level}" for level in query.levels]
    given += [f"--service={service}" for service in query.services]
    given += [f"--where={condition}" for condition in query.where]
    given += [f"--since={query.since!r}"] if query.since > 0 else []
    given += [f"--to={query.to!r}"] if query.to < float("inf") else []
    return [*given, "--", *query.words]


def by_program(settings: Settings, environment: dict[str, str], query: Query) -> list[bytes]:
    done = completed("find.py", flags(query), settings.log_file.parent, environment)
    assert done.stderr == b""
    lines = done.stdout.split(b"\n")[:-1]
    assert done.returncode == (not lines), query
    return lines


def test_each_query_finds_what_a_plain_loop_finds_while_files_are_rotated_and_packed(
    settings: Settings,
    environment: dict[str, str],
    run_script: RunScript,
    producer: KafkaProducer,
) -> None:
    dice, sent = Random(17), haystack.lines(Random(5), EACH * QUERIES)
    run_script("consumer.py", "--log-max-bytes", str(LIMIT))
    until(settings.log_file.exists, 60)

    def send(begin: int, end: int) -> None:
        for line in sent[begin:end]:
            producer.send(settings.kafka_topic, line, partition=0)

    send(0, 2 * EACH)
    until(lambda: archived(settings) >= EACH, 60)
    empty = 0
    for number in range(QUERIES):
        [query] = islice(haystack.queries(dice, sent[: (number + 2) * EACH]), 1)
        before = archived(settings)
        if number % BY_PROGRAM == 0:
            lines = by_program(settings, environment, query)
        else:
            lines = found(settings.log_file, query)
        least = haystack.plain_search(sent[:before], query)
        more = haystack.plain_search(sent[before : archived(settings)], query)
        assert len(least) <= len(lines), query
        assert lines == [*least, *more][: len(lines)], query
        empty += not lines
        send((number + 2) * EACH, (number + 3) * EACH)
    assert QUERIES * 0.1 < empty < QUERIES * 0.8
    producer.flush(30)
    until(lambda: archived(settings) == len(sent), 60)
    assert found(settings.log_file, Query()) == sent
    until(lambda: all(map(load_index, rotated(settings.log_file))), 30)
    files = rotated(settings.log_file)
    assert len(files) > QUERIES * EACH * 200 / LIMIT / 4
    assert all(file.path() != file.plain and index_path(file).exists() for file in files)
