"""The manifests of deploy/kubernetes: what Kubernetes' own schemas allow, closed, and in step with
the image and the settings. No cluster is needed."""

import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import config
from config import Settings
from logpipeline import command_line
from tests.support.process import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.37")
SERVERS = {"kafka", "redis"}
PROGRAMS = {"consumer", "producer", "alerts", "dashboard"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
Manifest = dict[str, Any]


def resources(folder: Path) -> Iterator[Path]:
    """The files that a kustomization lists, its folders' too."""
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]:
        path = folder / name
        if path.is_dir():
            yield from resources(path)
        else:
            yield path


FILES = list(resources(FOLDER))
MANIFESTS: list[Manifest] = [
    manifest for path in FILES for manifest in yaml.safe_load_all(path.read_text("utf-8"))
]
WORKLOADS = {
    m["metadata"]["name"]: m for m in MANIFESTS if m["kind"] in {"StatefulSet", "Deployment"}
}
EACH_WORKLOAD = pytest.mark.parametrize("name", sorted(WORKLOADS))
EACH_PROGRAM = pytest.mark.parametrize("name", sorted(PROGRAMS))


def pod(name: str) -> Manifest:
    found: Manifest = WORKLOADS[name]["spec"]["template"]["spec"]
    return found


def container(name: str) -> Manifest:
    [only] = pod(name)["containers"]
    found: Manifest = only
    return found


def ports(name: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(name)["ports"]}


def of_kind(kind: str) -> list[Manifest]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


def environment(name: str) -> dict[str, Any]:
    """Variable → value of a program, those of its ConfigMaps among them."""
    maps = {m["metadata"]["name"]: m["data"] for m in of_kind("ConfigMap")}
    found: dict[str, Any] = {}
    for source in container(name)["envFrom"]:
        found |= maps[source["configMapRef"]["name"]]
    return found | {one["name"]: one.get("value") for one in container(name).get("env", [])}


def pods_of(selector: Manifest) -> set[str]:
    """The workloads whose pods a selector chooses."""

    def chosen(labels: dict[str, str]) -> bool:
        wanted = selector.get("matchLabels", {}).items()
        among = selector.get("matchExpressions", [])
        assert all(one["operator"] == "In" for one in among)
        return wanted <= labels.items() and all(
            labels.get(one["key"]) in one["values"] for one in among
        )

    return {
        name
        for name, workload in WORKLOADS.items()
        if chosen(workload["spec"]["template"]["metadata"]["labels"])
    }


def test_every_file_is_applied() -> None:
    there = {path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert set(FILES) == there
    assert set(WORKLOADS) == PROGRAMS | SERVERS


@pytest.fixture(scope="module")
def kubernetes_validate() -> Any:
    """Imported here alone: it takes a second, as each version's schemas do, of each worker."""
    return importlib.import_module("kubernetes_validate")


@pytest.mark.xdist_group("kubernetes")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_schemas_of_kubernetes_allow_it(
    path: Path, version: str, kubernetes_validate: Any
) -> None:
    for manifest in yaml.safe_load_all(path.read_text("utf-8")):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.xdist_group("kubernetes")
def test_the_schemas_refuse_what_kubernetes_does_not_know(kubernetes_validate: Any) -> None:
    wrong = yaml.safe_load((FOLDER / "apps" / "producer.yaml").read_text("utf-8"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@EACH_WORKLOAD
def test_a_pod_has_no_privilege(name: str) -> None:
    whole, only = pod(name), container(name)
    assert whole["securityContext"]["runAsNonRoot"] is True
    assert whole["securityContext"]["runAsUser"] > 0
    assert whole["securityContext"]["runAsGroup"] > 0
    assert whole["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert whole["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & whole.keys()
    assert not any("hostPath" in volume for volume in whole["volumes"])


@EACH_WORKLOAD
def test_a_pod_gets_no_variables_of_services(name: str) -> None:
    """A Service "dashboard" would set DASHBOARD_PORT=tcp://…, which is one of our settings."""
    assert pod(name)["enableServiceLinks"] is False


@EACH_WORKLOAD
def test_a_container_has_limits_and_probes_of_its_ports(name: str) -> None:
    only = container(name)
    for amounts in only["resources"]["requests"], only["resources"]["limits"]:
        assert amounts.keys() == {"cpu", "memory"}
    for kind in "readinessProbe", "livenessProbe":
        probe = only[kind]
        for way in "httpGet", "tcpSocket":
            assert way not in probe or probe[way]["port"] in ports(name)


@EACH_WORKLOAD
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(name: str) -> None:
    claims = WORKLOADS[name]["spec"].get("volumeClaimTemplates", [])
    there = [volume["name"] for volume in pod(name)["volumes"]]
    there += [claim["metadata"]["name"] for claim in claims]
    mounted = [mount["name"] for mount in container(name)["volumeMounts"]]
    assert sorted(there) == sorted(mounted)


@EACH_PROGRAM
def test_a_program_has_time_to_stop(name: str) -> None:
    assert pod(name)["terminationGracePeriodSeconds"] >= 15  # it needs up to 10


@EACH_PROGRAM
def test_a_program_runs_as_the_images_user(name: str) -> None:
    users = {
        line.split()[1]
        for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines()
        if line.startswith("USER")
    }
    security = pod(name)["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" in users
    assert (ROOT / container(name)["args"][0]).is_file()


@EACH_PROGRAM
def test_a_probe_asks_where_the_program_answers(name: str) -> None:
    settings = Settings(
        _env_file=None, producer_metrics_port=environment("producer")["PRODUCER_METRICS_PORT"]
    )
    expected = {
        "consumer": settings.metrics_port,
        "producer": settings.producer_metrics_port,
        "alerts": settings.alerts_metrics_port,
        "dashboard": settings.dashboard_port,
    }
    assert list(ports(name).values()) == [expected[name]]
    assert container(name)["livenessProbe"]["httpGet"]["path"] == "/healthz"
    wanted = "/healthz" if name == "dashboard" else "/readyz"
    assert container(name)["readinessProbe"]["httpGet"]["path"] == wanted


@EACH_PROGRAM
def test_a_secret_is_in_the_file_that_a_setting_names(name: str) -> None:
    only = container(name)
    [volume] = [volume for volume in pod(name)["volumes"] if "secret" in volume]
    [mount] = [one for one in only["volumeMounts"] if one["name"] == volume["name"]]
    files = {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    named = {value for key, value in environment(name).items() if key.endswith("_FILE")}
    assert named - {environment(name).get("LOG_FILE")} == files


@EACH_PROGRAM
def test_a_program_takes_every_variable_that_it_is_given(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in config.Settings.names():
        monkeypatch.delenv(known.upper(), raising=False)
    given = {key: value or "" for key, value in environment(name).items()}
    if name == "consumer":
        given["KAFKA_CONSUMER_INDEX"] = "2"  # of the third pod
    assert given.keys() <= {known.upper() for known in config.Settings.names()}
    for key, value in given.items():
        if value.startswith("/run/secrets/"):
            value = str(tmp_path / Path(value).name)
            Path(value).write_text("json://localhost" if key == "ALERT_URLS_FILE" else "a password")
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    settings, _ = command_line.load(config.Settings, [], "")
    assert settings.metrics_host == "0.0.0.0"  # noqa: S104 - network.yaml says who reaches it
    assert bool(settings.kafka_sasl_password) is ("kafka" in maps_of(name))
    assert bool(settings.redis_password) is ("redis" in maps_of(name))


def test_the_readme_makes_every_secret() -> None:
    told = re.findall(r"--from-literal=([\w-]+)=", (FOLDER.parent / "README.md").read_text("utf-8"))
    wanted = {
        item["key"]
        for name in WORKLOADS
        for volume in pod(name)["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    }
    assert sorted(told) == sorted(wanted)


def test_the_images_are_those_of_this_version_and_of_compose() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    kustomization = yaml.safe_load((FOLDER / "apps" / "kustomization.yaml").read_text("utf-8"))
    tags = {image["name"]: image["newTag"] for image in kustomization["images"]}
    assert {container(name)["image"] for name in PROGRAMS} == tags.keys()
    assert set(tags.values()) == {version}
    for name in SERVERS:
        assert container(name)["image"] == COMPOSE["services"][name]["image"]


def test_services_and_budgets_choose_their_pods_and_ports() -> None:
    for service in of_kind("Service"):
        name = service["metadata"]["name"]
        assert pods_of({"matchLabels": service["spec"]["selector"]}) == {name}
        for port in service["spec"]["ports"]:
            assert ports(name)[port["targetPort"]] == port["port"]
    for workload in WORKLOADS.values():
        assert pods_of(workload["spec"]["selector"]) == {workload["metadata"]["name"]}
        assert workload["spec"].get("serviceName", "consumer") in {
            service["metadata"]["name"] for service in of_kind("Service")
        }
    for budget in of_kind("PodDisruptionBudget"):
        assert pods_of(budget["spec"]["selector"]) == {budget["metadata"]["name"]}
    guarded = {budget["metadata"]["name"] for budget in of_kind("PodDisruptionBudget")}
    assert guarded == {name for name, w in WORKLOADS.items() if w["spec"]["replicas"] > 1}


def test_the_network_is_closed_but_for_what_each_pod_needs() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of_kind("NetworkPolicy")}
    assert pods_of(policies["default"]["podSelector"]) == set(WORKLOADS)
    assert set(policies["default"]["policyTypes"]) == {"Ingress", "Egress"}
    for spec in policies.values():
        for rule in spec.get("ingress", []):
            assert rule["from"]
            assert rule["ports"]
        for rule in spec.get("egress", []):
            assert rule["ports"]
    for server in SERVERS:
        clients = {name for name in PROGRAMS if server in maps_of(name)}
        assert pods_of(policies[f"to-{server}"]["podSelector"]) == clients
        first = policies[server]["ingress"][0]
        assert pods_of(first["from"][0]["podSelector"]) == clients
        assert first["ports"] == [{"port": server}]
        assert policies[f"to-{server}"]["egress"] == [{"ports": [{"port": ports(server)[server]}]}]


def maps_of(name: str) -> set[str]:
    return {source["configMapRef"]["name"] for source in container(name)["envFrom"]}


def test_the_programs_know_every_broker_and_the_brokers_each_other() -> None:
    brokers = range(WORKLOADS["kafka"]["spec"]["replicas"])
    servers = ",".join(f"kafka-{n}.kafka:{ports('kafka')['kafka']}" for n in brokers)
    assert environment("consumer")["KAFKA_BOOTSTRAP_SERVERS"] == servers
    text = (FOLDER / "servers" / "server.properties").read_text("utf-8")
    voters = ",".join(f"{n}@kafka-{n}.kafka:{ports('kafka')['controller']}" for n in brokers)
    assert f"controller.quorum.voters={voters}\n" in text
    assert environment("consumer")["KAFKA_REPLICATION_FACTOR"] == str(len(brokers))
    assert (
        int(environment("consumer")["KAFKA_PARTITIONS"])
        >= WORKLOADS["consumer"]["spec"]["replicas"]
    )


def test_each_consumer_has_partitions_of_its_own_by_its_pods_index() -> None:
    """StatefulSets count their pods from 0, and label them."""
    workload = WORKLOADS["consumer"]
    assert workload["kind"] == "StatefulSet"
    assert "ordinals" not in workload["spec"]
    assert environment("consumer")["KAFKA_CONSUMERS"] == str(workload["spec"]["replicas"])
    [index] = [one for one in container("consumer")["env"] if one["name"] == "KAFKA_CONSUMER_INDEX"]
    assert index["valueFrom"] == {
        "fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}
    }


def test_the_brokers_script_is_one_that_a_shell_understands() -> None:
    script = FOLDER / "servers" / "start-kafka.sh"
    assert subprocess.run(["sh", "-n", script], capture_output=True).stderr == b""
