"""Clients that leave while their requests wait: the work is dropped, counted, and nobody else is troubled."""

import contextlib
import json
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from service.activations.expressions import Graph, Term
from tests.engine.making import put
from tests.engine.networks import serialised
from tests.serving import DEADLINE_S, eventually, serving

CROWD = 30
INPUT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}


def slow() -> bytes:
    """Some tens of milliseconds a row: convolutions of 64 channels over 96×96 places, all from one number."""
    graph = Graph(np.dtype(np.float32), np.dtype(np.float32))
    shape = graph.initializer(np.array([-1, 1, 1, 1]), "shape")
    x = graph.add("Reshape", [Term(graph, "x"), shape], {}) * np.ones((1, 64, 96, 96))
    weight = graph.initializer(np.full((64, 64, 3, 3), 1e-3, np.float32), "weight")
    for _ in range(4):
        x = graph.add("Conv", [x, weight], {"pads": [1, 1, 1, 1]})
    graph.add_output(graph.add("Flatten", [graph.add("GlobalAveragePool", [x], {})], {"axis": 1}), "y")
    return serialised(graph, 17, ("N", 1))


def counted(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{address}/metrics", timeout=DEADLINE_S) as response:
        families = text_string_to_metric_families(response.read().decode())
    return {
        sample.labels.get("reason", sample.name): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("model") == "slow" or sample.name == "actserve_requests_in_flight"
    }


def test_what_they_were_waiting_for_is_not_run(tmp_path: Path) -> None:
    put(tmp_path, "slow", "1", slow())
    (tmp_path / "slow" / "model.toml").write_text("max_batch_size = 1\n")
    with serving(tmp_path / "log", repository=str(tmp_path), workers="1") as (_, address):
        body = json.dumps(INPUT).encode()
        head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        place = (urlsplit(address).hostname or "", urlsplit(address).port or 0)
        with contextlib.ExitStack() as crowd:
            for _ in range(CROWD):
                client = crowd.enter_context(socket.create_connection(place, DEADLINE_S))
                client.sendall(head + body)
            eventually(lambda: counted(address)["actserve_requests_in_flight"] > CROWD // 2)
        eventually(lambda: counted(address)["actserve_requests_in_flight"] == 1)  # the one for the metrics
        found = counted(address)
        request = urllib.request.Request(f"{address}/v2/models/slow/infer", body)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            assert response.status == 200

    assert found["CANCELED"] + found["nv_inference_request_success"] == CROWD
    assert found["CANCELED"] > 0
    assert found["nv_inference_exec_count"] == found["nv_inference_request_success"]
    assert "Traceback" not in (tmp_path / "log").read_text()
