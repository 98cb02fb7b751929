"""GET /metrics of all replicas: which of them a proxy asks is chance, and each has counted only what it has answered.

Every sample has the labels `node` and `replica`, as Ray calls them.
"""

from collections.abc import Iterator
from typing import Any

import ray
from fastapi import FastAPI, Request, Response
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from ray import serve

from service.routes.metrics import Collected

PATIENCE_S = 5.0
"""For all replicas. One that has gone is left out; of one that stands still Prometheus sees that nothing is told."""


class Told:
    """What is deployed, beside the application: what the other replicas ask of this one."""

    app: Any
    """Set by Ray: what `build` returned."""

    def metrics(self) -> list[Metric]:
        """This replica's."""
        labels = {"node": ray.get_runtime_context().get_node_id(), "replica": serve.get_replica_context().replica_tag}
        families = list(Collected(self.app.state["services"]).collect())
        for family in families:
            family.samples = [sample._replace(labels={**labels, **sample.labels}) for sample in family.samples]
        return families


class Merged(Collector):
    """Families of the same name are one."""

    def __init__(self, replicas: list[list[Metric]]) -> None:
        self._replicas = replicas

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for family in (family for families in self._replicas for family in families):
            known = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type, family.unit))
            known.samples += family.samples
        yield from merged.values()


async def of_all(request: Request) -> Response:
    here = serve.get_replica_context()
    asked = serve.get_deployment_handle(here.deployment, here.app_name).broadcast("metrics")
    told = await asked.results_async(timeout_s=PATIENCE_S, return_exceptions=True)
    encode, content_type = choose_encoder(",".join(request.headers.getlist("accept")))
    return Response(
        encode(Merged([families for families in told if isinstance(families, list)])), media_type=content_type
    )


def replace(app: FastAPI) -> None:
    """Stand before the application's own route, behind its keys and counters."""
    app.add_api_route("/metrics", of_all, include_in_schema=False)
    app.router.routes.insert(0, app.router.routes.pop())
