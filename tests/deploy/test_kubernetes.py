"""The manifests are as Kubernetes has them, what they say of each other agrees, and the service runs as they start it.

No cluster is asked. Kubernetes' own schemas are in an environment of their own: `make kubernetes`. Overlays and
components are put together by kubectl. What is missing skips the tests that need it.
"""

import copy
import os
import re
import signal
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.engine.folder import read_model
from service.errors import ModelUnavailable
from service.routes.keys import Keys
from service.settings import PACKAGED_REPOSITORY, Settings
from tests.deploy.manifests import (
    ADAPTER,
    FILES,
    KUBE,
    KUBERNETES,
    OVERLAYS,
    Manifest,
    at,
    deployed,
    is_kustomization,
    patches,
    read,
    rendered,
    the,
    written,
)
from tests.deploy.sandbox import contained
from tests.deploy.validating import VERSIONS, custom_faults, kubernetes_faults
from tests.serving import DEADLINE_S

NAME = {"app.kubernetes.io/name": "actserve"}


def _of(*place: str) -> Manifest:
    (manifest,) = read(KUBERNETES.joinpath(*place))
    return manifest


DEPLOYMENT = _of("base", "deployment.yaml")
SCALER = _of("components", "autoscaling", "horizontalpodautoscaler.yaml")
MONITOR = _of("components", "monitoring", "servicemonitor.yaml")


def test_every_file_is_looked_at() -> None:
    """As an object, as a part of one, as a kustomization that is rendered, or as the adapter's rule."""
    written_kinds = {manifest["kind"] for manifests in written().values() for manifest in manifests}
    known = {*written(), *patches(), ADAPTER, *(path for path in FILES if is_kustomization(path))}

    assert {path for path in FILES if path.suffix == ".yaml"} == set(FILES) == known
    assert written_kinds <= {
        "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler",
        "ServiceMonitor", "ServingRuntime", "InferenceService",
    }  # fmt: skip


def test_every_kustomization_is_rendered() -> None:
    """All that the overlays and the example lead to are all that there are."""
    reached: set[Path] = set()
    waiting = [KUBERNETES / folder for folder in OVERLAYS]
    while waiting:
        folder = waiting.pop()
        (content,) = read(folder / "kustomization.yaml")
        reached.add(folder / "kustomization.yaml")
        named = [(folder / name).resolve() for key in ("resources", "components") for name in content.get(key, [])]
        waiting += [path for path in named if path.is_dir()]

    assert reached == {path for path in FILES if is_kustomization(path) and path.is_relative_to(KUBERNETES)}


def test_what_is_written_is_as_kubernetes_has_it() -> None:
    objects = [manifest for manifests in written().values() for manifest in manifests if manifest["apiVersion"] in KUBE]

    assert len(objects) >= 7
    assert kubernetes_faults(objects) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_rendered_is_as_kubernetes_has_it(overlay: str) -> None:
    objects = rendered(KUBERNETES / overlay)
    own = [manifest for manifest in objects if manifest["apiVersion"] in KUBE]

    assert len(own) >= 4
    assert kubernetes_faults(own) == []
    assert [fault for manifest in objects if manifest not in own for fault in custom_faults(manifest)] == []


WRONG = {
    "spec": "minReadySecond",
    "spec.template.spec": "topologySpreadConstraint",
    "spec.template.spec.securityContext": "runAsNonroot",
    "spec.template.spec.containers.0": "readinesProbe",
    "spec.template.spec.containers.0.lifecycle.preStop.sleep": "second",
    "spec.template.spec.containers.0.resources": "limit",
    "spec.template.spec.volumes.0.emptyDir": "sizelimit",
}
"""Fields that there are not, by where they are put."""


def test_a_misspelt_field_is_found() -> None:
    changed = [copy.deepcopy(DEPLOYMENT) for _ in WRONG]
    for manifest, (place, name) in zip(changed, WRONG.items(), strict=True):
        at(manifest, place)[name] = 1
    faults = kubernetes_faults(changed, VERSIONS[-1:])

    assert [
        name for name, fault in zip(WRONG.values(), faults, strict=True) if f"'{name}' was unexpected" not in fault
    ] == []


def test_a_value_of_another_type_and_an_unknown_kind_are_found() -> None:
    number = copy.deepcopy(DEPLOYMENT)
    number["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] = 8000
    type_fault, kind_fault = kubernetes_faults([number, DEPLOYMENT | {"kind": "Deploymint"}], VERSIONS[-1:])

    assert "8000 is not of type" in type_fault
    assert "Deploymint" in kind_fault


def test_the_service_monitor_is_as_its_crd_has_it() -> None:
    assert custom_faults(MONITOR) == []


def test_a_misspelt_field_of_the_service_monitor_is_found() -> None:
    changed = copy.deepcopy(MONITOR)
    changed["spec"]["endpoints"][0]["scrapeTimeOut"] = "10s"

    assert any("scrapeTimeOut" in fault for fault in custom_faults(changed))


def test_selectors_find_the_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    objects = {path.name: manifest for path, (manifest,) in written().items() if path.is_relative_to(KUBERNETES)}
    spreads = DEPLOYMENT["spec"]["template"]["spec"]["topologySpreadConstraints"]
    policies = [manifest for (manifest,) in written().values() if manifest["kind"] == "NetworkPolicy"]

    assert labels == NAME
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == NAME
    assert objects["service.yaml"]["spec"]["selector"] == NAME
    assert objects["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"] == NAME
    assert [spread["labelSelector"]["matchLabels"] for spread in spreads] == [NAME, NAME]
    assert len(policies) == 3
    assert all(policy["spec"]["podSelector"]["matchLabels"] == NAME for policy in policies)


def test_prometheus_finds_the_service_and_its_metrics(client: TestClient) -> None:
    (endpoint,) = MONITOR["spec"]["endpoints"]
    service = _of("base", "service.yaml")

    assert MONITOR["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert "actserve_queue_rows" in client.get(endpoint["path"]).text


def test_ports_agree() -> None:
    (container,) = DEPLOYMENT["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    (served,) = _of("base", "service.yaml")["spec"]["ports"]
    opened = [
        opening["port"]
        for policy in (_of("base", "networkpolicy.yaml"), _of("components", "monitoring", "networkpolicy.yaml"))
        for rule in policy["spec"]["ingress"]
        for opening in rule["ports"]
    ]

    assert served["targetPort"] == port["name"]
    assert opened == [port["name"], port["name"]]


def test_nothing_is_let_out_but_to_the_collector_and_its_dns() -> None:
    tracing = _of("components", "tracing", "networkpolicy.yaml")
    ports = [(opening["port"], opening["protocol"]) for rule in tracing["spec"]["egress"] for opening in rule["ports"]]

    assert _of("base", "networkpolicy.yaml")["spec"]["egress"] == []
    assert "Egress" in _of("base", "networkpolicy.yaml")["spec"]["policyTypes"]
    assert "egress" not in _of("components", "monitoring", "networkpolicy.yaml")["spec"]
    assert ports == [(53, "UDP"), (53, "TCP"), (4318, "TCP")]
    assert all(rule["to"] for rule in tracing["spec"]["egress"])


def test_spans_go_where_the_policy_lets_them() -> None:
    variables = deployed("example").variables
    match = re.fullmatch(
        r"http://[\w-]+\.([\w-]+)\.svc\.cluster\.local:(\d+)", variables["OTEL_EXPORTER_OTLP_ENDPOINT"]
    )
    assert match
    rule = _of("components", "tracing", "networkpolicy.yaml")["spec"]["egress"][-1]

    assert variables["ACTSERVE_TRACE_EXPORTER"] == "otlp"
    assert rule["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": match[1]}
    assert rule["ports"][0]["port"] == int(match[2])


def test_the_scaler_goes_by_a_metric_that_there_is_under_the_name_that_the_adapter_gives(client: TestClient) -> None:
    pods, processors = SCALER["spec"]["metrics"]
    (rule,) = read(ADAPTER)[0]["rules"]["custom"]
    series = rule["seriesQuery"].partition("{")[0]

    assert pods["pods"]["metric"]["name"] == rule["name"]["as"] == series == "actserve_queue_rows"
    assert re.fullmatch(rule["name"]["matches"], series)
    assert re.search(rf'^{series}{{model="cnn-relu",version="1"}} ', client.get("/metrics").text, re.MULTILINE)
    assert processors["containerResource"]["container"] == "actserve"


def test_the_adapters_rule_has_the_fields_that_the_adapter_knows() -> None:
    """Source: kubernetes-sigs/prometheus-adapter, pkg/config/config.go, read 2026-11-28."""
    (content,) = read(ADAPTER)
    (rule,) = content["rules"]["custom"]

    assert set(content) == {"rules"}
    assert set(content["rules"]) == {"default", "custom"}
    assert set(rule) <= {"seriesQuery", "seriesFilters", "resources", "name", "metricsQuery"}
    assert rule["resources"] == {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}}
    for part in ("<<.Series>>", "<<.LabelMatchers>>", "by (<<.GroupBy>>)"):
        assert part in rule["metricsQuery"]


def test_the_scaler_scales_the_deployment_which_says_no_number_of_its_own() -> None:
    target = SCALER["spec"]["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"], target["name"]) == ("apps/v1", "Deployment", "actserve")

    assert DEPLOYMENT["spec"]["replicas"] == SCALER["spec"]["minReplicas"]
    assert "replicas" not in the("Deployment", rendered(KUBERNETES / "example"))["spec"]


def test_a_disruption_leaves_a_pod() -> None:
    budget = _of("base", "poddisruptionbudget.yaml")["spec"]

    assert "minAvailable" not in budget
    assert 1 <= budget["maxUnavailable"] < SCALER["spec"]["minReplicas"] <= SCALER["spec"]["maxReplicas"]


def test_a_rolling_update_waits_a_moment_and_takes_no_pod_away_first() -> None:
    rolling = DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]

    assert (rolling["maxUnavailable"], rolling["maxSurge"]) == (0, 1)
    assert DEPLOYMENT["spec"]["minReadySeconds"] >= 1


def test_a_gpu_is_freed_before_it_is_taken() -> None:
    deployment = the("Deployment", rendered(KUBERNETES / "overlays/gpu"))["spec"]
    rolling = deployment["strategy"]["rollingUpdate"]
    pod = deployed("overlays/gpu")

    assert (rolling["maxUnavailable"], rolling["maxSurge"]) == (1, 0)
    assert deployment["replicas"] > rolling["maxUnavailable"]
    assert pod.settings.device == "cuda"
    assert pod.container["resources"]["limits"]["nvidia.com/gpu"] == 1


@pytest.mark.parametrize(("overlay", "tag"), [("overlays/cpu", "cpu"), ("overlays/gpu", "gpu"), ("example", "cpu")])
def test_an_overlay_says_which_image(overlay: str, tag: str) -> None:
    assert deployed("base").container["image"] == "actserve"
    assert deployed(overlay).container["image"] == f"registry.example/actserve:{tag}"


def test_keys_and_models_are_read_from_where_they_are_mounted() -> None:
    pod = deployed("example")
    mounts = {mount["mountPath"]: mount for mount in pod.container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    keys, models = pod.settings.api_keys_file, pod.settings.repository
    assert keys is not None
    secret = volumes[mounts[str(keys.parent)]["name"]]["secret"]

    assert {item["path"] for item in secret["items"]} == {keys.name}
    assert secret["defaultMode"] == 0o440
    assert "persistentVolumeClaim" in volumes[mounts[str(models)]["name"]]


def test_prometheus_has_a_key_of_the_same_secret() -> None:
    objects = rendered(KUBERNETES / "example")
    (endpoint,) = the("ServiceMonitor", objects)["spec"]["endpoints"]
    volumes = the("Deployment", objects)["spec"]["template"]["spec"]["volumes"]

    assert endpoint["authorization"]["credentials"]["name"] in [
        v["secret"]["secretName"] for v in volumes if "secret" in v
    ]


def _project(folder: Path, files: dict[str, bytes]) -> None:
    """Lay files out as the kubelet does those of a ConfigMap or a Secret: the first part of a path is a link.

    Source: kubernetes/kubernetes, pkg/volume/util/atomic_writer.go, createUserVisibleFiles, read 2026-11-28.
    """
    for name, content in files.items():
        path = folder / "..2026_11_28_12_00_00.1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "..data").symlink_to("..2026_11_28_12_00_00.1")
    for first in {name.partition("/")[0] for name in files}:
        (folder / first).symlink_to(f"..data/{first}")


def test_keys_of_a_mounted_secret_are_read(tmp_path: Path) -> None:
    _project(tmp_path, {"api-keys": b"# who has which\nkey-of-the-first\nkey-of-the-second\n"})

    assert len(Keys.read(Settings(api_keys_file=tmp_path / "api-keys")).api) == 2


def test_a_config_map_is_no_version_of_a_model(tmp_path: Path) -> None:
    """Which the component `models` warns of: mounted at <name>/1, its model.onnx is a link."""
    (tmp_path / "1").mkdir()
    _project(tmp_path / "1", {"model.onnx": (PACKAGED_REPOSITORY / "cnn-relu/1/model.onnx").read_bytes()})

    with pytest.raises(ModelUnavailable, match="is a symbolic link; copy the file instead"):
        read_model(tmp_path / "1")


def test_the_service_runs_as_the_deployment_starts_it(tmp_path: Path) -> None:
    """As its user, with its variables, on a root that cannot be written to, and ends within the grace it is given."""
    pod = deployed("base")
    paths = [pod.probe(kind)["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    grace_s = pod.spec["terminationGracePeriodSeconds"] - pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]

    with contained(pod, {}, tmp_path / "log") as service:
        answers = service.ask(*[("GET", path) for path in paths], ("GET", "/v1/device"), ("GET", "/metrics"))
        begun = time.monotonic()
        os.kill(service.process.pid, signal.SIGTERM)
        service.process.wait(min(grace_s, DEADLINE_S))

    assert [status for status, _ in answers] == [200] * 5
    assert '"device":"cpu"' in answers[3][1]
    assert "actserve_queue_rows" in answers[4][1]
    assert pod.settings.lame_duck_seconds <= time.monotonic() - begun < grace_s
    assert service.process.returncode in (0, -signal.SIGTERM)
    assert "ERROR" not in (tmp_path / "log").read_text()
