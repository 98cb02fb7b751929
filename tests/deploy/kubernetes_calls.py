"""Are these objects as Kubernetes has them? By .venv-kubernetes' interpreter, which has the schemas.

Reads `{"versions": ["1.37"], "objects": [...]}` from the standard input, and prints a list of what is wrong.
"""

import json
import sys

import kubernetes_validate


def fault(manifest: dict, version: str) -> str | None:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(map(str, error.path))
        return f"{version}, {manifest['kind']} {manifest['metadata']['name']}: {place}: {error.message}"[:500]
    except kubernetes_validate.SchemaNotFoundError as error:
        return error.message
    return None


asked = json.load(sys.stdin)
found = [fault(manifest, version) for version in asked["versions"] for manifest in asked["objects"]]
json.dump([text for text in found if text], sys.stdout)
