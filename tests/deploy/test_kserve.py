"""The ServingRuntime and the InferenceServices are as KServe has them, and the service serves what KServe lays out.

No cluster is asked. What a pod must be is in test_pods.py, for KServe's too.
"""

import copy
import json
import re
from pathlib import Path

import pytest

from service.activations.catalogue import ACTIVATIONS
from service.settings import PACKAGED_REPOSITORY
from tests.deploy.manifests import (
    EXAMPLES,
    KSERVE,
    at,
    inference_service,
    kserve_deployment,
    kserve_pod,
    read,
    rendered,
)
from tests.deploy.sandbox import Contained, contained
from tests.deploy.validating import custom_faults, kubernetes_faults
from tests.serving import ROOT

(RUNTIME,) = read(KSERVE / "servingruntime.yaml")
HORSE = 7
REQUEST = (ROOT / "docs" / "examples" / "horse.json").read_text()


def test_the_runtime_is_as_its_crd_has_it() -> None:
    assert custom_faults(RUNTIME) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_inference_service_is_as_its_crd_has_it(name: str) -> None:
    assert custom_faults(inference_service(name)) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_deployment_that_kserve_makes_of_them_is_as_kubernetes_has_it(name: str) -> None:
    assert kubernetes_faults([kserve_deployment(inference_service(name))]) == []


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("spec", "supportedModelFormat"),
        ("spec.supportedModelFormats.0", "autoselect"),
        ("metadata", "annotation"),
    ],
)
def test_a_misspelt_field_of_the_runtime_is_found(place: str, name: str) -> None:
    changed = copy.deepcopy(RUNTIME)
    at(changed, place)[name] = []

    assert any(f'"{name}" was unexpected' in fault.replace("'", '"') for fault in custom_faults(changed))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("spec", "predictors"),
        ("spec.predictor", "minReplica"),
        ("spec.predictor.model", "modelformat"),
        ("spec.predictor.storageUris.0", "mountpath"),
    ],
)
def test_a_misspelt_field_of_an_inference_service_is_found(place: str, name: str) -> None:
    changed = copy.deepcopy(inference_service("one-model"))
    at(changed, place)[name] = "x"

    assert any(f'"{name}" was unexpected' in fault.replace("'", '"') for fault in custom_faults(changed))


def test_a_misspelt_field_of_its_container_is_found() -> None:
    deployment = kserve_deployment(inference_service("one-model"))
    at(deployment, "spec.template.spec.containers.0")["readinesProbe"] = {}

    (*_, fault) = kubernetes_faults([deployment])
    assert "'readinesProbe' was unexpected" in fault


def test_kserve_finds_its_container_and_its_port() -> None:
    (container,) = RUNTIME["spec"]["containers"]

    assert container["name"] == "kserve-container"
    assert container["ports"][0]["containerPort"] == 8080
    assert RUNTIME["spec"]["annotations"]["prometheus.kserve.io/port"] == "8080"


def test_the_runtime_is_taken_only_by_who_names_it() -> None:
    formats = {entry["name"] for entry in RUNTIME["spec"]["supportedModelFormats"]}

    assert RUNTIME["kind"] == "ServingRuntime"
    assert not any(entry["autoSelect"] for entry in RUNTIME["spec"]["supportedModelFormats"])
    for name in EXAMPLES:
        model = inference_service(name)["spec"]["predictor"]["model"]
        assert model["runtime"] == RUNTIME["metadata"]["name"]
        assert model["modelFormat"]["name"] in formats
        assert model["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]


def test_the_runtimes_image_is_named_by_the_kustomization() -> None:
    (runtime,) = rendered(KSERVE)
    (container,) = runtime["spec"]["containers"]

    assert RUNTIME["spec"]["containers"][0]["image"] == "actserve"
    assert container["image"] == "registry.example/actserve:cpu"
    assert custom_faults(runtime) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_models_name_is_its_inference_services(name: str) -> None:
    """And none that is an activation's, by which /v2/models/<name>/ready would be 200 without the model."""
    service = inference_service(name)
    model, predictor = service["metadata"]["name"], service["spec"]["predictor"]

    assert model not in ACTIVATIONS
    assert (PACKAGED_REPOSITORY / model).is_dir()
    assert ("storageUri" in predictor["model"]) != ("storageUris" in predictor), "KServe refuses both"
    assert all(uri["mountPath"] == f"/mnt/models/{model}" for uri in predictor.get("storageUris", []))


def test_a_mounts_volume_has_a_name_that_kubernetes_takes() -> None:
    """KServe makes it of the path: source as in manifests.kserve_deployment, pkg/utils/storage.go."""
    (storage,) = inference_service("one-model")["spec"]["predictor"]["storageUris"]

    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", storage["mountPath"].strip("/").replace("/", "-"))


def _asked(service: Contained, model: str, path: str) -> None:
    (ready, _), (probed, _), (status, text) = service.ask(
        ("GET", "/v2/health/ready"), ("GET", path), ("POST", f"/v2/models/{model}/infer", REQUEST)
    )
    assert (ready, probed, status) == (200, 200, 200), text
    outputs = {output["name"]: output["data"] for output in json.loads(text)["outputs"]}
    assert max(range(10), key=outputs["probabilities"].__getitem__) == HORSE


def test_one_model_is_served_from_where_kserve_puts_it(tmp_path: Path) -> None:
    """What lies at the address lies at `mountPath`: <version>/model.onnx."""
    pod, model = kserve_pod("one-model"), inference_service("one-model")["metadata"]["name"]
    (storage,) = inference_service("one-model")["spec"]["predictor"]["storageUris"]

    with contained(pod, {storage["mountPath"]: PACKAGED_REPOSITORY / model}, tmp_path / "log") as service:
        _asked(service, model, pod.probe("startup")["httpGet"]["path"])


def test_a_folder_of_models_is_served_from_where_kserve_puts_it(tmp_path: Path) -> None:
    """What lies at the address lies at /mnt/models: <name>/<version>/model.onnx."""
    pod, model = kserve_pod("several-models"), inference_service("several-models")["metadata"]["name"]

    with contained(pod, {"/mnt/models": PACKAGED_REPOSITORY}, tmp_path / "log") as service:
        _asked(service, model, pod.probe("startup")["httpGet"]["path"])
        _asked(service, "cnn-relu", "/v2/models/cnn-relu/ready")


def test_a_folder_of_models_in_an_image_is_served(tmp_path: Path) -> None:
    """`oci://`: /mnt/models is a symbolic link, to the root of the container that holds them."""
    pod, model = kserve_pod("several-models"), inference_service("several-models")["metadata"]["name"]
    folders = {"/mnt/modelcar/models": PACKAGED_REPOSITORY, "/mnt/models": "/mnt/modelcar/models"}

    with contained(pod, folders, tmp_path / "log") as service:
        _asked(service, model, pod.probe("startup")["httpGet"]["path"])


def test_without_the_model_of_its_name_a_pod_never_starts(tmp_path: Path) -> None:
    """As with `storageUri` to the folder of one model: its versions are no models, and the server would be ready."""
    pod = kserve_pod("several-models")

    with contained(pod, {"/mnt/models": PACKAGED_REPOSITORY / "cnn-swish"}, tmp_path / "log") as service:
        answers = service.ask(("GET", "/v2/health/ready"), ("GET", pod.probe("startup")["httpGet"]["path"]))

    assert [status for status, _ in answers] == [200, 404]
