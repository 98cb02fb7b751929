"""How fast the service is on the device: binary requests of several sizes, with one worker process and several."""

import multiprocessing
import socket
import time
from collections.abc import Mapping
from functools import partial
from multiprocessing.synchronize import Barrier
from urllib.parse import urlsplit

import orjson

from models.client import running
from models.gpu.bench import Here, images, models, runs, timed
from models.gpu.findings import Findings
from models.gpu.speed import MODEL, ROWS
from service.engine.gpu.driver import gpu

CLIENTS = 4
"""Processes that send, each on one connection, the next request when the last is answered."""
WORKERS = (1, 2, 4)
GOAL, GOAL_ROWS = 0.8, 64
WAIT_S = 60

_together: Barrier


def of_requests(here: Here, findings: Findings) -> None:
    """Beside plain runs of ONNX Runtime in one thread, measured just before."""
    content = models()[MODEL]
    raw = {}
    for rows in ROWS:
        plain = runs(content, here, rows, "float32")["plain"]
        raw[rows] = rows / timed(partial(plain, {"image": images(rows)}, rows), here.seconds)
    settings: list[Mapping[str, str]] = [{"ACTSERVE_WORKERS": str(workers)} for workers in WORKERS]
    settings += [{"ACTSERVE_WORKERS": "1", "ACTSERVE_GPU_RUNS": way} for way in ("bound", "plain") if here.on_gpu]
    best, memory = 0.0, 0
    for chosen in settings:
        with running({"ACTSERVE_DEVICE": here.device.kind, "ACTSERVE_REQUEST_LOG": "false", **chosen}) as url:
            for rows in ROWS:
                rate = measured(url, rows, here.seconds)
                found = gpu()
                memory = max(memory, found.memory_used_mib if found else 0)
                best = max(best, rate / raw[rows] if rows == GOAL_ROWS else 0.0)
                findings.table.append(
                    {
                        "workers": chosen["ACTSERVE_WORKERS"],
                        "runs": chosen.get("ACTSERVE_GPU_RUNS", "auto" if here.on_gpu else "on the CPU"),
                        "rows": rows,
                        "pictures/s": round(rate),
                        "of ONNX Runtime alone": round(rate / raw[rows], 3),
                    }
                )
    findings.facts["memory of the GPU at most, MiB"] = str(memory) if memory else "no GPU here"
    findings.facts["load"] = f"{CLIENTS} connections, V2 binary requests to {MODEL}"
    text = f"{GOAL_ROWS} rows a request: at least {GOAL} of ONNX Runtime alone on the same device"
    findings.goals.append(here.judged(text, best >= GOAL, f"{best:.2f} at best"))


def measured(url: str, rows: int, seconds: float) -> float:
    """Rows a second that all clients together are answered."""
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads
    job = (urlsplit(url).port, request(rows), max(seconds, 0.2))
    with context.Pool(CLIENTS, _join, (context.Barrier(CLIENTS),)) as pool:
        return rows * sum(pool.starmap(_send, [job] * CLIENTS, chunksize=1))


def request(rows: int) -> bytes:
    """A whole HTTP request."""
    content = images(rows).tobytes()
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": [rows, 3, 32, 32],
        "parameters": {"binary_data_size": len(content)},
    }
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    lines = (
        f"POST /v2/models/{MODEL}/infer HTTP/1.1",
        "Host: 127.0.0.1",
        f"Inference-Header-Content-Length: {len(head)}",
        f"Content-Length: {len(head) + len(content)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + head + content


def _join(barrier: Barrier) -> None:
    """A barrier can only be inherited, not sent with a job."""
    global _together
    _together = barrier


def _send(port: int, content: bytes, seconds: float) -> float:
    """Requests a second of one connection."""
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
        _exchange(connection, content)
        _together.wait(WAIT_S)
        started, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < seconds or not count:
            _exchange(connection, content)
            count += 1
        return count / passed if passed else 0.0


def _exchange(connection: socket.socket, content: bytes) -> None:
    """Send a request and take the answer.

    Raises:
        ConnectionError: it is not 200, or does not come.
    """
    connection.sendall(content)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _part(connection)
    head, rest = answer.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(head.split(b"\r\n", 1)[0].decode(errors="replace"))
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(rest)
    while left > 0:
        left -= len(_part(connection))


def _part(connection: socket.socket) -> bytes:
    part = connection.recv(2**20)
    if not part:
        raise ConnectionError("the service closed the connection")
    return part
