"""What is under deploy/kubernetes and deploy/kserve: the files as they are, and what kubectl makes of them."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.serving import ROOT

KUBERNETES, KSERVE = ROOT / "deploy" / "kubernetes", ROOT / "deploy" / "kserve"
FILES = sorted(path for folder in (KUBERNETES, KSERVE) for path in folder.rglob("*") if path.is_file())
OVERLAYS = ("overlays/cpu", "overlays/gpu", "example")
KUBE = ("v1", "apps/v1", "autoscaling/v2", "networking.k8s.io/v1", "policy/v1")
"""The API versions that Kubernetes itself has; others are a CRD's."""

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    """Every document of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def is_kustomization(path: Path) -> bool:
    return path.name == "kustomization.yaml"


def patches() -> set[Path]:
    """Files that are a part of an object, which a kustomization puts into the whole one."""
    kustomizations = [(path, *read(path)) for path in FILES if is_kustomization(path)]
    return {
        path.parent / p["path"] for path, content in kustomizations for p in content.get("patches", []) if "path" in p
    }


def written() -> dict[Path, list[Manifest]]:
    """Objects as the files have them."""
    return {path: read(path) for path in FILES if not is_kustomization(path) and path not in patches() | {ADAPTER}}


ADAPTER = KUBERNETES / "components" / "autoscaling" / "prometheus-adapter.yaml"


@cache
def rendered(folder: Path) -> list[Manifest]:
    """Objects as `kubectl apply -k` would send them; the test is skipped where there is no kubectl."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed: it puts overlays and components together (1.27 or newer)")
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


def the(kind: str, objects: Iterable[Manifest], name: str = "actserve") -> Manifest:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def at(manifest: Any, place: str) -> Any:
    """What is at `spec.containers.0`."""
    for key in place.split("."):
        manifest = manifest[int(key) if key.isdigit() else key]
    return manifest


@dataclass(frozen=True)
class Pod:
    """What runs, whoever makes it: a Deployment's pod, or one of KServe's."""

    spec: Manifest
    container: Manifest

    @property
    def variables(self) -> dict[str, str]:
        return {variable["name"]: variable["value"] for variable in self.container["env"]}

    @property
    def settings(self) -> Settings:
        """As the service would read them; an unknown one is an error here, though the service passes it over."""
        own = {name: value for name, value in self.variables.items() if name.startswith("ACTSERVE_")}
        return Settings(**{name.removeprefix("ACTSERVE_").lower(): value for name, value in own.items()})

    @property
    def workers(self) -> int:
        """As many as there would be: one a processor, on a GPU one."""
        return 1 if self.settings.device == "cuda" else int(self.container["resources"]["limits"]["cpu"])

    def probe(self, kind: str) -> Manifest:
        found: Manifest = self.container[f"{kind}Probe"]
        return found

    def memory(self, mount_path: str) -> int:
        """Bytes of a file system in memory, by where it is mounted."""
        (mount,) = [m for m in self.container["volumeMounts"] if m["mountPath"] == mount_path]
        (volume,) = [v for v in self.spec["volumes"] if v["name"] == mount["name"]]
        assert volume["emptyDir"]["medium"] == "Memory"
        return quantity(volume["emptyDir"]["sizeLimit"])


def deployed(folder: str) -> Pod:
    """Of a Deployment: `base`, which needs no kubectl, or an overlay."""
    objects = read(KUBERNETES / "base" / "deployment.yaml") if folder == "base" else rendered(KUBERNETES / folder)
    spec = the("Deployment", objects)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return Pod(spec, container)


def kserve_deployment(service: Manifest) -> Manifest:
    """What KServe makes of the runtime and an InferenceService in its mode `Standard`, as far as these go.

    Source: kserve/kserve, pkg/controller/v1beta1/inferenceservice (components/predictor.go, utils/utils.go,
    reconcilers/deployment) at aaac4e2, read 2026-11-28: names are put in, the pod's fields are those of both, and 30 s
    are granted where nothing is said.
    """
    (runtime,) = read(KSERVE / "servingruntime.yaml")
    predictor = dict(service["spec"]["predictor"])
    strategy = predictor.pop("deploymentStrategy")
    own = {key: value for key, value in predictor.items() if key not in PREDICTOR_KEYS}
    assert set(predictor["model"]) <= MODEL_KEYS, "a part of a container, which would be merged into the runtime's"
    containers = json.dumps(runtime["spec"]["containers"]).replace("{{.Name}}", service["metadata"]["name"])
    spec = {"terminationGracePeriodSeconds": 30, "volumes": runtime["spec"]["volumes"]}
    spec |= {"containers": json.loads(containers), **own}
    labels = {"serving.kserve.io/inferenceservice": service["metadata"]["name"]}
    template = {"metadata": {"labels": labels, "annotations": runtime["spec"]["annotations"]}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{service['metadata']['name']}-predictor"},
        "spec": {"selector": {"matchLabels": labels}, "strategy": strategy, "template": template},
    }


PREDICTOR_KEYS = {"model", "storageUris", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
MODEL_KEYS = {"modelFormat", "protocolVersion", "runtime", "storageUri"}
"""What is KServe's own there; all else is the pod's or the container's."""

EXAMPLES = {path.stem: path for path in FILES if path.parent == KSERVE / "examples"}


def inference_service(name: str) -> Manifest:
    (service,) = read(EXAMPLES[name])
    return service


def kserve_pod(name: str) -> Pod:
    """Of an example."""
    spec = kserve_deployment(inference_service(name))["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return Pod(spec, container)


UNITS: Mapping[str, int] = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text: str) -> int:
    """Bytes of `64Mi`."""
    return int(text[:-2]) * UNITS[text[-2:]]
