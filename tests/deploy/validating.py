"""Whether objects are as Kubernetes, KServe and the prometheus-operator have them; unknown fields are faults.

Kubernetes' own by the schemas in the package kubernetes-validate, which has an environment of its own, for they take
108 MB: `make kubernetes`. Those of CRDs by schemas.yaml, and by the CRDs where `CRDS` names a folder of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.deploy.manifests import Manifest
from tests.serving import DEADLINE_S, ROOT, uncounted

VERSIONS = ("1.32", "1.37")
"""The oldest and the newest that the manifests are held to."""

PYTHON = ROOT / ".venv-kubernetes" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
CALLS = Path(__file__).parent / "kubernetes_calls.py"
SCHEMAS: Manifest = yaml.safe_load((Path(__file__).parent / "schemas.yaml").read_text())


def kubernetes_faults(objects: list[Manifest], versions: Sequence[str] = VERSIONS) -> list[str]:
    """By Kubernetes' own schemas; the test is skipped where they are not installed."""
    if not (ROOT / ".venv-kubernetes" / "stamp").exists():
        pytest.skip("Kubernetes' schemas are not installed: make kubernetes")
    done = subprocess.run(
        [str(PYTHON), str(CALLS)],
        input=json.dumps({"versions": versions, "objects": objects}),
        capture_output=True,
        text=True,
        env=uncounted(),
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def custom_faults(manifest: Manifest) -> list[str]:
    """By schemas.yaml: fields that the project uses, strictly."""
    return _faults(SCHEMAS[manifest["kind"]], manifest)


def crd_faults(manifest: Manifest) -> list[str]:
    """By the CRD; the test is skipped where it is not given."""
    return _faults(_strict(crd(manifest["kind"], manifest["apiVersion"])), manifest)


@cache
def crd(kind: str, api_version: str) -> Manifest:
    """The schema in a CustomResourceDefinition, from the YAML files below the folder `CRDS`."""
    if not os.environ.get("CRDS"):
        pytest.skip("CRDS names no folder with the CustomResourceDefinitions of KServe and the prometheus-operator")
    group, _, version = api_version.rpartition("/")
    for definition in _definitions(Path(os.environ["CRDS"])):
        spec = definition["spec"]
        if (spec["group"], spec["names"]["kind"]) == (group, kind):
            (found,) = [v["schema"]["openAPIV3Schema"] for v in spec["versions"] if v["name"] == version]
            return dict(found)
    pytest.fail(f"there is no CRD of {kind} in {os.environ['CRDS']}")


def _definitions(folder: Path) -> Iterator[Manifest]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # they have megabytes
    for path in folder.rglob("*.yaml"):
        for document in yaml.load_all(path.read_text(), Loader=loader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document


def _faults(schema: Manifest, manifest: Manifest) -> list[str]:
    found = jsonschema_rs.Draft4Validator(schema).iter_errors(manifest)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}"[:500] for error in found]


def _strict(schema: Any) -> Any:
    """The same, and fields that it does not name are faults; the API server would drop them without a word."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("type") == "object" and "properties" in schema and not is_open:
        closed["additionalProperties"] = False
    return closed
