"""Imports point one way: a module imports only what stands below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = (
    {"errors", "settings", "telemetry", "workers", "writer"},
    {"logs", "activations", "wire"},
    {"engine"},
    {"routes"},
    {"app", "server"},
    {"__main__"},
)
HEIGHT = {name: floor for floor, names in enumerate(FLOORS) for name in names}

ALLOWED_TO_MODELS = ("service.activations", "service.engine", "service.errors")


def imported(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def faults(path: Path, source: str) -> list[str]:
    """Imports that `path`, relative to the root, may not have."""
    package, *rest = path.parts
    names = [name for name in imported(source) if name.split(".")[0] in {"service", "models", "tests", "loadtests"}]
    if package == "models":
        return [n for n in names if not n.startswith(("models.", *ALLOWED_TO_MODELS))]
    if package in ("loadtests", "deploy"):  # they know the service by its address only
        return [n for n in names if n.split(".")[0] != "loadtests"]
    here = rest[0].removesuffix(".py")
    return [n for n in names if not n.startswith("service.") or not _below(n.split(".")[1], here)]


def _below(there: str, here: str) -> bool:
    return there == here or there == "__version__" or HEIGHT[there] < HEIGHT[here]


FOLDERS = ("service", "models", "loadtests", "deploy/image", "deploy/compose")
FILES = [p.relative_to(ROOT) for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_module_imports_only_downwards(path: Path) -> None:
    if path.name != "__init__.py":
        assert faults(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("service/wire/v2.py", "from service.engine.runtime.session import Session"),
        ("service/engine/pool.py", "import service.app"),
        ("service/app.py", "from models.accuracy import TABLE"),
        ("service/errors.py", "from service.settings import Settings"),
        ("models/train.py", "from service.routes import http"),
        ("models/train.py", "import tests.conftest"),
        ("loadtests/peers/ours.py", "from service.app import create_app"),
        ("loadtests/bodies.py", "import models"),
        ("loadtests/shape.py", "from tests.serving import ROOT"),
        ("deploy/image/smoke.py", "from service.settings import Settings"),
    ],
)
def test_the_rule_catches_what_it_should(path: str, source: str) -> None:
    assert len(faults(Path(path), source)) == 1


UNSAFE = {"pickle", "marshal", "shelve", "joblib", "dill", "yaml"}
UNSAFE_CALLS = {"eval", "exec", "__import__"}


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "service"], ids=str)
def test_the_service_runs_no_code_that_a_client_sends(path: Path) -> None:
    """No unpickling, no eval: peers had remote code execution from each."""
    source = (ROOT / path).read_text()
    calls = {n.func.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}

    assert not UNSAFE & {name.split(".")[0] for name in imported(source)}
    assert not UNSAFE_CALLS & calls
    assert "allow_pickle=True" not in source
    assert "register_custom_ops" not in source  # a library of operators is machine code
