"""deploy/prometheus: its rules are about metrics that there are. promtool tests the rest in CI."""

import re

import yaml

from config import Settings
from logpipeline.alerts.metrics import AlertsMetrics, failure_counter
from logpipeline.alerts.rules import load
from logpipeline.alerts.targets import Targets
from logpipeline.alerts.watch import Watch
from logpipeline.consumer.metrics import Metrics
from logpipeline.producer.metrics import ProducerMetrics
from tests.support.process import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}


def exported() -> set[str]:
    """The names of all series of the three processes."""
    watch = Watch(Settings(_env_file=None), load(ROOT / "alerts.toml"))
    metrics = (Metrics(), ProducerMetrics(), AlertsMetrics(watch, Targets([]), failure_counter()))
    families = [family for each in metrics for family in each.registry.collect()]
    watch.close()
    return {f.name + suffix for f in families for suffix in SUFFIXES.get(f.type, [""])}


def test_the_rules_use_metrics_that_are_exported() -> None:
    for name in ("rules.yml", "rules_test.yml"):
        used = set(re.findall(r"\blog_\w+", (FOLDER / name).read_text("utf-8")))
        assert used
        assert used <= exported()


def test_each_rule_is_tested_to_fire_and_not_to_fire() -> None:
    rules = yaml.safe_load((FOLDER / "rules.yml").read_text("utf-8"))["groups"][0]["rules"]
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules}
    assert names == {case["alertname"] for case in cases if "exp_alerts" in case}
    assert names == {case["alertname"] for case in cases if "exp_alerts" not in case}


def test_what_is_scraped_is_what_compose_starts() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    for job in jobs:
        (target,) = job["dns_sd_configs"]
        check = compose[job["job_name"]]["healthcheck"]["test"][-1]
        assert target["names"] == [job["job_name"]]
        assert f":{target['port']}/readyz" in check
