"""`python -m service`: settings from the environment, then uvicorn."""

import sys

import uvicorn
from pydantic import ValidationError

from service.activations import evidence
from service.engine.session import DeviceUnavailable, detect
from service.routes.http import in_words
from service.settings import Settings


def main() -> None:
    """Serve until told to stop; exit code 2 for settings that do not fit."""
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            variable = f"ACTSERVE_{fault['loc'][0]}".upper()
            sys.stderr.write(f"actserve: {in_words([{**fault, 'loc': variable}])}\n")
        sys.exit(2)
    try:
        detect(settings.device)
        evidence.read(settings.evidence)
    except (DeviceUnavailable, evidence.InvalidEvidence) as error:
        sys.exit(f"actserve: {error}")
    uvicorn.run(
        "service.app:from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=25,
    )


if __name__ == "__main__":  # pragma: no branch  # it is run, never imported
    main()
