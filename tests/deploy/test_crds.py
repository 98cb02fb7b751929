"""The CRDs themselves, where they are given: `CRDS=FOLDER python -m pytest tests/deploy/test_crds.py`.

FOLDER holds, as files of YAML, those of kserve/kserve (config/crd/full) and of prometheus-operator/prometheus-operator
(example/prometheus-operator-crd). They are others' and have megabytes, so they are not in this repository.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.manifests import KSERVE, KUBE, KUBERNETES, at, rendered, written
from tests.deploy.validating import SCHEMAS, crd, crd_faults

CUSTOM = [manifest for manifests in written().values() for manifest in manifests if manifest["apiVersion"] not in KUBE]


def test_there_are_custom_objects_of_every_kind_with_a_schema() -> None:
    assert {manifest["kind"] for manifest in CUSTOM} == set(SCHEMAS)


@pytest.mark.parametrize("manifest", CUSTOM, ids=lambda m: f"{m['kind']} {m['metadata']['name']}")
def test_an_object_is_as_its_crd_has_it(manifest: dict[str, Any]) -> None:
    assert crd_faults(manifest) == []


@pytest.mark.parametrize("folder", [KSERVE, KUBERNETES / "example"], ids=lambda path: path.name)
def test_what_is_rendered_is_as_its_crd_has_it(folder: Any) -> None:
    custom = [manifest for manifest in rendered(folder) if manifest["apiVersion"] not in KUBE]

    assert len(custom) == 1
    assert [fault for manifest in custom for fault in crd_faults(manifest)] == []


def test_a_cluster_runtime_is_the_same_but_for_its_kind() -> None:
    """Which servingruntime.yaml says."""
    (runtime,) = [manifest for manifest in CUSTOM if manifest["kind"] == "ServingRuntime"]

    assert crd_faults(runtime | {"kind": "ClusterServingRuntime"}) == []


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("ServingRuntime", "spec.containers.0.readinessProbe"),
        ("InferenceService", "spec.predictor.deploymentStrategy.rollingUpdate"),
        ("ServiceMonitor", "spec.endpoints.0"),
    ],
)
def test_a_misspelt_field_is_found(kind: str, place: str) -> None:
    changed = copy.deepcopy(next(manifest for manifest in CUSTOM if manifest["kind"] == kind))
    at(changed, place)["misspelt"] = 1

    assert any("misspelt" in fault for fault in crd_faults(changed))


def _properties(schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """Every property that a schema names, by its place, without what is of all objects alike."""
    for name, inner in schema.get("properties", {}).items():
        if not place and name == "metadata":
            continue
        yield f"{place}.{name}"
        yield from _properties(inner.get("items", inner), f"{place}.{name}")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_written_by_hand_has_nothing_that_the_crd_has_not(kind: str) -> None:
    schema = SCHEMAS[kind]
    (api_version,) = schema["properties"]["apiVersion"]["enum"]

    assert set(_properties(schema)) <= set(_properties(crd(kind, api_version)))
