"""The parts of the load test can be tested without Locust."""

import ast
from pathlib import Path

import pytest

from tests.serving import ROOT

MODULES = sorted((ROOT / "loadtests").glob("*.py"))
WITH_LOCUST = {"locustfile", "shape"}


def packages(path: Path) -> set[str]:
    """The packages that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_locust_is_imported_only_where_it_must_be(path: Path) -> None:
    """It replaces the sockets and threads of the process that imports it."""
    assert bool(packages(path) & {"locust", "gevent"}) == (path.stem in WITH_LOCUST)
