"""A short run of chaos, and that its plan follows from the seed."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS, plan
from tests.chaos.local import Consumer, OwnRedis
from tests.support.disk import Disk
from tests.support.forked import Forked
from tests.support.process import ROOT

PARTS = {"kafka": OwnRedis, "redis": OwnRedis, "disk": Disk} | {
    f"consumer-{number}": Consumer for number in (1, 2, 3)
}


@pytest.mark.server
@pytest.mark.parametrize("hosts", [(), ("--hosts", "2")], ids=["one host", "two hosts"])
def test_nothing_is_lost_doubled_torn_or_out_of_order_whatever_dies(
    tmp_path: Path, hosts: tuple[str, ...]
) -> None:
    options = ["--seconds", "12", "--seed", "2", *hosts]
    output = tmp_path / "chaos.output"
    run = Forked("tests.chaos", options, output, dict(os.environ), folder=ROOT)
    try:
        assert run.wait(300) == 0, str(run)
    finally:
        run.kill()
    assert "kill consumer" in run.output()
    assert run.output().endswith("nothing was lost, doubled, torn or out of order\n")


def test_a_seed_repeats_its_plan_and_another_is_another() -> None:
    assert plan(7, 60, PARTS) == plan(7, 60, PARTS)
    assert plan(7, 60, PARTS) != plan(8, 60, PARTS)


def test_a_long_plan_has_every_fault_and_hits_nothing_that_is_broken() -> None:
    blows = plan(1, 1_000, PARTS)
    assert {blow.fault for blow in blows} == set(FAULTS)
    for target in PARTS:
        mine = [blow for blow in blows if blow.target == target]
        for before, after in pairwise(mine):
            assert after.at >= before.at + before.seconds + before.fault.rest
