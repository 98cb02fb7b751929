"""What every pod must be, whether a Deployment or KServe makes it: settings, ports, probes, memory, rights, its end."""

import pytest
from starlette.testclient import TestClient

from service.routes.traffic import WATCHING
from service.settings import Settings
from service.workers.drain import MARGIN_S
from tests.deploy.manifests import EXAMPLES, OVERLAYS, Pod, deployed, kserve_pod, quantity

PODS = ("base", *OVERLAYS, *EXAMPLES)

WORKERS_BYTES = 512 * 2**20
"""Two workers with all packaged models and what they have in hand: 431 MB after a million requests (make soak)."""


@pytest.fixture(params=PODS)
def pod(request: pytest.FixtureRequest) -> Pod:
    return kserve_pod(request.param) if request.param in EXAMPLES else deployed(request.param)


def test_every_variable_is_a_setting_and_its_value_fits(pod: Pod) -> None:
    assert isinstance(pod.settings, Settings)
    assert all(name.startswith(("ACTSERVE_", "OTEL_EXPORTER_OTLP_")) for name in pod.variables)


def test_it_listens_where_it_is_looked_for(pod: Pod) -> None:
    (port,) = pod.container["ports"]

    assert (pod.settings.host, pod.settings.port) == ("0.0.0.0", port["containerPort"])
    for kind in ("startup", "liveness", "readiness"):
        assert pod.probe(kind)["httpGet"]["port"] in (port.get("name"), port["containerPort"])


def test_a_service_of_its_name_does_not_set_its_port(pod: Pod) -> None:
    """ACTSERVE_PORT=tcp://10.0.0.1:80, by which no server would start."""
    assert pod.spec["enableServiceLinks"] is False
    assert "ACTSERVE_PORT" in pod.variables


def test_what_its_probes_ask_for_is_answered(pod: Pod, client: TestClient) -> None:
    for kind in ("startup", "liveness", "readiness"):
        assert client.get(pod.probe(kind)["httpGet"]["path"]).status_code == 200


def test_a_full_server_stays_in_service(pod: Pod) -> None:
    """Both are answered whatever else is refused, so a crowd takes no pod away from those that it came to."""
    paths = {kind: pod.probe(kind)["httpGet"]["path"] for kind in ("liveness", "readiness")}

    assert paths == {"liveness": "/v2/health/live", "readiness": "/v2/health/ready"}
    assert set(paths.values()) <= WATCHING


def test_the_service_helps_itself_before_it_is_started_anew(pod: Pod) -> None:
    """Its watchdog ends a worker that stands still; a probe that is quicker would take the other workers along."""
    probe = pod.probe("liveness")

    assert probe["periodSeconds"] * probe["failureThreshold"] > pod.settings.max_stall_seconds
    assert pod.probe("startup")["periodSeconds"] * pod.probe("startup")["failureThreshold"] >= 120


def test_it_may_end_in_its_time(pod: Pod) -> None:
    before = pod.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    own = pod.settings.lame_duck_seconds + pod.settings.stop_timeout_seconds + MARGIN_S

    assert before + pod.settings.lame_duck_seconds >= 5, "proxies need some seconds to hear of it"
    assert pod.spec["terminationGracePeriodSeconds"] >= before + own


def test_its_processors_are_counted_by_a_limit(pod: Pod) -> None:
    """Without one there would be a worker for each processor of the node."""
    resources = pod.container["resources"]

    assert resources["limits"]["cpu"] == resources["requests"]["cpu"]
    assert int(resources["limits"]["cpu"]) >= 1


def test_its_memory_holds_all_that_its_settings_allow(pod: Pod) -> None:
    """Bodies count twice, as they came and as what was made of them; files in memory count too."""
    in_flight = pod.workers * pod.settings.max_bytes_in_flight
    mounts = pod.memory("/tmp") + pod.memory("/dev/shm")
    wanted = WORKERS_BYTES + 2 * in_flight + mounts + pod.settings.load_probe_bytes

    assert wanted <= quantity(pod.container["resources"]["limits"]["memory"])
    assert pod.settings.max_bytes_in_flight >= pod.settings.max_body_bytes
    assert pod.memory("/tmp") >= in_flight, "a multipart body's files are put there while it is read"


def test_it_has_no_rights(pod: Pod) -> None:
    """As the Pod Security Standard `restricted` asks, and a root that cannot be written to."""
    security = pod.spec.get("securityContext", {}) | pod.container["securityContext"]

    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"]) == (10001, 10001)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert pod.spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec)
    assert all("hostPath" not in volume for volume in pod.spec["volumes"])


def test_of_what_is_mounted_only_memory_can_be_written_to(pod: Pod) -> None:
    writable = {mount["mountPath"] for mount in pod.container["volumeMounts"] if not mount.get("readOnly")}

    assert writable == {"/tmp", "/dev/shm"}
