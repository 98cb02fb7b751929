"""Requests to the service on port PORT of this network: `python asking.py PORT < requests.json`.

Waits until it answers, then prints the status and the text of each answer. Standard library only.
"""

import http.client
import json
import sys
import time

DEADLINE_S = 120
"""For a start on a busy machine."""


def ask(port: int, method: str, path: str, body: str | None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()
    finally:
        connection.close()


def wait(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            ask(port, "GET", "/v2/health/live", None)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # between two looks; there is no event to wait for
        else:
            return


port = int(sys.argv[1])
wait(port)
json.dump([ask(port, *request) for request in json.load(sys.stdin)], sys.stdout)
