"""`bentoml serve loadtests.peers.bentoml.serve:Cnn`; the environment says MODEL, WORKERS and CONFIGURATION."""

import os
from typing import Any

import bentoml

from loadtests.peers.served import Model, answer, tensor

OPTIONS: dict[str, Any] = {
    "workers": int(os.environ["WORKERS"]),
    "traffic": {"timeout": 30},
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},
}
ROUTE = "/v2/models/cnn/infer"


class Base:
    def __init__(self) -> None:
        self.model = Model(os.environ["MODEL"])

    def answer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return answer(self.model.run(tensor({"inputs": inputs})))


if os.environ["CONFIGURATION"] == "in the event loop":

    @bentoml.service(name="cnn", **OPTIONS)
    class Cnn(Base):
        @bentoml.api(route=ROUTE)
        async def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            return self.answer(inputs)

else:

    @bentoml.service(name="cnn", **OPTIONS)
    class Cnn(Base):  # type: ignore[no-redef]  # one of two, by the configuration
        @bentoml.api(route=ROUTE)
        def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            return self.answer(inputs)
