"""uvicorn with what this service needs of it: guarded connections, workers, TLS, a second signal that works."""

import contextlib
import logging
import os
import ssl
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from service.logs import CONFIGURATION
from service.server.guard import Guarded
from service.settings import Settings
from service.workers import FOLDER
from service.workers.shares import announce_end

log = logging.getLogger("actserve")

BACKLOG = 2048
"""Connections that wait to be accepted; the system may have fewer (`net.core.somaxconn`)."""

HEADERS = [("X-Content-Type-Options", "nosniff")]
"""Of every answer."""

HEALTHCHECK_S = 60
"""A worker that does not say a word for so long is killed: only one whose interpreter stands still, not a busy one."""

JOIN_S = 0.1
"""Between two looks for a signal while workers end."""


class InvalidCertificate(Exception):
    """The settings' certificate or key cannot be used; the text says why."""


def check_tls(settings: Settings) -> None:
    """Look before any worker is started.

    Raises:
        InvalidCertificate: there is a key without a certificate, or they cannot be read or do not belong together.
    """
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None and key is None:
        return
    if certificate is None:
        raise InvalidCertificate("ACTSERVE_TLS_KEY_FILE is set without ACTSERVE_TLS_CERTIFICATE_FILE")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, "")  # no password is asked for
    except (OSError, ValueError) as error:
        raise InvalidCertificate(f"ACTSERVE_TLS_CERTIFICATE_FILE or …_KEY_FILE cannot be used: {error}") from error


def serve(settings: Settings, workers: int) -> None:
    """Serve until told to stop."""
    config = uvicorn.Config(
        "service.app:from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=workers,
        http=Guarded,
        ws="none",
        loop="service.workers.listener:new_loop",
        backlog=BACKLOG,
        headers=HEADERS,
        log_config=CONFIGURATION,
        log_level=settings.log_level,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_timeout_seconds,
        timeout_graceful_shutdown=settings.stop_timeout_seconds,
        timeout_worker_healthcheck=HEALTHCHECK_S,
        ssl_certfile=settings.tls_certificate_file,
        ssl_keyfile=settings.tls_key_file,
    )
    _warn_if_open(settings)
    sockets = [config.bind_socket()]
    if workers > 1:
        Supervisor(config, sockets).run()
        return
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets)


def _warn_if_open(settings: Settings) -> None:
    """On an address that others reach, without keys."""
    is_local = settings.host == "localhost" or settings.host.startswith("127.") or settings.host == "::1"
    if not is_local and not settings.api_keys and not settings.api_keys_file:
        log.warning(
            "everybody who reaches %s:%d may use this service: no API keys are set", settings.host, settings.port
        )


class Supervisor(Multiprocess):
    """Tells the workers that all of them end, and hands a second signal on while it waits for that.

    It asks each worker in turn whether it is alive, and waits for the answer; so it must see one end meanwhile.
    """

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:  # as long as we hold a worker's end of its pipe too, that does not close with it
            process.child_conn.close()
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        announce_end(Path(os.environ[FOLDER]))
        super().terminate_all()

    def join_all(self) -> None:
        for process in self.processes:
            while process.exitcode is None:
                process.process.join(JOIN_S)
                self._hasten()

    def _hasten(self) -> None:
        while self.signal_queue:
            number = self.signal_queue.pop()
            for pid in [process.pid for process in self.processes if process.exitcode is None]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid or 0, number)
