"""What Prometheus and Grafana are given asks for what the service tells, and each alert fires when it should.

The expressions are held to a service that runs, to Prometheus's own rule tester and to a real Prometheus. Grafana
cannot be had from a package, so nobody has looked at the dashboard here but by its JSON.
"""

import inspect
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from deploy.grafana import dashboard
from service.engine.runtime import device
from tests.deploy.promql import Misnamed, Told, labels, told_by
from tests.routes.conftest import ADMIN, FILES, KEY, application, write
from tests.routes.sending import apply, infer, tensor
from tests.serving import DEADLINE_S, ROOT, end, eventually, free_port, get, serving, uncounted

PROMETHEUS = ROOT / "deploy/prometheus"
PROVISIONING = ROOT / "deploy/grafana/provisioning"
COMPOSE = ROOT / "docker-compose.yml"

CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads(dashboard.FILE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


def expression(of_grafana: str) -> str:
    """As Grafana asks it, with everything chosen."""
    return of_grafana.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$model", ".*")


def shown() -> Iterator[tuple[str, str, str]]:
    """Each expression of the dashboard: its panel, itself, and the name of its lines."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], expression(target["expr"]), target["legendFormat"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What a service tells that has answered, refused and failed, on whatever device it may be."""
    folder: Path = tmp_path_factory.mktemp("repository")
    write(folder, {place: FILES[place] for place in ("grow/1", "half/1", "half/2", "broken/1")})
    ones = tensor(np.ones(2))
    with application(repository=folder, admin_key=KEY, max_body_bytes=2000) as client:
        answers = [
            client.get("/v2/health/ready"),
            client.get("/metrics"),
            infer(client, "grow", ones),
            apply(client, "relu", [1.0]),
            apply(client, "relu", [1.0] * 1000),
            client.post("/v2/repository/models/half/load", headers=ADMIN),
            client.post("/v2/logging", json={"log_file": "/tmp/log"}, headers=ADMIN),
            infer(client, "broken", ones),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 413, 500, 501, 503]
        found = told_by(client.get("/metrics").text)
    devices = {"wanted": {"auto", "cpu", "cuda"}, "device": {"cpu", "cuda"}, "reason": None}
    found["actserve_device"] = {**found["actserve_device"], **devices}
    found["actserve_model_nodes"] = {**found["actserve_model_nodes"], "provider": {device.CPU, device.CUDA}}
    return found


@pytest.mark.parametrize(("asked", "legend"), [pytest.param(e, legend, id=title) for title, e, legend in shown()])
def test_what_the_dashboard_asks_for_is_told(told: Told, asked: str, legend: str) -> None:
    """And what its lines are named by is left in the result; the bounds of a heatmap too."""
    found = labels(asked, told)
    assert found is not None
    assert set(re.findall(r"{{(\w+)}}", legend)) <= found


@pytest.mark.parametrize("panel", [p for p in PANELS if p["type"] == "table"], ids=lambda panel: str(panel["title"]))
def test_the_columns_of_a_table_are_labels(told: Told, panel: dict[str, Any]) -> None:
    named, organized = panel["transformations"]
    columns = named["options"]["include"]["names"]

    assert set(columns) <= {*(labels(expression(panel["targets"][0]["expr"]), told) or ()), "Value"}
    assert organized["options"]["renameByName"].keys() == set(columns)


@pytest.mark.parametrize("name", ["instance", "model"])
def test_what_can_be_chosen_is_told(told: Told, name: str) -> None:
    asked = re.fullmatch(r"label_values\((.*), (\w+)\)", VARIABLES[name]["query"]["query"])
    assert asked
    assert asked[2] == name
    assert name in (labels(expression(asked[1]), told) or ())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_what_an_alert_asks_for_is_told(told: Told, rule: dict[str, Any]) -> None:
    """And what its words name is left in the result."""
    found = labels(rule["expr"], told)
    assert found is not None
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("actserve_queue_row", "no metric actserve_queue_row"),
        ("rate(actserve_requests[5m])", "no metric actserve_requests"),
        ('actserve_queue_rows{modell="m"}', "no label modell"),
        ('rate(actserve_inference_seconds_bucket{stage="decoding"}[5m])', "stage .* is never decoding"),
        ('actserve_rejected_total{reason=~"queue_full|predicted_waits"}', "reason .* is never predicted_waits"),
        ('actserve_requests_total{route!~"/metric"}', "route .* is never /metric"),
        ("sum by (modell) (actserve_queue_rows)", "nothing to group by in .*modell"),
        ("sum by (model) (sum(actserve_queue_rows))", "nothing to group by in .*model"),
        ("histogram_quantile(0.9, sum by (model) (rate(actserve_inference_seconds_bucket[5m])))", "no buckets"),
        ("actserve_queue_rows / actserve_workers", "the sides have not both"),
        ("up unless on (job, server) actserve_model_ready", "the sides have not both .*server"),
    ],
)
def test_an_expression_that_never_has_a_result_is_told_from_others(told: Told, asked: str, said: str) -> None:
    with pytest.raises(Misnamed, match=said):
        labels(asked, told)


@pytest.mark.parametrize("asked", ["sum(rate(up[5m])", "rate(up)", "up{job=actserve}", "sums(up)"])
def test_what_is_no_promql_is_told_too(told: Told, asked: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        labels(asked, told)


def test_the_dashboard_is_what_its_program_writes() -> None:
    assert dashboard.FILE.read_text() == dashboard.text()


def test_every_panel_says_what_it_shows() -> None:
    for panel in PANELS:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        assert re.fullmatch(r".+\.", panel["description"]), panel["title"]
    titles = [panel["title"] for panel in PANELS]
    assert sorted(set(titles)) == sorted(titles)


def test_panels_have_their_own_numbers_and_places() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = []
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        assert place["x"] + place["w"] <= 24
        rows = range(place["y"], place["y"] + place["h"])
        cells += [(x, y) for y in rows for x in range(place["x"], place["x"] + place["w"])]
    assert len(set(cells)) == len(cells)


def test_nothing_in_the_dashboard_belongs_to_one_grafana() -> None:
    assert not {"id", "version", "iteration", "gnetId", "__inputs"} & DASHBOARD.keys()


def test_the_dashboard_asks_the_prometheus_that_is_provisioned() -> None:
    """Unless somebody chooses another."""
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"]
    asked = [panel["datasource"] for panel in PANELS] + [t["datasource"] for panel in PANELS for t in panel["targets"]]

    assert VARIABLES["datasource"]["current"] == {"text": source["name"], "value": source["uid"]}
    assert all(where == {"type": source["type"], "uid": "${datasource}"} for where in asked)
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == CONFIG["global"]["scrape_interval"]


@pytest.mark.skipif(not COMPOSE.exists(), reason="docker-compose.yml, which mounts the files, is not there")
def test_the_files_are_mounted_where_they_are_looked_for() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    mounted = dict(
        text.removeprefix("./").split(":")[:2]
        for name in ("prometheus", "grafana")
        for text in services[name]["volumes"]
        if text.startswith("./")
    )
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/actserve.yml").read_text())["providers"]

    assert mounted == {
        "deploy/prometheus": "/etc/prometheus",
        "deploy/grafana/provisioning": "/etc/grafana/provisioning",
        str(dashboard.FILE.parent.relative_to(ROOT)): provider["options"]["path"],
    }


def test_prometheus_asks_the_service_and_reads_the_alerts() -> None:
    (job,) = CONFIG["scrape_configs"]
    assert job["job_name"] == "actserve"
    assert job["static_configs"] == [{"targets": ["actserve:8000"]}]
    assert all((PROMETHEUS / name).is_file() for name in CONFIG["rule_files"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """It is tested, and the documentation has it."""
    fires = (PROMETHEUS / "alerts_test.yml").read_text()
    pages = "".join(page.read_text() for page in sorted((ROOT / "docs").glob("deployment*.md")))

    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert len(rule["annotations"]["description"]) > 100
    assert re.search(rf'exp_samples:[^\]]*alertname="{rule["alert"]}"|alertname: {rule["alert"]}\n', fires)
    assert f"| `{rule['alert']}` |" in pages


def test_refusals_are_the_same_in_the_alerts_and_on_the_dashboard() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "ActserveRefusing"]
    assert f'reason=~"{dashboard.CAPACITY}"' in rule["expr"]


def test_the_alert_for_a_gpu_that_is_not_used_knows_the_services_words() -> None:
    """And a machine without a driver is none that it tells of."""
    (rule,) = [rule for rule in RULES if rule["alert"] == "ActserveGpuNotUsed"]
    found = re.search(r'reason=~"(.*?)"', rule["expr"])
    assert found
    for words in found[1].split("|"):
        assert words.removesuffix(".*") in inspect.getsource(device.why_cuda_does_not_start)
        assert words.removesuffix(".*") not in inspect.getsource(device.why_not_cuda)


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: in Debian, the package prometheus has it"
)
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is missing: in Debian, apt-get install prometheus"
)


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *command],
        cwd=PROMETHEUS,
        env=uncounted(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def prometheus(address: str, folder: Path) -> Iterator[str]:
    """A real one with our files, but for the target and a look a second; gives its address."""
    config = CONFIG | {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}}
    job = CONFIG["scrape_configs"][0] | {"static_configs": [{"targets": [address.removeprefix("http://")]}]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config | {"scrape_configs": [job]}))
    shutil.copy(PROMETHEUS / "alerts.yml", folder)
    listen = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, f"--web.listen-address={listen}"],
            cwd=folder,
            env=uncounted(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield f"http://{listen}"
        finally:
            end(process)


def ask(url: str, body: bytes, kind: str = "application/json") -> int:
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def is_up(address: str) -> bool:
    try:
        found: Any = get(f"{address}/api/v1/targets")
    except OSError:  # it starts
        return False
    return [target["health"] for target in found["data"]["activeTargets"]] == ["up"]


@needs_prometheus
def test_a_real_prometheus_finds_all_that_the_dashboard_shows(tmp_path: Path, horse: bytes) -> None:
    """After some requests, good and bad, no panel is empty, and no rule is in error."""

    def load(address: str) -> None:
        assert ask(f"{address}/v1/models/cnn-relu/predict", horse, "image/jpeg") == 200
        assert ask(f"{address}/v1/activations/relu", b'{"data": [1]}') == 200
        assert ask(f"{address}/v1/activations/softmax", b'{"data": [1], "parameters": {"axis": 3}}') == 400
        assert ask(f"{address}/v1/activations/relu", b" " * 10_001) == 413

    def empty(address: str) -> set[str]:
        found = set()
        for title, asked, _ in shown():
            answer: Any = get(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': asked})}")
            assert answer["status"] == "success", title
            if not answer["data"]["result"]:
                found.add(title)
        return found

    def left(service: str, seen: str) -> set[str]:
        load(service)
        return empty(seen)

    with (
        serving(tmp_path / "log.txt", workers="2", max_body_bytes="10000") as (_, service),
        prometheus(service, tmp_path) as seen,
    ):
        eventually(lambda: is_up(seen))
        eventually(lambda: not left(service, seen))
        rules: Any = get(f"{seen}/api/v1/rules")
        found = [(rule["name"], rule["health"], rule.get("lastError")) for rule in rules["data"]["groups"][0]["rules"]]
    assert found == [(rule["alert"], "ok", None) for rule in RULES]
