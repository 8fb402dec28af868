"""The table of how many partitions and consumers a load needs, by what was measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity import HEADROOM, HERE, RATES, Measured, Plan, table

RESULTS = HERE / "RESULTS.md"
LIMITS = HERE / "limits.json"


@pytest.fixture
def measured() -> Measured:
    return Measured.read(RESULTS, LIMITS)


def test_it_reads_what_the_benchmarks_have_written(measured: Measured) -> None:
    assert f"| consumer.py | {measured.consumer:,.0f} |" in RESULTS.read_text("utf-8")
    assert measured.crowd > measured.consumer > measured.outbox
    assert measured.in_file > measured.in_kafka > measured.packed


@pytest.mark.parametrize("rate", [*RATES, 7_000_000])
def test_every_part_is_at_most_half_busy(measured: Measured, rate: int) -> None:
    plan = Plan.of(rate, measured)
    assert plan.consumers * measured.consumer >= HEADROOM * rate
    assert plan.files * measured.crowd >= HEADROOM * rate
    assert plan.producers * measured.outbox >= HEADROOM * rate
    assert plan.files <= plan.consumers <= plan.partitions


def test_a_part_that_is_half_as_fast_is_needed_twice(measured: Measured) -> None:
    slow = replace(measured, consumer=measured.consumer / 2)
    assert Plan.of(8_000_000, slow).consumers in {
        2 * Plan.of(8_000_000, measured).consumers - 1,
        2 * Plan.of(8_000_000, measured).consumers,
    }


def test_the_table_has_a_column_for_each_rate(measured: Measured) -> None:
    a_million_each = replace(measured, consumer=1e6)
    plans = [Plan.of(rate, a_million_each) for rate in (1_000, 750_000)]
    head, rule, *rows = table(plans).splitlines()
    assert head == "| events/s | 1,000 | 750,000 |"
    assert rule == "| --- | ---: | ---: |"
    assert all(row.count("|") == head.count("|") for row in rows)
    assert "| consumers | 1 | 2 |" in rows


def test_results_of_another_form_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "RESULTS.md"
    other.write_text(RESULTS.read_text("utf-8").replace("| consumer.py |", "| theirs |"))
    with pytest.raises(ValueError, match=r"no row 'consumer\.py'"):
        Measured.read(other, LIMITS)
