"""Closed-loop load by `wrk`: a number of connections, each sends its next request when the answer has come.

wrk's own report is for people and rounds what it prints; the script that it runs here prints the same figures once more
as a line of JSON, in whole microseconds.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from loadtests.local.http import Request

MARK = "RESULT "
TIMEOUT_S = 10
"""After which wrk counts a request as an error; a slow server under 32 connections answers within a second."""
SPARE_S = 30
"""Time for wrk to start, and to end after its load."""

SCRIPT = """
local file = assert(io.open("{body}", "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
{headers}
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{mark}{{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": {{"connect": %d, "read": %d, '
    .. '"write": %d, "status": %d, "timeout": %d}}}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


class LoadFailed(Exception):
    """What was measured cannot be trusted: errors, or no result."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted; latencies are from the request's sending to its answer's last byte."""

    requests_per_s: float
    p50_us: float
    p99_us: float


def drive(address: str, request: Request, connections: int, seconds: int, folder: Path) -> Load:
    """Drive one server.

    Args:
        address: host:port.
        folder: where the script and the body are written; overwritten.

    Raises:
        LoadFailed: an answer was not 2xx, a connection failed, or wrk said nothing that can be read.
    """
    body, script = folder / "body", folder / "wrk.lua"
    body.write_bytes(request.body)
    script.write_text(_script(body, request))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s", f"-s{script}"]
    try:
        done = subprocess.run(
            [*command, f"http://{address}{request.path}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + SPARE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"wrk did not end: {error}") from error
    return parse(done.stdout + done.stderr)


def parse(output: str) -> Load:
    """Read what the script printed.

    Raises:
        LoadFailed: as `drive`.
    """
    lines = [line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK)]
    if len(lines) != 1:
        raise LoadFailed(f"wrk printed no result: {output.strip()[-500:]!r}")
    try:
        result = json.loads(lines[0])
        errors = {kind: count for kind, count in result["errors"].items() if count}
        requests, duration_us = int(result["requests"]), int(result["duration_us"])
        load = Load(requests / duration_us * 1e6, float(result["p50_us"]), float(result["p99_us"]))
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise LoadFailed(f"wrk's result cannot be read: {lines[0]!r}") from error
    if errors:
        raise LoadFailed(f"{errors} among {requests} requests")
    if not requests:
        raise LoadFailed("no request was answered")
    return load


def version() -> str:
    """As `wrk -v` says it; empty if it is not installed."""
    try:
        words = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()
    except FileNotFoundError:
        return ""
    return words[1] if len(words) > 1 else "?"


def _script(body: Path, request: Request) -> str:
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in request.headers.items())
    return SCRIPT.format(body=body, headers=headers, mark=MARK)
