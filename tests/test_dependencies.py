"""What is installed is what was decided on: security floors, one ONNX Runtime, locks with hashes and no addresses."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {path.name: path.read_text() for path in (ROOT / "requirements").glob("*.lock")}

# Below each of these lies a published hole in something that this service uses (docs/dependencies.md).
FLOORS = {
    "pillow": "13.0.0",
    "starlette": "1.3.1",
    "python-multipart": "0.0.31",
    "uvicorn": "0.51.0",
    "h11": "0.16.0",
    "httptools": "0.8.0",
    "orjson": "3.9.15",
    "onnx": "1.22.0",
    "numpy": "2.0",
}
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


def installed(name: str) -> Version | None:
    try:
        return Version(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return None


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_what_is_installed_is_above_its_security_floor(name: str, floor: str) -> None:
    version = installed(name)
    assert version is not None
    assert version >= Version(floor)


def test_exactly_one_onnx_runtime_is_installed() -> None:
    """Two overwrite each other's files."""
    found = [version for name in RUNTIMES if (version := installed(name))]
    assert len(found) == 1
    assert found[0] >= Version("1.31")


REQUIREMENTS = [Requirement(text) for text in PROJECT["project"]["dependencies"]]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_a_declared_floor_is_not_below_the_security_floor(requirement: Requirement) -> None:
    floor = FLOORS.get(requirement.name)
    assert floor is None or not any(requirement.specifier.contains(v) for v in _below(floor))


def _below(floor: str) -> list[str]:
    """Some versions below the floor, the ones that a laxer bound would let in."""
    release = list(Version(floor).release)
    lower = [[*release[:i], part - 1] for i, part in enumerate(release) if part]
    return [".".join(map(str, version)) for version in lower]


@pytest.mark.parametrize("system", [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")])
def test_every_platform_gets_exactly_one_runtime(system: tuple[str, str]) -> None:
    environment = {"sys_platform": system[0], "platform_machine": system[1]}
    chosen = [r.name for r in REQUIREMENTS if r.name in RUNTIMES and r.marker and r.marker.evaluate(environment)]

    assert chosen == ["onnxruntime-gpu" if system == ("linux", "x86_64") else "onnxruntime"]


@pytest.mark.parametrize("name", ["dev", "train", "load", "gpu"])
def test_the_groups_are_there(name: str) -> None:
    assert PROJECT["dependency-groups"][name]


@pytest.mark.parametrize("name", ["dev", "load", "gpu"])
def test_a_groups_packages_are_in_its_lock(name: str) -> None:
    wanted = {Requirement(text).name for text in PROJECT["dependency-groups"][name]}
    assert wanted <= set(re.findall(r"^([\w-]+)(?:\[.*\])?==", LOCKS[f"{name}.lock"], re.MULTILINE))


@pytest.mark.skipif(installed("onnxruntime-gpu") is None, reason="the other wheel, which has no extras for CUDA")
def test_the_libraries_for_a_gpu_are_those_that_the_wheel_names_and_cublas() -> None:
    """It is linked to cuBLAS, which none of its extras brings."""
    stated = [Requirement(text) for text in importlib.metadata.requires("onnxruntime-gpu") or []]
    extras = {f"{r.name}{r.specifier}" for r in stated if r.marker and re.search("cuda|cudnn", str(r.marker))}

    assert len(extras) == 5
    assert set(PROJECT["dependency-groups"]["gpu"]) == extras | {"nvidia-cublas~=13.0"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_and_no_addresses(name: str) -> None:
    entries = re.split(r"\n(?=\S)", LOCKS[name].strip())

    assert len(entries) > 5
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCKS[name]
    assert "--index-url" not in LOCKS[name]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_every_dependency_is_locked_and_explained(requirement: Requirement) -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()

    assert all(re.search(rf"^{requirement.name}==", LOCKS[name], re.MULTILINE) for name in ("run.lock", "dev.lock"))
    assert re.search(rf"^\| .*\b{requirement.name}\b", page, re.MULTILINE)
