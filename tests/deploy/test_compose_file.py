"""docker-compose.yml is a sound file, and runs everything as docs/deployment.md says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose import trial
from service.settings import Settings
from tests.deploy.test_dockerfile import last
from tests.serving import DEADLINE_S, ROOT

FILE, HOST_NETWORK = ROOT / "docker-compose.yml", ROOT / "deploy/compose/host-network.yml"
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def read(path: Path) -> dict[str, Any]:
    """As it is with no variable set."""
    found: dict[str, Any] = yaml.safe_load(VARIABLE.sub(r"\2", path.read_text()))
    return found


SERVICES: dict[str, Any] = read(FILE)["services"]
EACH = pytest.mark.parametrize("name", SERVICES)
OURS = ("actserve", "actserve-gpu")


def mounts() -> list[tuple[str, str, str]]:
    """Source, target and mode, of all services."""
    volumes = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    return [(source, target, mode[0] if mode else "") for source, target, *mode in volumes]


@pytest.mark.parametrize("path", [FILE, HOST_NETWORK], ids=lambda path: path.name)
def test_it_keeps_to_the_schema_of_compose_files(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout


def test_the_schema_would_find_a_mistake(tmp_path: Path) -> None:
    spoilt = tmp_path / "docker-compose.yml"
    spoilt.write_text(FILE.read_text().replace("read_only:", "readonly:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(spoilt)]
    assert subprocess.run(command, capture_output=True, timeout=DEADLINE_S).returncode == 1


def test_without_a_profile_there_is_the_service_on_a_cpu_and_nothing_else() -> None:
    by_profile: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        by_profile.setdefault(" ".join(service.get("profiles", [])), set()).add(name)

    assert by_profile == {
        "": {"actserve"},
        "gpu": {"actserve-gpu"},
        "monitoring": {"prometheus", "grafana"},
        "load": {"locust-master", "locust-worker"},
    }


@EACH
def test_each_is_confined(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert {"cpus", "memory", "pids"} <= set(limits)


@EACH
def test_with_the_defaults_its_limits_are_there_on_every_machine(name: str) -> None:
    """An engine refuses more processors than there are; a machine with an NVIDIA GPU has two."""
    cpus = float(SERVICES[name]["deploy"]["resources"]["limits"]["cpus"])
    assert 0 < cpus <= (2 if name == "actserve-gpu" else 1)


@EACH
def test_nobody_elsewhere_reaches_a_port_until_that_is_asked_for(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@EACH
def test_its_image_has_a_version_or_is_made_here(name: str) -> None:
    image = SERVICES[name]["image"]
    made = {service["image"] for service in SERVICES.values() if "build" in service}

    assert image in made or re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", image)


@EACH
def test_what_it_waits_for_has_a_health_check(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("mount", mounts(), ids=" ".join)
def test_what_is_mounted_is_there_and_can_only_be_read(mount: tuple[str, str, str]) -> None:
    source, _, mode = mount
    if source.startswith("."):
        assert (ROOT / source).exists()
        assert mode == "ro,z"
    else:
        assert source in read(FILE)["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_the_service_has_time_to_drain(name: str) -> None:
    settings = Settings()
    grace = re.fullmatch(r"(\d+)s", SERVICES[name]["stop_grace_period"])

    assert grace is not None
    assert int(grace[1]) >= settings.lame_duck_seconds + settings.stop_timeout_seconds + 5
    assert int(grace[1]) == trial.GRACE_S


@pytest.mark.parametrize("name", OURS)
def test_the_services_health_check_is_the_images(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    options, _, command = last("actserve", "HEALTHCHECK").partition(" CMD ")
    stated = dict(re.findall(r"--([\w-]+)=(\S+)", options))

    assert str(check["test"][1:]).replace("'", '"') == command
    assert {word.replace("_", "-"): str(value) for word, value in check.items() if word != "test"} == stated


@pytest.mark.parametrize("name", OURS)
def test_the_service_is_set_by_names_that_it_knows(name: str) -> None:
    known = {f"ACTSERVE_{field.upper()}" for field in Settings.model_fields}
    environment = SERVICES[name]["environment"]

    assert set(environment) <= known
    assert SERVICES[name]["ports"] == [f"127.0.0.1:8000:{environment['ACTSERVE_PORT']}"]
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


def test_the_service_on_a_gpu_takes_the_others_place() -> None:
    """The same port, so not both; the same name on the network; and a GPU, or it does not start."""
    one, other = (SERVICES[name] for name in OURS)
    devices = other["deploy"]["resources"]["reservations"]["devices"]

    assert one["ports"] == other["ports"]
    assert other["networks"]["default"]["aliases"] == ["actserve"]
    assert other["environment"]["ACTSERVE_DEVICE"] == "cuda"
    assert other["build"]["args"]["GPU"] == 1
    assert "GPU" not in one["build"]["args"]
    assert [device["capabilities"] for device in devices] == [["gpu"]]


def test_the_models_are_where_the_image_reads_them() -> None:
    assert {target for source, target, _ in mounts() if "models" in source} == {"/app/models/repository"}


def test_prometheus_and_grafana_find_their_way() -> None:
    """By the names of this file, and in the folders that it mounts."""
    target = {source: target for source, target, _ in mounts()}
    scraped = read(ROOT / "deploy/prometheus/prometheus.yml")
    (source,) = read(ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = read(ROOT / "deploy/grafana/provisioning/dashboards/actserve.yml")["providers"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert [job["static_configs"][0]["targets"] for job in scraped["scrape_configs"]] == [["actserve:8000"]]
    assert all((ROOT / "deploy/prometheus" / name).exists() for name in scraped["rule_files"])
    assert source["url"] == "http://prometheus:9090"
    assert provider["options"]["path"] == target["./deploy/grafana/dashboards"] == str(home.parent)
    assert (ROOT / "deploy/grafana/dashboards" / home.name).exists()


def test_locusts_master_waits_for_as_many_workers_as_there_are() -> None:
    command = SERVICES["locust-master"]["command"]

    assert command[command.index("--expect-workers") + 1] == str(SERVICES["locust-worker"]["deploy"]["replicas"])
    assert command[command.index("--host") + 1] == "http://actserve:8000"


def test_limits_of_a_load_test_are_handed_on_by_the_names_that_it_knows() -> None:
    page = (ROOT / "docs/loadtests.md").read_text()
    handed = SERVICES["locust-master"]["environment"]

    assert all(value is None for value in handed.values())  # as they are where compose is called
    assert all(f"`{name}`" in page for name in handed if name.startswith("ACTSERVE_"))
    assert set(trial.Options().environment()) <= set(handed)


def test_every_variable_is_explained() -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    names = {name for name, _ in VARIABLE.findall(FILE.read_text())}

    assert len(names) > 3
    assert [name for name in names if f"`{name}`" not in page] == []


def test_on_the_hosts_network_everything_listens_on_the_loopback_address() -> None:
    services = read(HOST_NETWORK)["services"]

    assert set(services) == {"actserve", "locust-master", "locust-worker"}
    assert all(service["network_mode"] == "host" for service in services.values())
    assert services["actserve"]["environment"] == {"ACTSERVE_HOST": "127.0.0.1"}
    assert set(services["locust-master"]["environment"].values()) == {"127.0.0.1"}
