"""`python -m loadtests.peers.ray.serve MODEL PORT WORKERS FOLDER`: a cluster of its own, ended with this process."""

import asyncio
import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from loadtests.peers.served import Model, answer, tensor

ONGOING = 100
"""Requests a replica takes at a time: more than there are connections, so that none waits outside."""


class Cnn:
    def __init__(self, path: str) -> None:
        self._model = Model(path)

    async def __call__(self, request: Request) -> dict[str, Any]:
        return answer(self._model.run(tensor(await request.json())))


def main() -> None:
    path, port, workers, folder = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    ray.init(
        address="local",
        num_cpus=int(workers) + 2,  # the proxy and the controller are actors too
        include_dashboard=False,
        _temp_dir=folder,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": int(port)}, logging_config={"enable_access_log": False})
        deployment = serve.deployment(Cnn, num_replicas=int(workers), max_ongoing_requests=ONGOING)
        serve.run(deployment.bind(path), route_prefix="/")
        asyncio.run(_forever())
    finally:
        serve.shutdown()
        ray.shutdown()


async def _forever() -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
