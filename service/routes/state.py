"""What the routes share, made once in `service.app` and handed to them by FastAPI."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.activations.evidence import Evidence
from service.engine.functions import Functions
from service.engine.gpu.memory import Resident
from service.engine.pool import Pool
from service.engine.repository import Repository
from service.engine.runtime.device import Device
from service.engine.scheduler import Scheduler
from service.engine.uploads import Uploads
from service.engine.variants import Variants
from service.engine.watchdog import Watchdog
from service.logs import Log
from service.routes.keys import Keys
from service.routes.quota import Quota
from service.routes.tracing import Tracing
from service.routes.traffic import Traffic
from service.settings import Settings
from service.workers.drain import Drain
from service.workers.lives import Lives
from service.workers.workers import Workers


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    device: Device
    functions: Functions
    repository: Repository
    pool: Pool
    scheduler: Scheduler
    tracing: Tracing
    log: Log
    evidence: Evidence
    workers: Workers
    lives: Lives
    traffic: Traffic
    variants: Variants
    keys: Keys
    quota: Quota
    drain: Drain
    uploads: Uploads | None
    """None while uploads are off."""
    watchdog: Watchdog
    resident: Resident | None
    """None without a GPU."""


async def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


Shared = Annotated[Services, Depends(_services)]
"""A route's parameter of this type receives the services."""
