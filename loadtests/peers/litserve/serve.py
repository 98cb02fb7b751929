"""Run as `python -m loadtests.peers.litserve.serve MODEL PORT WORKERS CONFIGURATION`."""

import sys
from collections.abc import Mapping
from typing import Any

import litserve
import numpy as np
from numpy.typing import NDArray

from loadtests.peers.served import Model, answer, each, tensor

BATCH = 16


class Api(litserve.LitAPI):
    """One request a run."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(api_path="/v2/models/cnn/infer", **options)
        self._path = path

    def setup(self, device: str) -> None:
        self._model = Model(self._path)

    def decode_request(self, request: Mapping[str, Any]) -> NDArray[np.float32]:
        return tensor(request)

    def predict(self, inputs: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        return self._model.run(inputs)

    def encode_response(self, output: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
        return answer(output)


class BatchingApi(Api):
    """Several requests a run."""

    def batch(self, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(inputs)

    def unbatch(self, output: Mapping[str, NDArray[np.float32]]) -> list[dict[str, NDArray[np.float32]]]:
        return each(output, [1] * len(next(iter(output.values()))))


def main() -> None:
    path, port, workers, configuration = sys.argv[1:]
    batching = "batches" in configuration
    api = BatchingApi(path, max_batch_size=BATCH, batch_timeout=0.001) if batching else Api(path)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=int(workers), fast_queue="fast queue" in configuration
    )
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
